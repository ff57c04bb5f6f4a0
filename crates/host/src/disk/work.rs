//! The directory beside a disk in which it is made.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use rustix::fs::{Access, Mode, OFlags, access, open};
use tempfile::TempDir;

use super::error::DiskError;

/// What the names of such directories begin with.
const PREFIX: &str = ".sealpack-disk-";
/// Nobody else looks into them.
const MODE: u32 = 0o700;
/// What is to be on the data partition, in such a directory.
pub(super) const CONTENT: &str = "content";
/// The disk itself, in such a directory.
pub(super) const DISK: &str = "disk";

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
        let mode = fs::Permissions::from_mode(MODE);
        let directory = tempfile::Builder::new().prefix(PREFIX).permissions(mode).tempdir_in(place)?;
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

/// The lock of a directory that nobody else holds, if it is of this user and looks as those that are made here.
fn lock_left_one(path: &Path) -> Option<File> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let directory = File::from(open(path, flags, Mode::empty()).ok()?);
    let metadata = directory.metadata().ok()?;
    let is_ours = metadata.uid() == rustix::process::geteuid().as_raw() && metadata.mode() & 0o777 == MODE;
    (is_ours && directory.try_lock().is_ok() && has_nothing_else(path).ok()?).then_some(directory)
}

/// Whether there is nothing in the directory but what is made in such a one.
fn has_nothing_else(path: &Path) -> io::Result<bool> {
    for entry in fs::read_dir(path)? {
        let name = entry?.file_name();
        if name != CONTENT && name != DISK {
            return Ok(false);
        }
    }
    Ok(true)
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
        fs::write(left.join("disk"), "half").expect("what was left");
        set_mode(&left, 0o700);
        let [file, other] = [format!("{PREFIX}file"), "other".to_owned()];
        fs::write(place.path().join(&file), "mine").expect("a file");
        fs::create_dir(place.path().join(&other)).expect("another directory");
        let second = Work::new_in(place.path()).expect("the second");
        assert!(!left.exists() && used.path().exists() && second.path().exists());
        drop((used, second));
        assert_eq!(names(place.path()), [file, other]);
    }

    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("it is ours");
    }

    /// Whoever gives a directory of theirs such a name does not lose it.
    #[test]
    fn what_only_has_the_name_of_one_that_was_left_stays() {
        let place = tempfile::tempdir().expect("a directory");
        let [open, other] = ["open", "other"].map(|name| place.path().join(format!("{PREFIX}{name}")));
        fs::create_dir_all(open.join("content")).expect("a directory that others may look into");
        set_mode(&open, 0o755);
        fs::create_dir_all(other.join("content")).expect("a directory with something else in it");
        fs::write(other.join("disk.img"), "mine").expect("a file");
        set_mode(&other, 0o700);
        drop(Work::new_in(place.path()).expect("it is made"));
        assert!(open.join("content").exists() && other.join("disk.img").exists());
        // With these two changed it is as one that was left.
        set_mode(&open, 0o700);
        fs::remove_file(other.join("disk.img")).expect("it is there");
        drop(Work::new_in(place.path()).expect("it is made"));
        assert_eq!(names(place.path()), [""; 0]);
    }

    #[test]
    fn a_place_that_is_not_there_is_named() {
        let error = Work::new_in(Path::new("/nowhere/at/all")).expect_err("it is not there").to_string();
        assert_eq!(error, "cannot write to /nowhere/at/all: No such file or directory (os error 2)");
    }
}
