//! Files of UKIs and their parts.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::error::CommandError;

/// More than any UKI has, in bytes: no PE file is larger.
const FILE_MAX_BYTES: u64 = 1 << 32;

/// All of a file.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, CommandError> {
    let failed = |what: &dyn std::fmt::Display| {
        CommandError::failed(format_args!("cannot read {}: {what}", path.display()))
    };
    let file = File::open(path).map_err(|error| failed(&error))?;
    let mut bytes = Vec::new();
    file.take(FILE_MAX_BYTES + 1).read_to_end(&mut bytes).map_err(|error| failed(&error))?;
    if bytes.len() as u64 > FILE_MAX_BYTES {
        return Err(failed(&"it is larger than 4 GiB"));
    }
    Ok(bytes)
}
