//! The file of an archive while it is written.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, FlockOperation, flock};
use sealpack_format::Algorithm;
use sealpack_kernel::directory::Directory;

use super::header::{BLOCK_BYTES, END, Kind, header, padding_bytes};
use crate::error::{Error, Result};
use crate::hash::blob_digest;

/// How temporary files begin.
const TEMPORARY: &str = ".sealpack-archive-";
const FILE_MODE: u32 = 0o644;

/// An archive that has a temporary name until it is whole. That name follows from the archive's own, so that what a process
/// leaves that is killed is removed by the next that writes the same archive.
pub(super) struct ArchiveFile {
    path: PathBuf,
    directory: Directory,
    name: OsString,
    temporary: OsString,
    file: File,
    /// How much of it is written.
    position: u64,
    is_placed: bool,
}

/// A member whose content is being written, and whose size is not known yet.
pub(super) struct Begun<'n> {
    name: &'n str,
    header_at: u64,
}

impl ArchiveFile {
    /// A new file that will be at `path`.
    ///
    /// # Errors
    /// When there is something else than a regular file, somebody else is writing the same, or it cannot be made.
    pub(super) fn create(path: &Path) -> Result<Self> {
        let failed = |action| move |error: io::Error| Error::file(action, path, error);
        let (directory, name) = Directory::of_file(path).map_err(failed("write"))?;
        if let Some(found) = directory.stat(&name).map_err(failed("look at"))?
            && FileType::from_raw_mode(found.st_mode) != FileType::RegularFile
        {
            let error =
                io::Error::other("there is something that is no regular file, which is never replaced");
            return Err(Error::file("write", path, error));
        }
        let mark = blob_digest(Algorithm::Sha256, name.as_bytes());
        let temporary = OsString::from(format!("{TEMPORARY}{}", &mark.hex().to_string()[..16]));
        let file = make(&directory, &temporary).map_err(failed("write"))?;
        let (path, position) = (path.to_owned(), 0);
        Ok(Self { path, directory, name, temporary, file, position, is_placed: false })
    }

    /// Refuses to begin where so much does not fit.
    ///
    /// # Errors
    /// [`Error::NoRoom`]; failures of the system.
    pub(super) fn check_room(&self, what: &str, needed_bytes: u64) -> Result<()> {
        crate::room::check(&self.file, what, needed_bytes)
            .map_err(|error| self.failed("look at", error.into()))?
    }

    /// Writes a member that is in memory.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(super) fn member(&mut self, name: &str, content: &[u8]) -> Result<()> {
        let begun = self.begin(name)?;
        self.write(content)?;
        self.end(&begun)
    }

    /// Writes the member of a directory.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(super) fn directory(&mut self, name: &str) -> Result<()> {
        self.write(&header(name, Kind::Directory, 0))
    }

    /// Begins a member, whose header gets its size when it [ends](Self::end).
    ///
    /// # Errors
    /// When it cannot be written.
    pub(super) fn begin<'n>(&mut self, name: &'n str) -> Result<Begun<'n>> {
        let header_at = self.position;
        self.write(&header(name, Kind::File, 0))?;
        Ok(Begun { name, header_at })
    }

    /// Adds to the content of what was begun.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all_at(bytes, self.position).map_err(|error| self.failed("write", error))?;
        self.position += bytes.len() as u64;
        Ok(())
    }

    /// Ends a member.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(super) fn end(&mut self, begun: &Begun<'_>) -> Result<()> {
        let empty = header(begun.name, Kind::File, 0);
        let size_bytes = self.position - begun.header_at - empty.len() as u64;
        let header = header(begun.name, Kind::File, size_bytes);
        self.file.write_all_at(&header, begun.header_at).map_err(|error| self.failed("write", error))?;
        let padding = usize::try_from(padding_bytes(size_bytes)).expect("it is less than a block");
        self.write(&[0; BLOCK_BYTES as usize][..padding])
    }

    /// Takes a member back that was begun.
    ///
    /// # Errors
    /// When the file cannot be cut.
    pub(super) fn take_back(&mut self, begun: &Begun<'_>) -> Result<()> {
        self.file.set_len(begun.header_at).map_err(|error| self.failed("cut", error))?;
        self.position = begun.header_at;
        Ok(())
    }

    /// Ends the archive and gives it its name. Answers with its size in bytes.
    ///
    /// # Errors
    /// When it cannot be written, flushed or renamed.
    pub(super) fn finish(mut self) -> Result<u64> {
        self.write(&END)?;
        self.file.flush().and_then(|()| self.file.sync_all()).map_err(|error| self.failed("flush", error))?;
        let renamed = self.directory.rename(&self.temporary, &self.directory, &self.name);
        renamed.map_err(|error| self.failed("rename to", error))?;
        self.is_placed = true;
        self.directory.sync().map_err(|error| self.failed("flush the directory of", error))?;
        Ok(self.position)
    }

    fn failed(&self, action: &'static str, error: io::Error) -> Error {
        Error::file(action, &self.path, error)
    }
}

impl Drop for ArchiveFile {
    fn drop(&mut self) {
        if !self.is_placed {
            // If that fails too, the next process that writes the archive does it.
            let _ = self.directory.unlink(&self.temporary);
        }
    }
}

/// A new file of that name, locked; what was left under it by somebody who is no more is removed.
fn make(directory: &Directory, temporary: &OsString) -> io::Result<File> {
    loop {
        match directory.create(temporary, FILE_MODE) {
            Ok(file) => {
                flock(&file, FlockOperation::NonBlockingLockExclusive)?;
                // Somebody who took it for a leftover may have been faster.
                if directory.is(temporary, &file)? {
                    return Ok(file);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let left = match directory.open_to_write(temporary) {
                    Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                    left => left?,
                };
                match flock(&left, FlockOperation::NonBlockingLockExclusive) {
                    Ok(()) => drop(directory.unlink(temporary)?),
                    Err(rustix::io::Errno::WOULDBLOCK) => {
                        return Err(io::Error::other("another process is writing it"));
                    }
                    Err(error) => return Err(error.into()),
                }
            }
            Err(error) => return Err(error),
        }
    }
}
