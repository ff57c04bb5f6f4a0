//! Trees of directories that somebody else made as deep as he liked: containers'.
//!
//! A container makes directories below directories until the disk has no inodes any more. A function that calls itself for
//! each of them ends with its thread's stack, one that keeps each open with the process's descriptors, and one that names
//! them by path with `PATH_MAX`. Here neither grows with the depth: the way down is a list, of which the last
//! [`OPEN_MAX`] are open, and the way up is `..`, which has to lead where one came from.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, Dir, Mode, OFlags, fstat, open, openat, statat, unlinkat};
use rustix::io::Errno;

/// How many directories on the way down are open at once.
const OPEN_MAX: usize = 32;

const DIRECTORY: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// A directory on the way down.
struct Level {
    /// What it is called in the one above.
    name: CString,
    /// Open, unless it is far above.
    directory: Option<OwnedFd>,
    /// By which it is known again: device and inode.
    identity: (u64, u64),
    /// The directories in it that are still to be entered.
    waiting: Vec<CString>,
}

impl Level {
    /// Opens a directory; `None` where it is none, or none any more.
    fn open(parent: BorrowedFd<'_>, name: &CStr) -> io::Result<Option<Self>> {
        match openat(parent, name, DIRECTORY, Mode::empty()) {
            Ok(directory) => {
                let identity = identity(&directory)?;
                Ok(Some(Self {
                    name: name.to_owned(),
                    directory: Some(directory),
                    identity,
                    waiting: Vec::new(),
                }))
            }
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn directory(&self) -> BorrowedFd<'_> {
        self.directory.as_ref().expect("the last directory on the way is open").as_fd()
    }

    /// Shows each entry to `seen`, and notes those that are to be entered.
    fn look(&mut self, seen: &mut impl FnMut(BorrowedFd<'_>, &CStr) -> io::Result<bool>) -> io::Result<()> {
        let mut entries = Dir::read_from(self.directory())?;
        while let Some(entry) = entries.read() {
            let entry = entry?;
            let name = entry.file_name();
            if name != c"." && name != c".." && seen(self.directory(), name)? {
                self.waiting.push(name.to_owned());
            }
        }
        Ok(())
    }
}

fn identity(directory: &OwnedFd) -> io::Result<(u64, u64)> {
    let stat = fstat(directory)?;
    Ok((stat.st_dev, stat.st_ino))
}

/// Goes through all that is below `top`, no links followed: `seen` gets each entry with the directory that it is in, and says
/// whether it is a directory to be entered; `left` gets each of those, empty of what `seen` was shown, when it is left.
///
/// What goes, or becomes something else, meanwhile is passed over.
fn through(
    top: &Path,
    mut seen: impl FnMut(BorrowedFd<'_>, &CStr) -> io::Result<bool>,
    mut left: impl FnMut(BorrowedFd<'_>, &CStr) -> io::Result<()>,
) -> io::Result<()> {
    let directory = open(top, DIRECTORY, Mode::empty())?;
    let identity = identity(&directory)?;
    let mut way =
        vec![Level { name: CString::default(), directory: Some(directory), identity, waiting: Vec::new() }];
    way[0].look(&mut seen)?;
    while let Some(level) = way.last_mut() {
        if let Some(name) = level.waiting.pop() {
            let Some(mut below) = Level::open(level.directory(), &name)? else { continue };
            below.look(&mut seen)?;
            way.push(below);
            if let Some(far) = way.len().checked_sub(OPEN_MAX + 1) {
                way[far].directory = None;
            }
            continue;
        }
        let done = way.pop().expect("it was the last one");
        if let Some(parent) = way.last_mut() {
            go_up(&done, parent)?;
            left(parent.directory(), &done.name)?;
        }
    }
    Ok(())
}

/// Has `parent` open again, which `..` of what is in it has to be.
fn go_up(done: &Level, parent: &mut Level) -> io::Result<()> {
    if parent.directory.is_none() {
        let above = openat(done.directory(), c"..", DIRECTORY, Mode::empty())?;
        if identity(&above)? != parent.identity {
            return Err(io::Error::other("a directory in it was moved meanwhile"));
        }
        parent.directory = Some(above);
    }
    Ok(())
}

/// Removes a directory with all that is in it, however deep it is. No link is followed.
///
/// # Errors
/// Of the system: [`io::ErrorKind::NotFound`] where there is no such directory.
pub fn remove(path: &Path) -> io::Result<()> {
    let seen = |directory: BorrowedFd<'_>, name: &CStr| match unlinkat(directory, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(false),
        Err(Errno::ISDIR) => match unlinkat(directory, name, AtFlags::REMOVEDIR) {
            Ok(()) | Err(Errno::NOENT) => Ok(false),
            Err(Errno::NOTEMPTY | Errno::EXIST) => Ok(true),
            Err(error) => Err(error.into()),
        },
        Err(error) => Err(error.into()),
    };
    let left = |directory: BorrowedFd<'_>, name: &CStr| Ok(unlinkat(directory, name, AtFlags::REMOVEDIR)?);
    through(path, seen, left)?;
    std::fs::remove_dir(path)
}

/// Has `seen` look at everything below a directory, however deep it is, with what stat(2) says of it. No link is followed;
/// what goes meanwhile is passed over.
///
/// # Errors
/// Of the system.
pub fn look(path: &Path, mut seen: impl FnMut(&rustix::fs::Stat)) -> io::Result<()> {
    let each = |directory: BorrowedFd<'_>, name: &CStr| {
        let stat = match statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => return Ok(false),
            other => other?,
        };
        seen(&stat);
        Ok(rustix::fs::FileType::from_raw_mode(stat.st_mode).is_dir())
    };
    through(path, each, |_, _| Ok(()))
}

#[cfg(test)]
pub(crate) mod tests {
    use std::fs;

    use rustix::fs::mkdirat;

    use super::*;

    /// More than a path has names, and than there is room for calls on a stack of the size below.
    const DEPTH: usize = 3000;
    const STACK_BYTES: usize = 128 * 1024;

    /// Makes so many directories below one another, with a link in the last.
    pub(crate) fn deep(top: &Path, depth: usize) {
        let mut here = open(top, DIRECTORY, Mode::empty()).unwrap();
        for _ in 0..depth {
            mkdirat(&here, c"d", Mode::RWXU).unwrap();
            here = openat(&here, c"d", DIRECTORY, Mode::empty()).unwrap();
        }
        rustix::fs::symlinkat(c"/", &here, c"link").unwrap();
    }

    #[test]
    fn a_tree_deeper_than_stacks_descriptors_and_paths_is_seen_and_removed() {
        let directory = tempfile::tempdir().unwrap();
        let top = directory.path().join("top");
        fs::create_dir(&top).unwrap();
        deep(&top, DEPTH);
        let work = || {
            let mut count = 0;
            look(&top, |_| count += 1).unwrap();
            remove(&top).unwrap();
            count
        };
        let count = std::thread::scope(|scope| {
            let builder = std::thread::Builder::new().stack_size(STACK_BYTES);
            builder.spawn_scoped(scope, work).unwrap().join().unwrap()
        });
        assert_eq!(count, DEPTH + 1);
        assert!(!top.exists() && directory.path().exists());
        assert_eq!(remove(&top).unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn what_links_lead_to_stays_and_many_branches_are_all_entered() {
        let directory = tempfile::tempdir().unwrap();
        let (top, outside) = (directory.path().join("top"), directory.path().join("outside"));
        fs::create_dir_all(outside.join("kept")).unwrap();
        for branch in 0..3 {
            let branch = top.join(format!("{branch}"));
            fs::create_dir_all(&branch).unwrap();
            deep(&branch, OPEN_MAX * 2);
            std::os::unix::fs::symlink(&outside, branch.join("d/out")).unwrap();
            fs::write(branch.join("d/file"), "x").unwrap();
        }
        let mut count = 0;
        look(&top, |_| count += 1).unwrap();
        assert_eq!(count, 3 * (1 + OPEN_MAX * 2 + 3));
        assert!(remove(&top.join("0/d/out")).is_err(), "a link is no directory");
        remove(&top).unwrap();
        assert!(!top.exists() && outside.join("kept").exists());
    }
}
