//! Directories by descriptor: every change on the disk goes through here.

use std::ffi::{CStr, OsStr, OsString};
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{self, AtFlags, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;
use sealpack_kernel::directory::Directory;

use crate::error::{Error, Result};

/// An open directory that knows its path, for messages.
pub(crate) struct Dir {
    fd: OwnedFd,
    path: PathBuf,
}

/// Something in a directory.
pub(crate) struct Entry {
    pub(crate) name: OsString,
    pub(crate) kind: FileType,
}

/// Reports a change about to be made to the tests that interrupt it; and the hashing of a file.
#[inline]
pub(crate) fn about_to(what: &'static str, path: &dyn Fn() -> (PathBuf, PathBuf)) {
    #[cfg(test)]
    crate::fault::about_to(what, path);
    #[cfg(not(test))]
    let _ = (what, path);
}

impl Dir {
    /// The directory that is opened already, at `path`.
    pub(crate) fn from_directory(directory: Directory, path: &Path) -> Self {
        Self { fd: directory.into(), path: path.to_owned() }
    }

    pub(crate) fn open(path: &Path) -> Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = fs::open(path, flags, Mode::empty()).map_err(|e| Error::io("open", path, e))?;
        Ok(Self { fd, path: path.to_owned() })
    }

    /// Opens the directory `name` in this one.
    pub(crate) fn sub(&self, name: &str) -> Result<Self> {
        self.try_sub(name)?.ok_or_else(|| Error::io("open", self.at(name), Errno::NOENT))
    }

    /// Opens the directory `name` in this one, if there is one.
    pub(crate) fn try_sub(&self, name: impl AsRef<Path>) -> Result<Option<Self>> {
        let name = name.as_ref();
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match fs::openat(&self.fd, name, flags, Mode::empty()) {
            Ok(fd) => Ok(Some(Self { fd, path: self.at(name) })),
            Err(Errno::NOENT) => Ok(None),
            Err(e) => Err(Error::io("open", self.at(name), e)),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The path of `name` in this directory.
    pub(crate) fn at(&self, name: impl AsRef<Path>) -> PathBuf {
        self.path.join(name)
    }

    /// Makes the directory `name`. Answers whether it was not there before.
    pub(crate) fn make(&self, name: &str) -> Result<bool> {
        about_to("mkdir", &|| (self.at(name), PathBuf::new()));
        match fs::mkdirat(&self.fd, name, Mode::from_raw_mode(0o700)) {
            Ok(()) => Ok(true),
            Err(Errno::EXIST) => Ok(false),
            Err(e) => Err(Error::io("create", self.at(name), e)),
        }
    }

    /// Creates the file `name`, which must not exist, for writing.
    pub(crate) fn create(&self, name: &str, mode: u32) -> Result<File> {
        about_to("create", &|| (self.at(name), PathBuf::new()));
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        fs::openat(&self.fd, name, flags, Mode::from_raw_mode(mode))
            .map(File::from)
            .map_err(|e| Error::io("create", self.at(name), e))
    }

    /// Creates a file for reading and writing that goes with its descriptor: it has the name `name` for a moment.
    pub(crate) fn scratch(&self, name: &str) -> Result<File> {
        about_to("create", &|| (self.at(name), PathBuf::new()));
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = fs::openat(&self.fd, name, flags, Mode::from_raw_mode(0o600))
            .map_err(|e| Error::io("create", self.at(name), e))?;
        self.unlink(name)?;
        Ok(file.into())
    }

    /// Opens the file `name` for reading and appending, and makes it when there is none.
    pub(crate) fn append(&self, name: &str, mode: u32) -> Result<File> {
        about_to("append", &|| (self.at(name), PathBuf::new()));
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::APPEND | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        fs::openat(&self.fd, name, flags, Mode::from_raw_mode(mode))
            .map(File::from)
            .map_err(|e| Error::io("open", self.at(name), e))
    }

    /// Opens the file `name` for reading, if there is one. Neither follows links nor waits for
    /// the other end of a pipe.
    pub(crate) fn read(&self, name: impl AsRef<Path>) -> Result<Option<File>> {
        let name = name.as_ref();
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        match fs::openat(&self.fd, name, flags, Mode::empty()) {
            Ok(fd) => Ok(Some(File::from(fd))),
            Err(Errno::NOENT) => Ok(None),
            Err(e) => Err(Error::io("open", self.at(name), e)),
        }
    }

    /// The first `limit_bytes + 1` bytes of file `name`, if there is one: a longer one has another digest.
    pub(crate) fn read_at_most(&self, name: impl AsRef<Path>, limit_bytes: u64) -> Result<Option<Vec<u8>>> {
        let name = name.as_ref();
        let Some(file) = self.read(name)? else { return Ok(None) };
        let mut bytes = Vec::new();
        let read = file.take(limit_bytes + 1).read_to_end(&mut bytes);
        read.map_err(|e| Error::io("read", self.at(name), e))?;
        Ok(Some(bytes))
    }

    /// The status of `name` itself, links not followed, if it is there.
    pub(crate) fn stat(&self, name: impl AsRef<Path>) -> Result<Option<Stat>> {
        let name = name.as_ref();
        match fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(stat)),
            Err(Errno::NOENT) => Ok(None),
            Err(e) => Err(Error::io("look at", self.at(name), e)),
        }
    }

    /// Renames `from` in this directory to `to` in `directory`, over what is there.
    pub(crate) fn rename(
        &self,
        from: impl AsRef<Path>,
        directory: &Self,
        to: impl AsRef<Path>,
    ) -> Result<()> {
        let (from, to) = (from.as_ref(), to.as_ref());
        about_to("rename", &|| (self.at(from), directory.at(to)));
        fs::renameat(&self.fd, from, &directory.fd, to).map_err(|e| Error::io("create", directory.at(to), e))
    }

    /// Removes the file `name`. Answers whether it was there.
    pub(crate) fn unlink(&self, name: impl AsRef<Path>) -> Result<bool> {
        self.remove(name.as_ref(), AtFlags::empty())
    }

    /// Removes the directory `name` if it is empty. Answers whether it is gone by that.
    pub(crate) fn remove_empty(&self, name: impl AsRef<Path>) -> Result<bool> {
        match self.remove(name.as_ref(), AtFlags::REMOVEDIR) {
            Err(Error::Io { source, .. }) if Errno::from_io_error(&source) == Some(Errno::NOTEMPTY) => {
                Ok(false)
            }
            other => other,
        }
    }

    fn remove(&self, name: &Path, flags: AtFlags) -> Result<bool> {
        about_to("remove", &|| (self.at(name), PathBuf::new()));
        match fs::unlinkat(&self.fd, name, flags) {
            Ok(()) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(e) => Err(Error::io("remove", self.at(name), e)),
        }
    }

    /// Removes `name` with all that is below it.
    pub(crate) fn remove_all(&self, name: impl AsRef<Path>) -> Result<()> {
        let name = name.as_ref();
        about_to("remove", &|| (self.at(name), PathBuf::new()));
        self.remove_below(name)
    }

    /// By descriptors: what lies above the directory may not be this user's.
    fn remove_below(&self, name: &Path) -> Result<()> {
        let fail = |e| Error::io("remove", self.at(name), e);
        match fs::unlinkat(&self.fd, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => return Ok(()),
            Err(Errno::ISDIR) => {}
            Err(e) => return Err(fail(e)),
        }
        let Some(directory) = self.try_sub(name)? else { return Ok(()) };
        for entry in directory.entries()? {
            directory.remove_below(Path::new(&entry.name))?;
        }
        match fs::unlinkat(&self.fd, name, AtFlags::REMOVEDIR) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(e) => Err(fail(e)),
        }
    }

    /// Changes the mode of `file`, which is `name` in the directory, or the directory itself.
    pub(crate) fn set_mode(&self, file: impl AsFd, name: &str, mode: u32) -> Result<()> {
        let path = if name.is_empty() { self.path.clone() } else { self.at(name) };
        about_to("chmod", &|| (path.clone(), PathBuf::new()));
        fs::fchmod(file, Mode::from_raw_mode(mode)).map_err(|e| Error::io("protect", path, e))
    }

    /// All that is in the directory, sorted by name.
    pub(crate) fn entries(&self) -> Result<Vec<Entry>> {
        let fail = |e| Error::io("read", &self.path, e);
        let mut entries = Vec::new();
        for entry in fs::Dir::read_from(&self.fd).map_err(fail)? {
            let entry = entry.map_err(fail)?;
            if is_dot(entry.file_name()) {
                continue;
            }
            let name = OsStr::from_bytes(entry.file_name().to_bytes()).to_owned();
            let kind = match entry.file_type() {
                FileType::Unknown => match self.stat(&name)? {
                    Some(stat) => FileType::from_raw_mode(stat.st_mode),
                    None => continue,
                },
                kind => kind,
            };
            entries.push(Entry { name, kind });
        }
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    /// Makes the directory's own entries durable.
    pub(crate) fn sync(&self) -> Result<()> {
        about_to("fsync", &|| (self.path.clone(), PathBuf::new()));
        fs::fsync(&self.fd).map_err(|e| Error::io("flush", &self.path, e))
    }

    /// Makes all of the filesystem durable that the directory is on. An error in writing back
    /// any file since this directory was opened is reported (syncfs(2), since Linux 5.8).
    pub(crate) fn sync_filesystem(&self) -> Result<()> {
        about_to("syncfs", &|| (self.path.clone(), PathBuf::new()));
        fs::syncfs(&self.fd).map_err(|e| Error::io("flush", &self.path, e))
    }
}

impl std::fmt::Debug for Dir {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.path().fmt(f)
    }
}

impl AsFd for Dir {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Makes the content of `file` at `path` durable.
pub(crate) fn sync_file(file: &File, path: &Path) -> Result<()> {
    about_to("fsync", &|| (path.to_owned(), PathBuf::new()));
    file.sync_all().map_err(|e| Error::io("flush", path, e))
}

fn is_dot(name: &CStr) -> bool {
    matches!(name.to_bytes(), b"." | b"..")
}
