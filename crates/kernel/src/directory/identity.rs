//! Whose rights are used below a directory.
//!
//! Only root has a choice. Below a directory of its own it keeps its rights. Below a directory of another user it takes
//! that user's: the file system user and group of the thread (setfsuid(2)), and no supplementary groups. With the file
//! system user the kernel takes away those capabilities that let root read, write and own everything
//! (`CAP_DAC_OVERRIDE`, `CAP_DAC_READ_SEARCH`, `CAP_CHOWN`, `CAP_FOWNER`, `CAP_FSETID`, `CAP_MKNOD`,
//! `CAP_LINUX_IMMUTABLE`, `CAP_MAC_OVERRIDE`), and gives them back with it (security/commoncap.c,
//! `cap_task_fix_setuid`). All three belong to the thread, so other threads go on as they are, and the effective user
//! stays root: the user can neither send signals to the process nor trace it.
//!
//! Rights never come back on the way down: below a directory that is written as a user, one of root's is written as that
//! user too.

use std::fs::File;
use std::io::{self, Read as _};
use std::marker::PhantomData;

use rustix::fs::{Gid, Stat};
use rustix::io::Errno;
use rustix::process::{geteuid, getgroups};
use rustix::thread::set_thread_groups;

use crate::raw::{set_fs_group, set_fs_user};

/// The group of files that users get whose own one is not known, and of nothing else.
const NO_GROUP: u32 = 65534;

/// The largest file that users are looked up in.
const PASSWD_MAX_BYTES: u64 = 4 * 1024 * 1024;

/// Whose rights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Identity {
    /// This process's, whatever they are.
    Own,
    /// Those of a user, taken by root.
    User { user: u32, group: u32 },
}

impl Identity {
    /// For what the owner of `stat` has made.
    pub(super) fn of_owner(stat: &Stat) -> io::Result<Self> {
        let user = stat.st_uid;
        if !geteuid().is_root() || user == 0 || !is_mapped(user) {
            return Ok(Self::Own);
        }
        let group = match primary_group(user)? {
            Some(group) => group,
            // One that root gave the directory, or its owner, who is in it.
            None if stat.st_gid != 0 => stat.st_gid,
            None => NO_GROUP,
        };
        Ok(Self::User { user, group })
    }

    /// For a directory with that status in one with these rights.
    pub(super) fn below(self, stat: &Stat) -> io::Result<Self> {
        match self {
            Self::Own => Self::of_owner(stat),
            user @ Self::User { .. } => Ok(user),
        }
    }

    pub(super) const fn user(self) -> Option<u32> {
        match self {
            Self::Own => None,
            Self::User { user, .. } => Some(user),
        }
    }

    /// Takes the rights for the calling thread, until the result is dropped. No thread may be started meanwhile: it
    /// would keep them.
    pub(super) fn assume(self) -> io::Result<Acting> {
        let Self::User { user, group } = self else {
            return Ok(Acting { before: None, _of_thread: PhantomData });
        };
        let groups = getgroups()?;
        let refused = |_| {
            let why = format!("it is of user {user}, and this process may not act as that user");
            io::Error::new(io::ErrorKind::PermissionDenied, why)
        };
        if !groups.is_empty() {
            set_thread_groups(&[]).map_err(refused)?;
        }
        // From here on, everything is put back by dropping this.
        let mut before = Before { user: None, group: None, groups };
        before.group = Some(set_fs_group(group));
        before.user = Some(set_fs_user(user));
        let acting = Acting { before: Some(before), _of_thread: PhantomData };
        // Both calls are silent about failures, and answer with what was there before.
        if set_fs_group(group) != group || set_fs_user(user) != user {
            drop(acting);
            return Err(refused(Errno::PERM));
        }
        Ok(acting)
    }

    /// An error, with the user in it where that explains it.
    pub(super) fn explain(self, errno: Errno) -> io::Error {
        match (self, errno) {
            (Self::User { user, .. }, Errno::ACCESS | Errno::PERM) => {
                let why = format!(
                    "{}, for user {user}, with whose rights that user's directory is written",
                    if errno == Errno::ACCESS { "Permission denied" } else { "Operation not permitted" }
                );
                io::Error::new(io::ErrorKind::PermissionDenied, why)
            }
            _ => errno.into(),
        }
    }
}

/// Rights that are taken; dropped, the thread has those that it had.
pub(super) struct Acting {
    before: Option<Before>,
    /// They are the thread's, and must not be given back by another one.
    _of_thread: PhantomData<*const ()>,
}

struct Before {
    user: Option<u32>,
    group: Option<u32>,
    groups: Vec<Gid>,
}

impl Drop for Acting {
    fn drop(&mut self) {
        let Some(before) = &self.before else { return };
        // The effective user and group are root's still, which always may be taken; and so may groups with them. Whatever
        // would fail here would leave the thread with less.
        if let Some(user) = before.user {
            set_fs_user(user);
        }
        if let Some(group) = before.group {
            set_fs_group(group);
        }
        if !before.groups.is_empty() {
            _ = set_thread_groups(&before.groups);
        }
    }
}

/// Whether this process's root has power over files of that user: in a user namespace, it has over those that the
/// namespace has a number for. All others have the same one.
fn is_mapped(user: u32) -> bool {
    let Ok(map) = std::fs::read_to_string("/proc/self/uid_map") else { return true };
    map.lines().any(|line| {
        let mut numbers = line.split_ascii_whitespace().filter_map(|number| number.parse::<u64>().ok());
        let (first, _, count) = (numbers.next(), numbers.next(), numbers.next());
        let (Some(first), Some(count)) = (first, count) else { return true };
        (first..first.saturating_add(count)).contains(&u64::from(user))
    })
}

/// The group that /etc/passwd gives a user (passwd(5)); other sources of users are not asked.
fn primary_group(user: u32) -> io::Result<Option<u32>> {
    let file = match File::open("/etc/passwd") {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    let mut text = Vec::new();
    file.take(PASSWD_MAX_BYTES).read_to_end(&mut text)?;
    Ok(group_of(user, &String::from_utf8_lossy(&text)))
}

fn group_of(user: u32, passwd: &str) -> Option<u32> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':').skip(2);
        let (id, group) = (fields.next()?, fields.next()?);
        (id.parse() == Ok(user)).then(|| group.parse().ok())?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_users_group_is_the_one_in_passwd() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\nbroken\nu:x:7:70::/:/bin/sh\n";
        assert_eq!(group_of(7, passwd), Some(70));
        assert_eq!(group_of(8, passwd), None);
    }
}
