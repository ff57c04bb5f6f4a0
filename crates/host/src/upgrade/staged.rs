//! A UKI that was brought, and waits for somebody who has it written to the ESP.

use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use sealpack_format::boot::artifact::UKI_MAX_BYTES;
use sealpack_kernel::directory::Directory;

use super::error::UpgradeError;

/// The file, in the directory of the data partition where what concerns the boot is.
const FILE: &str = "staged.efi";
/// What it is called before it is whole.
const TEMPORARY: &str = ".staged.new";
/// What who changes the boot holds.
const LOCK: &str = "upgrade.lock";

/// The place of a UKI that waits, held by one command alone.
#[derive(Debug)]
pub struct Staged {
    directory: Directory,
    path: PathBuf,
    /// Held until the end.
    _lock: std::fs::File,
}

impl Staged {
    /// Takes the place in `directory`, `boot` of the data partition, which is made if it is not there. While it is held,
    /// nobody else changes what is started.
    ///
    /// # Errors
    /// [`UpgradeError::UnderWay`]; what the system says.
    pub fn hold(directory: &Path) -> Result<Self, UpgradeError> {
        let failed = |doing| UpgradeError::io(doing, directory);
        let opened = Directory::open_or_make(directory, 0o700).map_err(failed("open"))?;
        let lock = opened.lock_file(LOCK).map_err(failed("lock"))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(std::fs::TryLockError::WouldBlock) => {
                return Err(UpgradeError::UnderWay { path: directory.join(LOCK) });
            }
            Err(std::fs::TryLockError::Error(error)) => return Err(failed("lock")(error)),
        }
        Ok(Self { directory: opened, path: directory.join(FILE), _lock: lock })
    }

    /// Has a UKI wait, in the place of the one that may wait there.
    ///
    /// # Errors
    /// What the system says: no room, most often. The one that waited does so still.
    pub fn put(&self, bytes: &[u8]) -> Result<&Path, UpgradeError> {
        let written = self.directory.remove_all(TEMPORARY).and_then(|()| {
            let mut file = self.directory.create(TEMPORARY, 0o600)?;
            file.write_all(bytes)?;
            file.sync_all()?;
            self.directory.rename(TEMPORARY, &self.directory, FILE)?;
            self.directory.sync()
        });
        if written.is_err() {
            _ = self.directory.unlink(TEMPORARY);
        }
        written.map_err(UpgradeError::io("write", &self.path))?;
        Ok(&self.path)
    }

    /// The UKI that waits.
    ///
    /// # Errors
    /// [`UpgradeError::NotStaged`], [`UpgradeError::StagedDamaged`]; what the system says.
    pub fn get(&self) -> Result<Vec<u8>, UpgradeError> {
        let failed = || UpgradeError::io("read", &self.path);
        let file = match self.directory.read(FILE) {
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            other => other.map_err(failed())?,
        };
        let mut bytes = Vec::new();
        let file = file.ok_or(UpgradeError::NotStaged)?;
        file.take(UKI_MAX_BYTES + 1).read_to_end(&mut bytes).map_err(failed())?;
        match bytes.len() as u64 > UKI_MAX_BYTES {
            true => Err(self.damaged(&"is larger than any UKI")),
            false => Ok(bytes),
        }
    }

    /// That what waits is not what it should be.
    pub fn damaged(&self, why: &dyn std::fmt::Display) -> UpgradeError {
        UpgradeError::StagedDamaged { path: self.path.clone(), why: why.to_string() }
    }

    /// Lets go of the one that waits, if one does.
    ///
    /// # Errors
    /// What the system says.
    pub fn clear(&self) -> Result<(), UpgradeError> {
        let failed = || UpgradeError::io("remove", &self.path);
        // Whatever is there: it may be something else by now, and what was written counts all the same.
        self.directory.remove_all(FILE).and_then(|()| self.directory.sync()).map_err(failed())
    }
}
