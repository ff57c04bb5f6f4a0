//! A disk that boots.

use std::path::Path;

use sealpack_host::disk::MadeDisk;
use serde_json::json;

use crate::error::CommandResult;
use crate::output::{Output, size};

/// Shows a disk that was made.
pub(crate) fn made(output: Output, disk: &MadeDisk, file: &Path) -> CommandResult {
    let value = json!({
        "file": file,
        "size_bytes": disk.size_bytes,
        "data_label": disk.label,
        "esp_files": disk.esp_files,
        "names": disk.images,
    });
    output.result(&value, || {
        let images = disk.images.join(", ");
        let mut text = format!("{}: a disk of {} with {images}", file.display(), size(disk.size_bytes));
        for path in &disk.esp_files {
            text += &format!("\n  {path}");
        }
        text
    })
}
