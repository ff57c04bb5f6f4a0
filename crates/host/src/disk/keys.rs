//! Keys that systemd-boot gives to firmware that has none (systemd-boot(7), "Secure Boot enrollment").

use std::io;
use std::path::Path;

use super::error::DiskError;
use super::esp::EspFile;

/// The files that it looks for. `db` has what the firmware starts, `PK` and `KEK` who may change that; what is not there
/// is not enrolled.
const NAMES: [&str; 4] = ["PK.auth", "KEK.auth", "db.auth", "dbx.auth"];

/// Where they are on the EFI system partition. Only those in a directory called `auto` may be enrolled without being asked for.
const DIRECTORY: &str = "loader/keys/auto";

/// The files of that directory.
///
/// # Errors
/// If there is none of them, or one cannot be read.
pub(super) fn read(directory: &Path) -> Result<Vec<EspFile>, DiskError> {
    std::fs::read_dir(directory).map_err(DiskError::io("read", directory))?;
    let mut files = Vec::new();
    for name in NAMES {
        let path = directory.join(name);
        match std::fs::read(&path) {
            Ok(content) => files.push(EspFile { path: format!("{DIRECTORY}/{name}"), content }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(DiskError::io("read", path)(error)),
        }
    }
    if files.is_empty() {
        return Err(DiskError::NoKeys { path: directory.to_owned() });
    }
    Ok(files)
}
