//! What can be wrong with the ESP of a running host.

use std::io;
use std::path::PathBuf;

/// Why the EFI system partition cannot be used as it is.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EspError {
    /// Nothing is mounted there.
    #[error("no EFI system partition is mounted at {}", path.display())]
    NotMounted {
        /// Where it should be.
        path: PathBuf,
    },
    /// Something else is.
    #[error("what is mounted at {} is no FAT, and so no EFI system partition", path.display())]
    NotFat {
        /// Where it is mounted.
        path: PathBuf,
    },
    /// It cannot be written.
    #[error("the EFI system partition at {} is mounted read-only", path.display())]
    ReadOnly {
        /// Where it is mounted.
        path: PathBuf,
    },
    /// It has no room.
    #[error(
        "the EFI system partition at {} has {free_bytes} bytes left, and {needed_bytes} are needed",
        path.display()
    )]
    Full {
        /// Where it is mounted.
        path: PathBuf,
        /// What is left, with what can be removed before.
        free_bytes: u64,
        /// What is to be written.
        needed_bytes: u64,
    },
    /// There is something of the name that a UKI is to get.
    #[error("{} is there already, and is something else", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// A name that is no text.
    #[error("{} has a name that is no UTF-8: which UKI it is cannot be said", path.display())]
    NoText {
        /// The file.
        path: PathBuf,
    },
    /// More than anybody needs.
    #[error("{} has more than {limit} files with names of UKIs", path.display())]
    TooMany {
        /// The directory.
        path: PathBuf,
        /// The most that are looked at.
        limit: usize,
    },
    /// The UKI that was to be changed is no longer there.
    #[error("{} is no longer there", path.display())]
    Gone {
        /// The file.
        path: PathBuf,
    },
    /// What was written reads differently.
    #[error("{} was written, and reads differently: the partition, or the disk, is damaged", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
    },
    /// What the system says.
    #[error("cannot {doing} {}: {source}", path.display())]
    Io {
        /// What was to be done.
        doing: &'static str,
        /// With which file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

impl EspError {
    pub(super) fn io(doing: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { doing, path, source }
    }
}

/// Why a variable of the firmware's is not read, or not changed.
#[derive(Debug, thiserror::Error)]
#[error("the firmware's variable {name} cannot be {doing}: {source}")]
pub struct FirmwareError {
    /// The variable.
    pub name: &'static str,
    /// What was to be done with it.
    pub doing: &'static str,
    /// What the system says.
    pub source: io::Error,
}
