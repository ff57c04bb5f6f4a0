//! Who may use the store at the same time: flock(2) on files that only the store's owner can open.

use std::fs::{File, TryLockError};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::dir::Dir;
use crate::error::{Error, Result};
use crate::holders::{LockError, LockWait, LockWatcher, holders, is_foreign};
use crate::places::{LOCK, MAKING_LOCK, NAMES_LOCK, REFS};

/// How often a lock that is waited for is tried.
const RETRY: Duration = Duration::from_millis(50);

/// After how long it is told that a lock is waited for.
const TELL_AFTER: Duration = Duration::from_secs(1);

/// How long a lock is waited for, and who hears of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience<'a> {
    pub(crate) wait: Duration,
    pub(crate) watcher: &'a LockWatcher,
}

/// With whom a lock can be held together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LockKind {
    /// With all other shared ones: pull, mount, read.
    Shared,
    /// With nobody: gc, repair.
    Exclusive,
}

/// A lock on a store, held until it is dropped or the process ends, however it ends.
#[derive(Debug)]
pub struct Lock {
    /// The second is what earlier versions lock.
    _files: (Locked, Option<Locked>),
    kind: LockKind,
}

impl Lock {
    /// The kind of the lock.
    #[must_use]
    pub const fn kind(&self) -> LockKind {
        self.kind
    }

    /// Takes the lock of the store in `root`, waiting with `patience`.
    pub(crate) fn take(root: &Dir, kind: LockKind, patience: Patience<'_>) -> Result<Self> {
        let missing = || Error::io("open", root.at(LOCK), rustix::io::Errno::NOENT);
        let file = root.read(LOCK)?.ok_or_else(missing)?;
        let file = lock(root, file, LOCK, (kind, patience), |_| false)?;
        let file = file.ok_or_else(missing)?;
        Ok(Self { _files: (file, None), kind })
    }

    /// Takes the lock under which a store is made: one of its own, so that nobody who uses the store that another
    /// process has just made is waited for.
    pub(crate) fn take_for_making(root: &Dir, patience: Patience<'_>) -> Result<Self> {
        Self::take_private(root, MAKING_LOCK, ".", patience)
    }

    /// Takes the lock under which a name, its history or its epoch changes. Whoever has it does nothing else.
    pub(crate) fn take_for_names(root: &Dir, patience: Patience<'_>) -> Result<Self> {
        Self::take_private(root, NAMES_LOCK, REFS, patience)
    }

    /// Takes a lock on the file `private`, which only the owner can open, and on the directory `earlier`, which earlier
    /// versions lock. That one, whoever has got into the store could have as well: a lock on it that only other users'
    /// processes have does not count.
    fn take_private(root: &Dir, private: &str, earlier: &str, patience: Patience<'_>) -> Result<Self> {
        let missing = |name| Error::io("open", root.at(name), rustix::io::Errno::NOENT);
        let (kind, how) = (LockKind::Exclusive, (LockKind::Exclusive, patience));
        let file = lock(root, root.append(private, 0o600)?, private, how, |_| false)?;
        let file = file.ok_or_else(|| missing(private))?;
        let directory = root.read(earlier)?.ok_or_else(|| missing(earlier))?;
        let directory = lock(root, directory, earlier, how, is_foreign)?;
        Ok(Self { _files: (file, directory), kind })
    }
}

/// Takes a lock on `file`, which is `name` in `root`; `None` when somebody has it and `does_not_count` says so.
fn lock(
    root: &Dir,
    file: File,
    name: &str,
    (kind, Patience { wait, watcher }): (LockKind, Patience<'_>),
    does_not_count: impl Fn(&File) -> bool,
) -> Result<Option<Locked>> {
    let start = Instant::now();
    let deadline = start.checked_add(wait);
    let mut is_told = false;
    loop {
        match try_lock(&file, kind) {
            Ok(()) => return Ok(Some(Locked(file))),
            Err(TryLockError::Error(e)) => return Err(Error::io("lock", root.at(name), e)),
            Err(TryLockError::WouldBlock) if does_not_count(&file) => return Ok(None),
            Err(TryLockError::WouldBlock) => {}
        }
        // A wait beyond what the clock can count is for ever.
        let left = deadline.map_or(RETRY, |deadline| deadline.saturating_duration_since(Instant::now()));
        if left.is_zero() {
            return Err(LockError { store: root.path().to_owned(), wait, holders: holders(&file) }.into());
        }
        if !is_told && start.elapsed() >= TELL_AFTER {
            is_told = true;
            let left = deadline.map_or(wait, |_| left);
            watcher.hear(|| LockWait { store: root.path().to_owned(), holders: holders(&file), left });
        }
        std::thread::sleep(left.min(RETRY));
    }
}

/// Takes the lock at once or not at all.
fn try_lock(file: &File, kind: LockKind) -> std::result::Result<(), TryLockError> {
    match kind {
        LockKind::Shared => file.try_lock_shared(),
        LockKind::Exclusive => file.try_lock(),
    }
}

/// A file with a lock on it.
///
/// Closing it would not be enough to release the lock: a thread that starts a program at that moment
/// has a copy of the descriptor in the new process until its exec.
#[derive(Debug)]
pub(crate) struct Locked(File);

impl Locked {
    /// Takes an exclusive lock on `file`, which is at `path`, if nobody has one.
    pub(crate) fn try_new(file: File, path: impl FnOnce() -> PathBuf) -> Result<Option<Self>> {
        match file.try_lock() {
            Ok(()) => Ok(Some(Self(file))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(e)) => Err(Error::io("lock", path(), e)),
        }
    }
}

impl Drop for Locked {
    fn drop(&mut self) {
        // If this fails, closing the file does it, perhaps a little later.
        let _ = self.0.unlock();
    }
}

impl std::ops::Deref for Locked {
    type Target = File;

    fn deref(&self) -> &File {
        &self.0
    }
}

impl std::ops::DerefMut for Locked {
    fn deref_mut(&mut self) -> &mut File {
        &mut self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Between fork and exec, a program that another thread starts has a copy of every descriptor.
    #[test]
    fn a_lock_is_released_although_somebody_has_a_copy_of_the_descriptor() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let lock = || Locked::try_new(File::open(file.path()).unwrap(), PathBuf::new).unwrap();
        let first = lock().unwrap();
        let copy = first.try_clone().unwrap();
        assert!(lock().is_none());
        drop(first);
        assert!(lock().is_some());
        drop(copy);
    }
}
