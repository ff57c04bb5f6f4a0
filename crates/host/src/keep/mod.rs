//! Keeping files of `/etc` over a reboot: what the image's list names and the image has not, or otherwise, is copied to the
//! data partition, from where the first process puts it back at the next boot.
//!
//! What is as in the image is not kept: a later image's version of it would never be seen.

mod found;
mod image;
#[cfg(test)]
mod tests;
mod write;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use sealpack_format::boot::keep::{EtcPath, EtcPathError, FILES_MAX, KeepList, TOTAL_MAX_BYTES};
use sealpack_format::tree::Tree;
use sealpack_kernel::directory::Directory;

use found::Found;

/// What is to be kept, and where.
#[derive(Debug, Clone, Copy)]
pub struct Keeping<'a> {
    /// The directory that is kept of: `/etc`.
    pub etc: &'a Path,
    /// The directory where it is kept, on the data partition. It is made if it is not there.
    pub kept: &'a Path,
    /// What of it.
    pub list: &'a KeepList,
    /// The image that runs: what is as in there is not kept. Without it everything in the list is.
    pub image: Option<&'a Tree>,
}

/// What was done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Kept {
    /// Files that are kept now and were not, or otherwise.
    pub written: Vec<EtcPath>,
    /// Files that were kept before as they are.
    pub unchanged: Vec<EtcPath>,
    /// Files that are not kept any more.
    pub removed: Vec<EtcPath>,
    /// What is named and was not kept.
    pub passed_over: Vec<PassedOver>,
}

/// What is in the list, or in a directory there, and is not kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PassedOver {
    /// Where it is, below `/etc`.
    pub path: PathBuf,
    /// Why.
    pub why: Why,
}

/// Why something is not kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    /// It is a link, which says where something else is.
    Link,
    /// It is a device, a socket or a pipe, or a directory where a file is named.
    Kind,
    /// It is in a place, or has a name, that is never kept.
    Never(EtcPathError),
    /// Its name is no UTF-8.
    Name,
    /// It is larger than a kept file may be.
    Large {
        /// Its size.
        size_bytes: u64,
    },
    /// The system says no.
    Failed(String),
}

impl Why {
    /// Whether something is lost by it at the next boot that was meant to stay.
    #[must_use]
    pub const fn is_failure(&self) -> bool {
        matches!(self, Self::Large { .. } | Self::Failed(_))
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Link => f.write_str("it is a symbolic link"),
            Self::Kind => f.write_str("it is no regular file"),
            Self::Never(why) => write!(f, "{why}"),
            Self::Name => f.write_str("its name is not UTF-8"),
            Self::Large { size_bytes } => {
                let max = sealpack_format::boot::keep::FILE_MAX_BYTES;
                write!(f, "it has {size_bytes} bytes, and {max} at most are kept of one file")
            }
            Self::Failed(why) => f.write_str(why),
        }
    }
}

/// Why nothing more was kept. What was written before is whole.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeepError {
    /// All of it is more than is kept; nothing was changed.
    #[error("there is more than is kept: at most {FILES_MAX} files and {TOTAL_MAX_BYTES} bytes together")]
    TooMuch,
    /// The system says no.
    #[error("{}: {source}", path.display())]
    Io {
        /// What could not be read or written.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

impl KeepError {
    fn io(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { path: path.into(), source }
    }
}

/// Keeps what is to be kept, and lets go what the list names and is gone, or is as in the image again. What is kept and the
/// list does not name stays: an older image may name it.
///
/// # Errors
/// Too much, in which case nothing was changed; what the system says. A single file that cannot be kept is
/// [passed over](Kept::passed_over), and what was kept of it stays.
pub fn keep(keeping: &Keeping<'_>) -> Result<Kept, KeepError> {
    let etc = Directory::open(keeping.etc).map_err(KeepError::io(keeping.etc))?;
    let mut found = Found::new(keeping.image);
    for entry in keeping.list.entries() {
        found.add(&etc, entry);
    }
    if found.is_too_much() { Err(KeepError::TooMuch) } else { write::write(keeping, &found) }
}
