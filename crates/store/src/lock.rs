//! Who may use the store at the same time: flock(2) on the file `lock`.

use std::fmt;
use std::fs::{self, File, TryLockError};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::dir::Dir;
use crate::error::{Error, Result};
use crate::places::{LOCK, REFS};

/// How often a lock that is waited for is tried.
const RETRY: Duration = Duration::from_millis(50);

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
    _file: Locked,
    kind: LockKind,
}

impl Lock {
    /// The kind of the lock.
    #[must_use]
    pub const fn kind(&self) -> LockKind {
        self.kind
    }

    /// Takes the lock of the store in `root`, waiting for at most `wait`.
    pub(crate) fn take(root: &Dir, kind: LockKind, wait: Duration) -> Result<Self> {
        Self::take_on(root, LOCK, kind, wait)
    }

    /// Takes the lock under which a store is made: one on the directory itself, so that nobody who
    /// uses the store that another process has just made is waited for.
    pub(crate) fn take_for_making(root: &Dir, wait: Duration) -> Result<Self> {
        Self::take_on(root, ".", LockKind::Exclusive, wait)
    }

    /// Takes the lock under which a name, its history or its epoch changes. Whoever has it does nothing else.
    pub(crate) fn take_for_names(root: &Dir, wait: Duration) -> Result<Self> {
        Self::take_on(root, REFS, LockKind::Exclusive, wait)
    }

    fn take_on(root: &Dir, name: &str, kind: LockKind, wait: Duration) -> Result<Self> {
        let path = root.at(name);
        let file = root.read(name)?.ok_or_else(|| Error::io("open", &path, rustix::io::Errno::NOENT))?;
        let deadline = Instant::now().checked_add(wait);
        loop {
            match try_lock(&file, kind) {
                Ok(()) => return Ok(Self { _file: Locked(file), kind }),
                Err(TryLockError::Error(e)) => return Err(Error::io("lock", path, e)),
                Err(TryLockError::WouldBlock) => {}
            }
            // A wait beyond what the clock can count is for ever.
            let left = deadline.map_or(RETRY, |deadline| deadline.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                return Err(LockError { store: root.path().to_owned(), wait, holders: holders(&file) }.into());
            }
            std::thread::sleep(left.min(RETRY));
        }
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

/// A process that has the lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// Its process id.
    pub pid: u32,
    /// Its command line, or as much of it as is known.
    pub command: Option<String>,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "process {}", self.pid)?;
        self.command.iter().try_for_each(|command| write!(f, " ({command})"))
    }
}

/// The lock was not to be had in time.
#[derive(Debug, thiserror::Error)]
pub struct LockError {
    /// The store.
    pub store: PathBuf,
    /// How long was waited.
    pub wait: Duration,
    /// Who has it, as far as it can be found out.
    pub holders: Vec<Holder>,
}

impl fmt::Display for LockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the store {} is in use", self.store.display())?;
        for (index, holder) in self.holders.iter().enumerate() {
            write!(f, "{}{holder}", if index == 0 { " by " } else { ", " })?;
        }
        if !self.wait.is_zero() {
            write!(f, " (waited {} s)", self.wait.as_secs())?;
        }
        f.write_str(": try again when that is done")
    }
}

/// The processes that hold a lock on `file`, from /proc/locks (proc_locks(5)): complete without
/// anybody writing down anything, and never out of date.
fn holders(file: &File) -> Vec<Holder> {
    let (Ok(metadata), Ok(locks)) = (file.metadata(), fs::read_to_string("/proc/locks")) else {
        return Vec::new();
    };
    let device = metadata.dev();
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    let wanted = format!("{major:02x}:{minor:02x}:{}", metadata.ino());
    let mut pids: Vec<u32> = locks.lines().filter_map(|line| flock_owner(line, &wanted)).collect();
    pids.sort_unstable();
    pids.dedup();
    pids.into_iter().map(|pid| Holder { pid, command: command(pid) }).collect()
}

/// The process of a line such as `1: FLOCK  ADVISORY  WRITE 708 00:13:9512 0 EOF` about `file`.
/// Lines of waiting processes have `->` in the second place.
fn flock_owner(line: &str, file: &str) -> Option<u32> {
    let mut words = line.split_ascii_whitespace().skip(1);
    if words.next()? != "FLOCK" {
        return None;
    }
    let pid = words.nth(2)?;
    (words.next()? == file).then(|| pid.parse().ok()).flatten()
}

fn command(pid: u32) -> Option<String> {
    let line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let words = line.split(|byte| *byte == 0).filter(|word| !word.is_empty());
    let words: Vec<_> = words.map(String::from_utf8_lossy).collect();
    // What a process calls itself must not move the terminal's cursor.
    let text: String = words.join(" ").chars().filter(|c| !c.is_control()).take(100).collect();
    (!text.is_empty()).then_some(text)
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

    #[test]
    fn owners_are_read_from_lines_of_the_kernels_table() {
        let file = "fe:00:123";
        let owner = |line| flock_owner(line, file);
        assert_eq!(owner("1: FLOCK  ADVISORY  WRITE 708 fe:00:123 0 EOF"), Some(708));
        assert_eq!(owner("1: FLOCK  ADVISORY  WRITE 708 fe:00:1234 0 EOF"), None);
        assert_eq!(owner("1: -> FLOCK  ADVISORY  WRITE 709 fe:00:123 0 EOF"), None);
        assert_eq!(owner("2: POSIX  ADVISORY  READ 5433 fe:00:123 128 128"), None);
        assert_eq!(owner("3: FLOCK  ADVISORY  READ -1 fe:00:123 0 EOF"), None);
        assert_eq!(owner(""), None);
    }
}
