//! A directory of objects, as `mkcomposefs --digest-store` fills it: each under the path that
//! its fs-verity digest gives, with fs-verity enabled where the filesystem has it. All is written below a descriptor of
//! that directory, with no more rights than its owner has ([`Directory`]).

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::Mode;
use sealpack_format::ObjectId;
use sealpack_kernel::Kernel;
use sealpack_kernel::directory::Directory;
use sealpack_kernel::fsverity::FileHasher;

/// So many new objects get their names together.
const BATCH: usize = 1024;

/// Up to so many are flushed one by one; more with one syncfs(2), which also waits for what
/// others write to the filesystem.
const FLUSHED_SINGLY: usize = 16;

/// A directory of objects, open.
#[derive(Debug)]
pub struct Objects<'k> {
    kernel: &'k Kernel,
    path: PathBuf,
    directory: Directory,
    /// The number of the next temporary file.
    next: AtomicU64,
}

/// Why an object could not be stored.
#[derive(Debug, thiserror::Error)]
pub enum ObjectError {
    /// A system call failed.
    #[error("cannot {doing} {path:?}: {error}")]
    Io {
        /// What was tried.
        doing: &'static str,
        /// On what.
        path: PathBuf,
        /// The failure.
        error: io::Error,
    },
    /// A file was not the same when it was read again.
    #[error("the content of object {0} changed while it was being copied; it is not stored")]
    Changed(ObjectId),
}

/// Where the content of an object comes from.
#[derive(Debug, Clone, Copy)]
pub enum Source<'a> {
    /// All of it, in memory, hashed there.
    Bytes(&'a [u8]),
    /// A file, which may change at any time.
    File(&'a File),
}

/// Objects that are written but do not have their names yet: they get them in batches, once they
/// are on the disk. What never got its name is removed when this is dropped.
#[derive(Debug)]
pub struct Batch<'o> {
    objects: &'o Objects<'o>,
    /// Temporary names by final ones.
    pending: BTreeMap<String, String>,
}

impl<'k> Objects<'k> {
    /// Opens the directory at `path`, which is made with its parents if it is not there.
    ///
    /// # Errors
    /// Something in the way, or no permission.
    pub fn open(kernel: &'k Kernel, path: &Path) -> Result<Self, ObjectError> {
        let failed = |doing| move |error| ObjectError::Io { doing, path: path.to_owned(), error };
        let directory = Directory::open_or_make(path, 0o755).map_err(failed("make the directory"))?;
        Ok(Self { kernel, path: path.to_owned(), directory, next: AtomicU64::new(0) })
    }

    /// Starts a batch of new objects. Several threads may each have one.
    #[must_use]
    pub fn batch(&self) -> Batch<'_> {
        Batch { objects: self, pending: BTreeMap::new() }
    }

    fn error(&self, doing: &'static str, name: &str) -> impl FnOnce(io::Error) -> ObjectError {
        let path = self.path.join(name);
        move |error| ObjectError::Io { doing, path, error }
    }

    /// Whether the object is there at `path`, which has two names.
    fn has(&self, path: &str) -> Result<bool, ObjectError> {
        let (parent, name) = path.split_once('/').unwrap_or_default();
        let Some(parent) = self.directory.sub(parent).map_err(self.error("open", parent))? else {
            return Ok(false);
        };
        Ok(parent.stat(name).map_err(self.error("look at", path))?.is_some())
    }

    fn flush(&self, name: &str) -> Result<(), ObjectError> {
        let file = self.directory.read(name).and_then(there);
        file.and_then(|file| file.sync_all()).map_err(self.error("flush", name))
    }

    /// A new file with a name that nobody else uses.
    fn temporary(&self) -> Result<(String, File), ObjectError> {
        loop {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            let name = format!(".tmp-{}-{number}", std::process::id());
            match self.directory.create(&name, 0o600) {
                Ok(file) => return Ok((name, file)),
                // Left behind by a process of the same number.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(self.error("make", &name)(error)),
            }
        }
    }

    /// Writes the object `id` to the new file at `name`.
    fn fill(&self, name: &str, mut file: File, id: &ObjectId, source: Source<'_>) -> Result<(), ObjectError> {
        let failed = |doing| move |error| ObjectError::Io { doing, path: self.path.join(name), error };
        let is_checked = match source {
            Source::Bytes(bytes) => {
                file.write_all(bytes).map_err(failed("write"))?;
                true
            }
            Source::File(source) => {
                copy(source, &mut file).map_err(failed("write"))?;
                false
            }
        };
        rustix::fs::fchmod(&file, Mode::from(0o644))
            .map_err(|errno| self.error("change the mode of", name)(errno.into()))?;
        // fs-verity wants nobody to write to it any more. It is enabled with this process's rights, so never on another
        // file that got the name.
        let readable = self.directory.read(name).and_then(there).map_err(failed("open"))?;
        if !is_same(&file, &readable) {
            return Err(failed("open")(io::Error::other("it is another file now")));
        }
        drop(file);
        if !is_checked {
            let (actual, _) = FileHasher::new(id.algorithm()).hash(&readable).map_err(failed("read"))?;
            if actual != *id {
                return Err(ObjectError::Changed(*id));
            }
        }
        // As with the C tool, an object without fs-verity is an object too.
        _ = self.kernel.enable_verity(readable.as_fd(), id.algorithm());
        Ok(())
    }
}

impl Batch<'_> {
    /// Stores the object `id`, unless it is there already.
    ///
    /// # Errors
    /// A failing filesystem; a source that is not the object any more.
    pub fn add(&mut self, id: &ObjectId, source: Source<'_>) -> Result<(), ObjectError> {
        let path = id.object_path();
        if self.pending.contains_key(&path) || self.objects.has(&path)? {
            return Ok(());
        }
        let (name, file) = self.objects.temporary()?;
        self.pending.insert(path, name.clone());
        self.objects.fill(&name, file, id, source)?;
        if self.pending.len() >= BATCH { self.flush() } else { Ok(()) }
    }

    /// Names the batch's objects, when they are on the disk.
    ///
    /// # Errors
    /// A failing filesystem.
    pub fn finish(mut self) -> Result<(), ObjectError> {
        self.flush()
    }

    fn flush(&mut self) -> Result<(), ObjectError> {
        let objects = self.objects;
        let directory = &objects.directory;
        if self.pending.len() > FLUSHED_SINGLY {
            rustix::fs::syncfs(directory).map_err(|errno| objects.error("flush", "")(errno.into()))?;
        } else {
            self.pending.values().try_for_each(|name| objects.flush(name))?;
        }
        while let Some(next) = self.pending.first_entry() {
            let (path, name) = (next.key(), next.get());
            let (parent, object) = path.split_once('/').unwrap_or_default();
            let below = directory.make_sub(parent, 0o755);
            let below = below.map_err(objects.error("make the directory", parent))?;
            directory.rename(name, &below, object).map_err(objects.error("make", path))?;
            next.remove();
        }
        Ok(())
    }
}

impl Drop for Batch<'_> {
    fn drop(&mut self) {
        for name in self.pending.values() {
            // There is nobody to tell, and the name says that it is of no use.
            _ = self.objects.directory.unlink(name);
        }
    }
}

/// A file that has to be there.
fn there(file: Option<File>) -> io::Result<File> {
    file.ok_or_else(|| io::ErrorKind::NotFound.into())
}

fn is_same(one: &File, other: &File) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let place = |file: &File| file.metadata().ok().map(|found| (found.dev(), found.ino()));
    place(one).is_some() && place(one) == place(other)
}

/// Copies all of `source`: by sharing its blocks where the filesystem can, otherwise within
/// the kernel (`std::io::copy` uses copy_file_range(2)).
fn copy(source: &File, target: &mut File) -> io::Result<()> {
    if rustix::fs::ioctl_ficlone(&*target, source).is_ok() {
        return Ok(());
    }
    rustix::fs::seek(source, rustix::fs::SeekFrom::Start(0))?;
    io::copy(&mut &*source, target).map(drop)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use sealpack_format::digest::Algorithm;
    use sealpack_format::verity::fsverity_digest;

    use super::*;

    fn names(path: &Path) -> Vec<String> {
        let mut names: Vec<_> = std::fs::read_dir(path)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn objects_get_their_names_when_the_batch_is_finished() {
        let place = tempfile::tempdir().unwrap();
        let (kernel, path) = (Kernel::new(), place.path().join("deep/objects"));
        let objects = Objects::open(&kernel, &path).unwrap();
        let id = fsverity_digest(Algorithm::Sha256, b"content");
        let mut batch = objects.batch();
        batch.add(&id, Source::Bytes(b"content")).unwrap();
        batch.add(&id, Source::Bytes(b"content")).unwrap();
        assert!(!path.join(id.object_path()).exists());
        batch.finish().unwrap();
        let object = path.join(id.object_path());
        assert_eq!(std::fs::read(&object).unwrap(), b"content");
        assert_eq!(object.metadata().unwrap().permissions().mode(), 0o100_644);
        assert_eq!(names(&path), [&id.object_path()[..2]]);
    }

    #[test]
    fn a_batch_that_is_given_up_leaves_nothing() {
        let place = tempfile::tempdir().unwrap();
        let kernel = Kernel::new();
        let objects = Objects::open(&kernel, place.path()).unwrap();
        let mut batch = objects.batch();
        batch.add(&fsverity_digest(Algorithm::Sha256, b"x"), Source::Bytes(b"x")).unwrap();
        assert_eq!(names(place.path()).len(), 1);
        drop(batch);
        assert_eq!(names(place.path()), [""; 0]);
    }

    #[test]
    fn a_file_that_is_not_the_object_any_more_is_not_stored_under_its_name() {
        let place = tempfile::tempdir().unwrap();
        let kernel = Kernel::new();
        let objects = Objects::open(&kernel, place.path()).unwrap();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"changed").unwrap();
        let before = fsverity_digest(Algorithm::Sha256, b"before");
        let error = objects.batch().add(&before, Source::File(&file)).unwrap_err();
        assert!(matches!(error, ObjectError::Changed(id) if id == before), "{error}");
        let now = fsverity_digest(Algorithm::Sha256, b"changed");
        let mut batch = objects.batch();
        batch.add(&now, Source::File(&file)).unwrap();
        batch.finish().unwrap();
        assert_eq!(names(place.path()), [&now.object_path()[..2]]);
    }
}
