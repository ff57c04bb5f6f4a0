//! Writing below a directory that may be another user's.
//!
//! Root that writes by path into a directory of a user does what the user wants: a link in the path, put there in the
//! middle of it, leads to where only root may write. So a [`Directory`] is opened once. Everything below it is reached by
//! single names from its descriptor, and no link is followed there. Where the directory is another user's and this
//! process is root, every call is made with that user's rights, and what is made belongs to that user
//! ([`identity`](self) has the rules).
//!
//! Failures are [`std::io::Error`]: the paths are for the callers to say, in their words.

mod identity;
mod path;
#[cfg(test)]
mod tests;

use std::ffi::{CStr, OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, RenameFlags, Stat};
use rustix::io::Errno;

use identity::Identity;

/// What is said of a link that is in the way.
const LINK: &str = "a symbolic link, which is not followed to write";

/// How deep [`Directory::remove_all`] goes: one descriptor is open for each level.
const DEPTH_MAX: usize = 64;

/// An open directory, and whose rights are used below it.
#[derive(Debug)]
pub struct Directory {
    fd: OwnedFd,
    path: PathBuf,
    identity: Identity,
}

impl Directory {
    /// Opens the directory at `path`. Links that root or this user made are followed; one that another user made is
    /// followed with that user's rights, which are then all that there are below.
    ///
    /// # Errors
    /// It is not there or no directory; this process may not act as the user who owns it.
    pub fn open(path: &Path) -> io::Result<Self> {
        path::open(path, None)
    }

    /// As [`open`](Self::open), and makes what is missing of the path with `mode` (before the umask).
    ///
    /// # Errors
    /// As for [`open`](Self::open); a directory on the way cannot be written by its owner.
    pub fn open_or_make(path: &Path, mode: u32) -> io::Result<Self> {
        path::open(path, Some(mode))
    }

    /// The directory that a file at `path` is in, opened, and the file's name there.
    ///
    /// # Errors
    /// As for [`open`](Self::open); `EINVAL` for a path such as `/` or `..`, which is no file's.
    pub fn of_file(path: &Path) -> io::Result<(Self, OsString)> {
        let name = path.file_name().ok_or(Errno::INVAL)?;
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        Ok((Self::open(parent.unwrap_or(Path::new(".")))?, name.to_owned()))
    }

    /// Its path, as it was asked for.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The user whose rights are used below it, where these are not simply this process's.
    #[must_use]
    pub fn acting_as(&self) -> Option<u32> {
        self.identity.user()
    }

    /// Opens the directory `name` in it; `None` when there is nothing.
    ///
    /// # Errors
    /// A link, or something else that is no directory.
    pub fn sub(&self, name: impl AsRef<OsStr>) -> io::Result<Option<Self>> {
        let name = name.as_ref();
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let opened = self.acting(name, |name| rustix::fs::openat(&self.fd, name, flags, Mode::empty()));
        let fd = match opened {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) if is_in_the_way(&error) && self.is_link(name) => return Err(io::Error::other(LINK)),
            fd => fd?,
        };
        let identity = self.identity.below(&rustix::fs::fstat(&fd)?)?;
        Ok(Some(Self { fd, path: self.path.join(name), identity }))
    }

    /// Opens the directory `name` in it, and makes it before with `mode` (before the umask) if it is not there.
    ///
    /// # Errors
    /// As for [`sub`](Self::sub).
    pub fn make_sub(&self, name: impl AsRef<OsStr>, mode: u32) -> io::Result<Self> {
        let name = name.as_ref();
        match self.make(name, mode) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
            _ => self.sub(name)?.ok_or_else(|| Errno::NOENT.into()),
        }
    }

    /// Makes the directory `name` with `mode` (before the umask).
    ///
    /// # Errors
    /// `EEXIST` when anything has the name; no room, no permission.
    pub fn make(&self, name: impl AsRef<OsStr>, mode: u32) -> io::Result<()> {
        self.acting(name.as_ref(), |name| rustix::fs::mkdirat(&self.fd, name, Mode::from_raw_mode(mode)))
    }

    /// Makes the file `name` with `mode` (before the umask), for reading and writing.
    ///
    /// # Errors
    /// `EEXIST` when anything has the name; no room, no permission.
    pub fn create(&self, name: impl AsRef<OsStr>, mode: u32) -> io::Result<File> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL;
        self.open_file(name.as_ref(), flags, mode)
    }

    /// Opens the regular file `name` for reading; `None` when there is nothing. Does not wait for the other end of a pipe.
    ///
    /// # Errors
    /// A link, or something else that is no regular file; one that the directory's owner may not read.
    pub fn read(&self, name: impl AsRef<OsStr>) -> io::Result<Option<File>> {
        let name = name.as_ref();
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
        match self.open_file(name, flags, 0) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) if is_in_the_way(&error) && self.is_link(name) => Err(io::Error::other(LINK)),
            file => regular(file?).map(Some),
        }
    }

    /// Opens what is at `name` for writing, a pipe or a device; waits for the other end of a pipe.
    ///
    /// # Errors
    /// A link; no permission.
    pub fn open_to_write(&self, name: impl AsRef<OsStr>) -> io::Result<File> {
        self.open_file(name.as_ref(), OFlags::WRONLY | OFlags::NOCTTY, 0)
    }

    /// Opens the file `name` to lock it, and makes it before if it is not there. Only who may write to the directory can
    /// open it: a lock on something that all may read could be taken by anybody, and kept.
    ///
    /// # Errors
    /// A link, or something else that is no regular file; no permission.
    pub fn lock_file(&self, name: impl AsRef<OsStr>) -> io::Result<File> {
        let name = name.as_ref();
        let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::NOCTTY;
        let directory = rustix::fs::fstat(&self.fd)?;
        // Of the permissions to write to the directory, those to read and write the file.
        let mode = 0o600 | (directory.st_mode & 0o022) | ((directory.st_mode & 0o022) << 1);
        match self.open_file(name, flags | OFlags::CREATE | OFlags::EXCL, 0o600) {
            Ok(file) => {
                if mode != 0o600 {
                    let group = rustix::fs::Gid::from_raw(directory.st_gid);
                    let _acting = self.identity.assume()?;
                    // Only somebody of the group may give it the group. Without it, the group just cannot lock.
                    if rustix::fs::fchown(&file, None, Some(group)).is_ok() {
                        rustix::fs::fchmod(&file, Mode::from_raw_mode(mode))?;
                    }
                }
                Ok(file)
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let file = regular(self.open_file(name, flags, 0)?)?;
                let found = rustix::fs::fstat(&file)?.st_mode & 0o7777;
                if found & !mode != 0 {
                    let _acting = self.identity.assume()?;
                    // One that is somebody else's is that one's to close.
                    _ = rustix::fs::fchmod(&file, Mode::from_raw_mode(found & mode));
                }
                Ok(file)
            }
            Err(error) => Err(error),
        }
    }

    fn open_file(&self, name: &OsStr, flags: OFlags, mode: u32) -> io::Result<File> {
        let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        self.acting(name, |name| rustix::fs::openat(&self.fd, name, flags, Mode::from_raw_mode(mode)))
            .map(File::from)
    }

    /// The status of `name` itself; `None` when there is nothing.
    ///
    /// # Errors
    /// Failures of the system.
    pub fn stat(&self, name: impl AsRef<OsStr>) -> io::Result<Option<Stat>> {
        let stat = |name: &OsStr| rustix::fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW);
        match self.acting(name.as_ref(), stat) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            other => other.map(Some),
        }
    }

    /// Whether `name` is the file that `file` has open: it may have been exchanged for another one.
    ///
    /// # Errors
    /// Failures of the system.
    pub fn is(&self, name: impl AsRef<OsStr>, file: impl AsFd) -> io::Result<bool> {
        let ours = rustix::fs::fstat(file)?;
        Ok(self.stat(name)?.is_some_and(|stat| (stat.st_dev, stat.st_ino) == (ours.st_dev, ours.st_ino)))
    }

    fn is_link(&self, name: &OsStr) -> bool {
        self.stat(name).is_ok_and(|stat| {
            stat.is_some_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Symlink)
        })
    }

    /// Renames `from` to `to` in the directory `directory`, which is below this one or this one, over what is there.
    ///
    /// # Errors
    /// Failures of the system.
    pub fn rename(&self, from: impl AsRef<OsStr>, directory: &Self, to: impl AsRef<OsStr>) -> io::Result<()> {
        self.rename_with(from, directory, to, RenameFlags::empty())
    }

    /// As [`rename`](Self::rename), with `NOREPLACE` or `EXCHANGE`. With the rights of the one whose `directory` is.
    ///
    /// # Errors
    /// `EINVAL` from filesystems without these; failures of the system.
    pub fn rename_with(
        &self,
        from: impl AsRef<OsStr>,
        directory: &Self,
        to: impl AsRef<OsStr>,
        flags: RenameFlags,
    ) -> io::Result<()> {
        let (from, to) = (single(from.as_ref())?, single(to.as_ref())?);
        let _acting = directory.identity.assume()?;
        let renamed = rustix::fs::renameat_with(&self.fd, from, &directory.fd, to, flags);
        renamed.map_err(|errno| directory.identity.explain(errno))
    }

    /// Gives the file `from` the name `to` as well, which must be free.
    ///
    /// # Errors
    /// `EEXIST` when it is not; failures of the system.
    pub fn link(&self, from: impl AsRef<OsStr>, to: impl AsRef<OsStr>) -> io::Result<()> {
        let to = single(to.as_ref())?;
        self.acting(from.as_ref(), |from| rustix::fs::linkat(&self.fd, from, &self.fd, to, AtFlags::empty()))
    }

    /// Removes the file `name`. Answers whether it was there.
    ///
    /// # Errors
    /// Failures of the system.
    pub fn unlink(&self, name: impl AsRef<OsStr>) -> io::Result<bool> {
        self.remove(name.as_ref(), AtFlags::empty())
    }

    fn remove(&self, name: &OsStr, flags: AtFlags) -> io::Result<bool> {
        match self.acting(name, |name| rustix::fs::unlinkat(&self.fd, name, flags)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            other => other.map(|()| true),
        }
    }

    /// Removes `name` with all that is below it, if it is there.
    ///
    /// # Errors
    /// More than 64 directories in one another; failures of the system.
    pub fn remove_all(&self, name: impl AsRef<OsStr>) -> io::Result<()> {
        self.remove_below(name.as_ref(), DEPTH_MAX)
    }

    fn remove_below(&self, name: &OsStr, depth: usize) -> io::Result<()> {
        let Some(stat) = self.stat(name)? else { return Ok(()) };
        if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
            return self.unlink(name).map(drop);
        }
        let depth = depth.checked_sub(1).ok_or(Errno::LOOP)?;
        if let Some(directory) = self.sub(name)? {
            for (entry, _) in directory.entries()? {
                directory.remove_below(&entry, depth)?;
            }
        }
        self.remove(name, AtFlags::REMOVEDIR).map(drop)
    }

    /// The names in it, with what they are, in no order.
    ///
    /// # Errors
    /// Failures of the system.
    pub fn entries(&self) -> io::Result<Vec<(OsString, FileType)>> {
        let mut entries = Vec::new();
        let is_dot = |name: &CStr| matches!(name.to_bytes(), b"." | b"..");
        for entry in rustix::fs::Dir::read_from(&self.fd)? {
            let entry = entry?;
            if !is_dot(entry.file_name()) {
                let name = OsStr::from_bytes(entry.file_name().to_bytes()).to_owned();
                let kind = match entry.file_type() {
                    FileType::Unknown => match self.stat(&name)? {
                        Some(stat) => FileType::from_raw_mode(stat.st_mode),
                        None => continue,
                    },
                    kind => kind,
                };
                entries.push((name, kind));
            }
        }
        Ok(entries)
    }

    /// Makes its entries durable.
    ///
    /// # Errors
    /// Failures of the system; `EBADF` where the directory may be written but not read.
    pub fn sync(&self) -> io::Result<()> {
        Ok(rustix::fs::fsync(&self.fd)?)
    }

    /// Does something with the rights that are used below the directory, by its descriptor and a single name.
    fn acting<T>(&self, name: &OsStr, call: impl FnOnce(&OsStr) -> Result<T, Errno>) -> io::Result<T> {
        let name = single(name)?;
        let _acting = self.identity.assume()?;
        call(name).map_err(|errno| self.identity.explain(errno))
    }
}

impl From<Directory> for OwnedFd {
    fn from(directory: Directory) -> Self {
        directory.fd
    }
}

impl AsFd for Directory {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// What opening without following links says where there is one, or where there is no directory.
fn is_in_the_way(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::LOOP | Errno::NOTDIR))
}

/// A name in a directory: nothing that leads out of it or below it.
fn single(name: &OsStr) -> io::Result<&OsStr> {
    match name.as_bytes() {
        b"" | b"." | b".." => Err(Errno::INVAL.into()),
        bytes if bytes.contains(&b'/') => Err(Errno::INVAL.into()),
        _ => Ok(name),
    }
}

fn regular(file: File) -> io::Result<File> {
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("it is not a regular file")) }
}
