//! What is left for who looks at the host: how it was started.

use std::fs;
use std::path::Path;

use sealpack_format::boot::{BootParameters, BootReport, host};

use super::failure::Failure;
use super::policy::Active;
use super::progress::{Progress, now_ms};

/// Writes the report to [`host::REPORT`].
///
/// # Errors
/// There is no room in memory.
pub(super) fn write(
    progress: &Progress,
    parameters: &BootParameters,
    data_device: &str,
    policy: &Active,
) -> Result<(), Failure> {
    let report = BootReport {
        image: parameters.image,
        root_hash: parameters.root_hash,
        etc: parameters.etc,
        off: parameters.off.clone(),
        data_device: data_device.to_owned(),
        policy: policy.name.clone(),
        policy_version: policy.version.to_string(),
        policy_update: policy.update.clone(),
        started_ms: progress.started_ms(),
        handed_over_ms: now_ms(),
        steps_ms: progress.steps_ms().to_vec(),
    };
    let path = Path::new(host::REPORT);
    let directory = path.parent().unwrap_or(path);
    fs::create_dir_all(directory).map_err(|error| Failure::at(directory, &error))?;
    fs::write(path, report.to_string()).map_err(|error| Failure::at(path, &error))
}
