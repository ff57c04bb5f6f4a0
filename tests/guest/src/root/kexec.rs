//! Another kernel.

use super::{Tools, Tried, Went};
use anyhow::Result;
use sealpack_kernel::Errno;
use std::fs;

const DISABLED: &str = "/proc/sys/kernel/kexec_load_disabled";

pub(super) fn attempts(tools: &Tools) -> Result<Vec<Tried>> {
    let kernel = tools.kernel.to_string_lossy().into_owned();
    let before = fs::read_to_string(DISABLED)?;
    let mut tried =
        vec![tools.root("the image's own kernel, with another command line", &["kexec", &kernel])?];
    // Where it is allowed this would be all that there is to say.
    if before.trim() == "1" {
        let what = "the switch is set back".to_owned();
        let went = match fs::write(DISABLED, "0") {
            Ok(()) => Went::Through,
            Err(error) => Went::Refused(Errno::from_io_error(&error).unwrap_or(Errno::IO)),
        };
        tried.push(Tried { what, went, may_be_missing: false });
    }
    Ok(tried)
}
