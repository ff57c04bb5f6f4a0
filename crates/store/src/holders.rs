//! Who has a lock, and what to say of it.

use std::fmt;
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

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

/// A lock is waited for, and has been for a while.
#[derive(Debug, Clone)]
pub struct LockWait {
    /// The store.
    pub store: PathBuf,
    /// Who has it, as far as it can be found out.
    pub holders: Vec<Holder>,
    /// How much longer it will be waited for at most.
    pub left: Duration,
}

impl fmt::Display for LockWait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "waiting for the store {}, which is in use", self.store.display())?;
        for (index, holder) in self.holders.iter().enumerate() {
            write!(f, "{}{holder}", if index == 0 { " by " } else { ", " })?;
        }
        write!(f, ": for {} s more at most", self.left.as_secs())
    }
}

/// Hears that a lock is waited for, once for each that was not there within a second.
#[derive(Clone, Default)]
pub struct LockWatcher(Option<Arc<dyn Fn(&LockWait) + Send + Sync>>);

impl LockWatcher {
    /// Calls `hear`.
    pub fn new(hear: impl Fn(&LockWait) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(hear)))
    }

    pub(crate) fn hear(&self, wait: impl FnOnce() -> LockWait) {
        if let Some(hear) = &self.0 {
            hear(&wait());
        }
    }
}

impl fmt::Debug for LockWatcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "LockWatcher(…)" } else { "LockWatcher" })
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
pub(crate) fn holders(file: &File) -> Vec<Holder> {
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
