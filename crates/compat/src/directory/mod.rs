//! A directory of this machine as a [`Tree`], as `mkcomposefs` reads one.
//!
//! One thread goes through the directories; others look at what is in them, read and hash the
//! files and store them as objects. Every file is opened once and nothing is looked up by its
//! whole path, so that directories may be deeper than a path can be long.

mod entry;
mod walk;
mod xattrs;

use std::ffi::{CString, OsStr};
use std::io;
use std::num::NonZeroUsize;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use sealpack_format::tree::{Tree, TreeError};

use crate::objects::{ObjectError, Objects};

/// Which extended attributes are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum XattrChoice {
    /// All that can be seen.
    #[default]
    All,
    /// Those whose names begin with `user.`.
    User,
    /// None.
    None,
}

/// How a directory is read.
#[derive(Debug, Clone, Copy)]
pub struct Options<'o> {
    /// Which extended attributes are read.
    pub xattrs: XattrChoice,
    /// Whether all times are 1970-01-01.
    pub epoch: bool,
    /// Whether block and character devices are left out, whiteouts among them.
    pub skip_devices: bool,
    /// Whether each name of a file becomes a file of its own, as with the C tool.
    pub split_hard_links: bool,
    /// How many threads look at files.
    pub threads: NonZeroUsize,
    /// Where the contents go that do not stay in the image.
    pub objects: Option<&'o Objects<'o>>,
}

/// Why a directory cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// A system call failed.
    #[error("cannot {doing} {path:?}: {error}")]
    Io {
        /// What was tried.
        doing: &'static str,
        /// On what.
        path: PathBuf,
        /// The failure.
        error: io::Error,
    },
    /// The attributes of a file are too many for an image.
    #[error(
        "the attributes of {path:?} take more than 32767 bytes together; leave some out (--user-xattrs, --skip-xattrs)"
    )]
    Xattrs {
        /// The file.
        path: PathBuf,
    },
    /// A device whose number has no place in an image.
    #[error("the device {path:?} has number {major}:{minor}; images have room for 12 and 20 bits")]
    Device {
        /// The device.
        path: PathBuf,
        /// Its major number.
        major: u32,
        /// Its minor number.
        minor: u32,
    },
    /// Something that a tree cannot have.
    #[error("{path:?}: {error}")]
    Tree {
        /// The directory.
        path: PathBuf,
        /// What is wrong.
        error: TreeError,
    },
    /// The objects could not be stored.
    #[error(transparent)]
    Objects(#[from] ObjectError),
    /// The content of a file could not be stored.
    #[error("{path:?}: {error}")]
    Object {
        /// The file.
        path: PathBuf,
        /// Why not.
        error: ObjectError,
    },
}

/// Reads the directory `source`, which must not be a symbolic link. Mounts below it are part of it.
///
/// Names of one file become hard links, and a file's link count is the number of its names in
/// the directory, whatever there is elsewhere.
///
/// # Errors
/// The first thing that cannot be read. Objects stored before that stay.
pub fn read(source: &Path, options: &Options<'_>) -> Result<Tree, DirectoryError> {
    walk::read(source, options)
}

/// An open directory, with its path for messages.
#[derive(Debug)]
struct OpenDirectory {
    fd: OwnedFd,
    path: PathBuf,
}

impl OpenDirectory {
    fn path_of(&self, name: &CString) -> PathBuf {
        if name.is_empty() {
            return self.path.clone();
        }
        self.path.join(OsStr::from_bytes(name.as_bytes()))
    }

    /// The error of `doing` something to `name` in the directory.
    fn error(&self, doing: &'static str, name: &CString) -> impl FnOnce(Errno) -> DirectoryError {
        let path = self.path_of(name);
        move |errno| DirectoryError::Io { doing, path, error: errno.into() }
    }
}

#[cfg(test)]
mod tests;
