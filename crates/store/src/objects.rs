//! Objects and metadata images that are there, and whether they are what their names say.

use std::fs::File;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Stat};
use rustix::io::Errno;
use sealpack_format::digest::ObjectId;
use sealpack_kernel::fsverity::{Enabled, FileHasher, Measurement};

use crate::dir::{Dir, about_to};
use crate::error::{Error, Result};
use crate::integrity::{Integrity, ObjectState};
use crate::places::is_fan;
use crate::store::Store;
use crate::verified::Fingerprint;

impl Store {
    /// Whether the store has object `id`, undamaged.
    ///
    /// It is measured where fs-verity is enabled; otherwise the answer is remembered from the last
    /// time, if its file has not been touched since; otherwise it is hashed, and fs-verity
    /// enabled if the filesystem has it by now. Its size is never enough.
    ///
    /// # Errors
    /// [`Error::Algorithm`]; failures of the system, but an object that the disk or the kernel refuses to
    /// hand out (`EIO`) is [`ObjectState::Damaged`].
    pub fn check_object(&self, id: &ObjectId) -> Result<ObjectState> {
        self.check_id(id)?;
        self.check_file(&self.objects, Path::new(&id.object_path()), id)
    }

    /// Opens object `id` for reading, if the store has it, without looking at its content.
    ///
    /// # Errors
    /// [`Error::Algorithm`]; failures of the system.
    pub fn open_object(&self, id: &ObjectId) -> Result<Option<File>> {
        self.check_id(id)?;
        self.objects.read(id.object_path())
    }

    /// Where object `id` is, or would be.
    #[must_use]
    pub fn object_path(&self, id: &ObjectId) -> PathBuf {
        self.objects.at(id.object_path())
    }

    /// Calls `each` with the two hex digits and the directory they name, for those there are.
    pub(crate) fn for_each_object_directory(
        &self,
        mut each: impl FnMut(&str, &Dir) -> Result<()>,
    ) -> Result<()> {
        for entry in self.objects.entries()? {
            let Some(fan) = entry.name.to_str().filter(|name| is_fan(name) && entry.kind.is_dir()) else {
                continue;
            };
            if let Some(directory) = self.objects.try_sub(fan)? {
                each(fan, &directory)?;
            }
        }
        Ok(())
    }

    /// The directory that a mount takes as its data-only layer.
    #[must_use]
    pub fn objects_path(&self) -> &Path {
        self.objects.path()
    }

    /// Whether the kernel guards the content of object `id`; `None` when the store does not have it.
    ///
    /// # Errors
    /// Failures of the system.
    pub fn object_integrity(&self, id: &ObjectId) -> Result<Option<Integrity>> {
        let Some(file) = self.open_object(id)? else { return Ok(None) };
        let measured = self.measure(&file, &self.object_path(id))?;
        Ok(Some(if measured == Measurement::Digest(*id) { Integrity::FsVerity } else { Integrity::None }))
    }

    /// As [`check_object`](Self::check_object) for any file that a digest names.
    pub(crate) fn check_file(&self, directory: &Dir, name: &Path, id: &ObjectId) -> Result<ObjectState> {
        let Some(stat) = directory.stat(name)? else { return Ok(ObjectState::Absent) };
        if !FileType::from_raw_mode(stat.st_mode).is_file() {
            return Ok(ObjectState::Damaged);
        }
        if self.integrity() == Integrity::None
            && self.verified.contains(&self.root, Fingerprint::new(id.as_bytes(), &stat))?
        {
            return Ok(ObjectState::Good);
        }
        let Some(file) = directory.read(name)? else { return Ok(ObjectState::Absent) };
        self.check_open_file(&file, &directory.at(name), id)
    }

    fn check_open_file(&self, file: &File, path: &Path, id: &ObjectId) -> Result<ObjectState> {
        let is = |good| if good { ObjectState::Good } else { ObjectState::Damaged };
        if self.integrity() == Integrity::FsVerity {
            if let Some(digest) = self.digest_of(file, path)? {
                return Ok(is(digest == *id));
            }
            // The filesystem got fs-verity after this file. Enabling has the kernel hash it.
            self.enable(file, path)?;
            if let Some(digest) = self.digest_of(file, path)? {
                return Ok(is(digest == *id));
            }
        }
        about_to("hash", &|| (path.to_owned(), PathBuf::new()));
        let before = status(file, path)?;
        let found = match FileHasher::new(self.algorithm()).hash(file) {
            Err(e) if is_unreadable(&e) => return Ok(ObjectState::Damaged),
            other => other.map_err(|e| Error::io("read", path, e))?.0,
        };
        if found == *id {
            self.verified.remember(&self.root, Fingerprint::new(id.as_bytes(), &before))?;
        }
        Ok(is(found == *id))
    }

    /// The digest that the kernel guarantees, if it does. One of a foreign kind is another digest
    /// than any object's, but says nothing about the bytes: the file is hashed.
    fn digest_of(&self, file: &File, path: &Path) -> Result<Option<ObjectId>> {
        Ok(match self.measure(file, path)? {
            Measurement::Digest(id) => Some(id),
            _ => None,
        })
    }

    pub(crate) fn measure(&self, file: impl AsFd, path: &Path) -> Result<Measurement> {
        self.kernel.measure_verity(file).map_err(|e| Error::io("measure", path, e))
    }

    /// Enables fs-verity on `file`, which nobody may have open for writing.
    pub(crate) fn enable(&self, file: &File, path: &Path) -> Result<()> {
        // Another thread that starts a program holds all descriptors until its exec.
        for _ in 0..100 {
            match self.kernel.enable_verity(file, self.algorithm()) {
                Ok(Enabled::Now | Enabled::Before | Enabled::Unsupported) => return Ok(()),
                Err(e) if e.errno() == Errno::TXTBSY => {
                    std::thread::sleep(std::time::Duration::from_millis(5));
                }
                // A file of mode 0444 is not writable for a user who owns it and is not root.
                Err(e) if e.errno() == Errno::ACCESS => return Ok(()),
                Err(e) => return Err(Error::io("enable fs-verity on", path, e)),
            }
        }
        Err(Error::io("enable fs-verity on", path, Errno::TXTBSY))
    }
}

pub(crate) fn status(file: &File, path: &Path) -> Result<Stat> {
    rustix::fs::fstat(file).map_err(|e| Error::io("look at", path, e))
}

/// Whether the disk, or fs-verity, does not hand the bytes out. Both are damage.
pub(crate) fn is_unreadable(error: &std::io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::IO | Errno::UCLEAN | Errno::BADMSG))
}
