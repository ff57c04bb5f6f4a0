//! Downloads that were interrupted, to be resumed.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::io::Errno;
use sealpack_format::digest::BlobDigest;

use crate::dir::Dir;
use crate::error::{Error, Result};
use crate::lock::{Lock, Locked};
use crate::places::{PARTIAL, partial_file_name};
use crate::store::Store;

/// The first bytes of a blob, in `tmp/partial/`. They are whatever the server sent: nothing may depend on
/// them before the whole is verified.
///
/// Kept when dropped, for the next try; [`remove`](Self::remove) when it was used or is wrong.
#[derive(Debug)]
pub struct Partial {
    directory: Dir,
    name: String,
    file: Locked,
    length_bytes: u64,
    _store: Lock,
}

impl Store {
    /// How much there is of blob `digest`, without opening it.
    ///
    /// # Errors
    /// Failures of the system.
    pub fn partial_bytes(&self, digest: &BlobDigest) -> Result<u64> {
        let stat = self.tmp.stat(Path::new(PARTIAL).join(partial_file_name(digest)))?;
        Ok(stat.and_then(|stat| u64::try_from(stat.st_size).ok()).unwrap_or(0))
    }

    /// Opens what is there of blob `digest`, which may be nothing. `None` when somebody else is
    /// downloading it right now.
    ///
    /// # Errors
    /// [`Error::Locked`]; failures of the system.
    pub fn partial(&self, digest: &BlobDigest) -> Result<Option<Partial>> {
        let lock = self.shared()?;
        self.tmp.make(PARTIAL)?;
        let directory = self.tmp.sub(PARTIAL)?;
        let name = partial_file_name(digest);
        // A file that was removed between opening and locking it is somebody's no more: once again.
        for _ in 0..100 {
            let file = directory.append(&name, 0o600)?;
            let Some(file) = Locked::try_new(file, || directory.at(&name))? else { return Ok(None) };
            let ours = file.metadata().map_err(|e| Error::io("look at", directory.at(&name), e))?;
            if directory.stat(&name)?.is_some_and(|stat| stat.st_ino == ours.ino()) {
                let length_bytes = ours.len();
                return Ok(Some(Partial { directory, name, file, length_bytes, _store: lock }));
            }
        }
        Ok(None)
    }
}

impl Partial {
    /// How many bytes there are.
    #[must_use]
    pub const fn length_bytes(&self) -> u64 {
        self.length_bytes
    }

    /// The bytes that there are now, from the first on. Goes on while more are appended, and does not
    /// see those.
    ///
    /// # Errors
    /// Failures of the system.
    pub fn reader(&self) -> Result<io::Take<File>> {
        let missing = || Error::io("open", self.directory.at(&self.name), Errno::NOENT);
        let file = self.directory.read(&self.name)?.ok_or_else(missing)?;
        Ok(file.take(self.length_bytes))
    }

    /// Throws the bytes away, to start from the first.
    ///
    /// # Errors
    /// Failures of the system.
    pub fn clear(&mut self) -> Result<()> {
        self.file.set_len(0).map_err(|e| Error::io("write", self.directory.at(&self.name), e))?;
        self.length_bytes = 0;
        Ok(())
    }

    /// Removes the file.
    ///
    /// # Errors
    /// Failures of the system.
    pub fn remove(self) -> Result<()> {
        self.directory.unlink(&self.name).map(drop)
    }

    /// Appends `bytes`.
    ///
    /// # Errors
    /// [`Error::NoSpace`] and other failures of the system; what was written of `bytes` is counted.
    pub fn append(&mut self, bytes: &[u8]) -> Result<()> {
        self.write_all(bytes).map_err(|e| Error::io("write", self.directory.at(&self.name), e))
    }
}

impl Write for Partial {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = match self.file.write(bytes) {
            Err(e) if e.kind() != io::ErrorKind::Interrupted => {
                return Err(Error::io_error("write", self.directory.at(&self.name), e));
            }
            other => other?,
        };
        self.length_bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
