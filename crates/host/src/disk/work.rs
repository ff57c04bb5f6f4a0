//! The directory beside a disk in which it is made.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{Access, Mode, OFlags, access, open};
use tempfile::TempDir;

use super::error::DiskError;

/// What the names of such directories begin with.
const PREFIX: &str = ".sealpack-disk-";

/// A directory that goes when this is dropped. Whoever is killed leaves it, and with it hundreds of megabytes: it is locked as
/// long as it is in use, and the next disk that is made in the same place removes what nobody uses.
#[derive(Debug)]
pub(super) struct Work {
    directory: TempDir,
    _lock: File,
}

impl Work {
    /// Makes one in `place`, and removes those that were left there.
    ///
    /// # Errors
    /// If nothing can be written there.
    pub(super) fn new_in(place: &Path) -> Result<Self, DiskError> {
        // The error of a temporary directory would name that.
        access(place, Access::WRITE_OK | Access::EXEC_OK)
            .map_err(|error| DiskError::io("write to", place)(error.into()))?;
        remove_left_ones(place);
        loop {
            if let Some(work) = Self::try_new_in(place).map_err(DiskError::io("write to", place))? {
                return Ok(work);
            }
        }
    }

    /// `None` where somebody took the directory for one that was left, before it was locked.
    fn try_new_in(place: &Path) -> io::Result<Option<Self>> {
        let directory = tempfile::Builder::new().prefix(PREFIX).tempdir_in(place)?;
        let lock = match File::open(directory.path()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened?,
        };
        lock.lock()?;
        let is_there = directory.path().exists();
        Ok(is_there.then_some(Self { directory, _lock: lock }))
    }

    pub(super) fn path(&self) -> &Path {
        self.directory.path()
    }
}

/// Removes the directories in `place` that this user left. What cannot be removed, or seen, stays, and harms nobody.
fn remove_left_ones(place: &Path) {
    for entry in fs::read_dir(place).into_iter().flatten().flatten() {
        if !entry.file_name().as_encoded_bytes().starts_with(PREFIX.as_bytes()) {
            continue;
        }
        // Held until it is gone: nobody takes it into use meanwhile.
        if let Some(_lock) = lock_left_one(&entry.path()) {
            _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// The lock of a directory of this user that nobody else holds.
fn lock_left_one(path: &Path) -> Option<File> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let directory = File::from(open(path, flags, Mode::empty()).ok()?);
    let is_ours = directory.metadata().ok()?.uid() == rustix::process::geteuid().as_raw();
    (is_ours && directory.try_lock().is_ok()).then_some(directory)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(place: &Path) -> Vec<String> {
        let entries = fs::read_dir(place).expect("it is there").map(|entry| entry.expect("an entry"));
        let mut names: Vec<String> =
            entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    /// `host disk` was killed, and a copy of the image was beside the disk from then on.
    #[test]
    fn what_somebody_left_who_was_killed_goes_and_what_is_in_use_stays() {
        let place = tempfile::tempdir().expect("a directory");
        let used = Work::new_in(place.path()).expect("the first");
        let left = place.path().join(format!("{PREFIX}left"));
        fs::create_dir_all(left.join("content/store")).expect("what was left");
        let [file, other] = [format!("{PREFIX}file"), "other".to_owned()];
        fs::write(place.path().join(&file), "mine").expect("a file");
        fs::create_dir(place.path().join(&other)).expect("another directory");
        let second = Work::new_in(place.path()).expect("the second");
        assert!(!left.exists() && used.path().exists() && second.path().exists());
        drop((used, second));
        assert_eq!(names(place.path()), [file, other]);
    }

    #[test]
    fn a_place_that_is_not_there_is_named() {
        let error = Work::new_in(Path::new("/nowhere/at/all")).expect_err("it is not there").to_string();
        assert_eq!(error, "cannot write to /nowhere/at/all: No such file or directory (os error 2)");
    }
}
