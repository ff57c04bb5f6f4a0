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
pub struct LockWatcher(Option<Arc<Hear>>);

type Hear = dyn Fn(&LockWait) + Send + Sync;

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
    let (Some(wanted), Ok(locks)) = (place(file), fs::read_to_string("/proc/locks")) else {
        return Vec::new();
    };
    let mut pids: Vec<u32> = locks.lines().filter_map(|line| flock_owner(line, &wanted)).collect();
    pids.sort_unstable();
    pids.dedup();
    pids.into_iter().map(|pid| Holder { pid, command: command(pid) }).collect()
}

/// How the kernel's tables of locks name a file.
fn place(file: &File) -> Option<String> {
    let metadata = file.metadata().ok()?;
    let device = metadata.dev();
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    Some(format!("{major:02x}:{minor:02x}:{}", metadata.ino()))
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

/// Whether only other users' processes have a lock on `file`, root's not among them: nobody of these uses the store. Where
/// nobody is known to have it, it may be anybody.
pub(crate) fn is_foreign(file: &File) -> bool {
    let holders = holders(file);
    let users: Vec<_> = holders.iter().map(|holder| user_of(holder.pid)).collect();
    if holders.is_empty() || users.iter().flatten().any(|user| is_ours(*user)) {
        return false;
    }
    // The kernel names who took the lock. Where that process has ended, another one has its descriptor.
    users.iter().all(Option::is_some) || !one_of_ours_has(file)
}

fn is_ours(user: u32) -> bool {
    user == 0 || user == rustix::process::geteuid().as_raw()
}

/// Whether a process of this user or of root has a descriptor with a lock on `file` (proc_pid_fdinfo(5)).
fn one_of_ours_has(file: &File) -> bool {
    let (Some(wanted), Ok(processes)) = (place(file), fs::read_dir("/proc")) else { return true };
    let pids = processes.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let has = |pid: u32| {
        let Ok(descriptors) = fs::read_dir(format!("/proc/{pid}/fdinfo")) else { return false };
        descriptors.flatten().filter_map(|entry| fs::read_to_string(entry.path()).ok()).any(|text| {
            text.lines()
                .filter_map(|line| line.strip_prefix("lock:"))
                .any(|line| flock_owner(line.trim_start(), &wanted).is_some())
        })
    };
    pids.filter(|pid| user_of(*pid).is_some_and(is_ours)).any(has)
}

/// The real user of a process: a program that runs with another one's rights is still that one's who started it.
fn user_of(pid: u32) -> Option<u32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let users = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    users.split_ascii_whitespace().next()?.parse().ok()
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
