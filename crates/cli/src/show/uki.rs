//! UKIs that were made or signed.

use std::path::Path;

use sealpack_host::uki::Uki;
use sealpack_store::ImageRecord;
use serde_json::json;

use super::parts;
use crate::error::CommandResult;
use crate::output::{Output, count, size};

/// Shows a UKI that was made and written to `file`.
pub(crate) fn built(
    output: Output,
    record: &ImageRecord,
    uki: &Uki,
    file: &Path,
    size_bytes: usize,
    signer: Option<&str>,
) -> CommandResult {
    let value = json!({
        "file": file,
        "size_bytes": size_bytes,
        "name": record.name,
        "manifest": record.manifest,
        "metadata_image": parts::metadata_image(&record.metadata_image, Some(record.metadata_image_size_bytes)),
        "metadata_root_hash": uki.root_hash,
        "epoch": uki.epoch,
        "kernel": uki.kernel,
        "command_line": uki.command_line.to_string(),
        "modules": uki.modules,
        "initramfs_bytes": uki.initramfs_bytes,
        "signers": signer.into_iter().collect::<Vec<_>>(),
    });
    output.result(&value, || {
        let signed = match signer {
            Some(signer) => format!("signed by {signer}"),
            None => "not signed".to_owned(),
        };
        let bytes = u64::try_from(size_bytes).unwrap_or(u64::MAX);
        format!(
            "{}: {} with epoch {}, kernel {}, initramfs of {} with {}; {} in all, {signed}",
            file.display(),
            record.name,
            uki.epoch,
            uki.kernel,
            size(uki.initramfs_bytes),
            count(uki.modules.len() as u64, "module"),
            size(bytes),
        )
    })
}

/// Shows a UKI that got signatures and was written to `file`.
pub(crate) fn attached(output: Output, file: &Path, size_bytes: usize, signers: &[String]) -> CommandResult {
    let value = json!({ "file": file, "size_bytes": size_bytes, "signers": signers });
    output.result(&value, || format!("{}: signed by {}", file.display(), signers.join(" and ")))
}
