//! UKIs that were made or signed.

use std::path::Path;

use sealpack_gate::publish::Published;
use sealpack_host::uki::Uki;
use sealpack_store::ImageRecord;
use serde_json::json;

use super::{parts, seal};
use crate::error::CommandResult;
use crate::output::{Output, count, size};

/// The file of a UKI.
pub(crate) struct File<'a> {
    pub(crate) path: &'a Path,
    pub(crate) size_bytes: usize,
    /// Who signed it, if anybody did.
    pub(crate) signer: Option<&'a str>,
}

/// Shows a UKI that was made and written, and published perhaps.
pub(crate) fn built(
    output: Output,
    record: &ImageRecord,
    uki: &Uki,
    file: &File<'_>,
    published: Option<&Published>,
) -> CommandResult {
    let value = json!({
        "file": file.path,
        "size_bytes": file.size_bytes,
        "name": record.name,
        "manifest": record.manifest,
        "metadata_image": parts::metadata_image(&record.metadata_image, Some(record.metadata_image_size_bytes)),
        "metadata_root_hash": uki.root_hash,
        "epoch": uki.epoch,
        "kernel": uki.kernel,
        "command_line": uki.command_line.to_string(),
        "modules": uki.modules,
        "initramfs_bytes": uki.initramfs_bytes,
        "signers": file.signer.into_iter().collect::<Vec<_>>(),
        "published": published.map(seal::published_json),
    });
    output.result(&value, || {
        let signed = match file.signer {
            Some(signer) => format!("signed by {signer}"),
            None => "not signed".to_owned(),
        };
        let bytes = u64::try_from(file.size_bytes).unwrap_or(u64::MAX);
        let built = format!(
            "{}: {} with epoch {}, kernel {}, initramfs of {} with {}; {} in all, {signed}",
            file.path.display(),
            record.name,
            uki.epoch,
            uki.kernel,
            size(uki.initramfs_bytes),
            count(uki.modules.len() as u64, "module"),
            size(bytes),
        );
        published.map_or(built.clone(), |published| format!("{built}\n{}", text_of(published)))
    })
}

/// Shows a UKI that was published.
pub(crate) fn published(
    output: Output,
    record: &ImageRecord,
    file: &Path,
    published: &Published,
) -> CommandResult {
    let value = json!({
        "file": file,
        "name": record.name,
        "manifest": record.manifest,
        "published": seal::published_json(published),
    });
    output.result(&value, || text_of(published))
}

fn text_of(published: &Published) -> String {
    format!("published beside the image in {} as {}", published.target, published.referrer.digest)
}

/// Shows a UKI that got signatures and was written to `file`.
pub(crate) fn attached(output: Output, file: &Path, size_bytes: usize, signers: &[String]) -> CommandResult {
    let value = json!({ "file": file, "size_bytes": size_bytes, "signers": signers });
    output.result(&value, || format!("{}: signed by {}", file.display(), signers.join(" and ")))
}
