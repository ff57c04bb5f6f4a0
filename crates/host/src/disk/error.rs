//! Why there is no disk.

use std::path::PathBuf;

use sealpack_format::boot::CommandLineError;
use sealpack_format::{ObjectId, RootHash};

/// Why a disk was not made. Nothing is left of it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DiskError {
    /// The contents of the image are files, which a sealed host does not start from.
    #[error("the contents of {0} are kept as files, and a sealed host starts from packs")]
    NotInPacks(String),
    /// Nobody sealed it.
    #[error("{0} has no seal, and a sealed host starts from nothing else")]
    Unsealed(String),
    /// What the store has of the image is not whole.
    #[error("{name} is not whole in the store: {}: {problem}", path.display())]
    Damaged {
        /// The image.
        name: String,
        /// The first file with a problem.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// A UKI that is none.
    #[error("{} is no UKI of a sealed host: {why}", path.display())]
    NotUki {
        /// The file.
        path: PathBuf,
        /// What it lacks.
        why: String,
    },
    /// A UKI whose command line a sealed host refuses.
    #[error("a host would refuse the command line of {}: {source}", path.display())]
    CommandLine {
        /// The file.
        path: PathBuf,
        /// Why.
        source: CommandLineError,
    },
    /// A UKI that starts something else than any of the images on the disk.
    #[error("{} starts the metadata image {names}, and of the images none has it: {images}", path.display())]
    OtherImage {
        /// The file.
        path: PathBuf,
        /// What its command line names.
        names: ObjectId,
        /// What there is.
        images: String,
    },
    /// A UKI that names the right image with another root hash than the seal.
    #[error("{} expects the root hash {names} of {image}, whose seal says {sealed}", path.display())]
    OtherRootHash {
        /// The file.
        path: PathBuf,
        /// The image.
        image: String,
        /// What its command line names.
        names: RootHash,
        /// What the seal says.
        sealed: RootHash,
    },
    /// UKIs that look for data partitions of different names.
    #[error("{} looks for a data partition called {other}, and the one before it for {label}", path.display())]
    OtherLabel {
        /// The file.
        path: PathBuf,
        /// What it looks for.
        other: String,
        /// What an earlier one looks for.
        label: String,
    },
    /// Two UKIs of one name.
    #[error("two UKIs are called {0}, and the EFI system partition has room for one of that name")]
    SameName(String),
    /// The key directory lacks something.
    #[error("{} has none of PK.auth, KEK.auth and db.auth", path.display())]
    NoKeys {
        /// The directory.
        path: PathBuf,
    },
    /// What is to be on it does not fit.
    #[error("the disk has {size_bytes} bytes, and what is to be on it takes {needed_bytes}")]
    TooSmall {
        /// As wanted.
        size_bytes: u64,
        /// The least.
        needed_bytes: u64,
    },
    /// The UKIs are larger than the partition that they are to be on.
    #[error("the files for the EFI system partition take {files_bytes} bytes, and it has {size_bytes}")]
    EspTooSmall {
        /// The files.
        files_bytes: u64,
        /// The partition.
        size_bytes: u64,
    },
    /// A program of e2fsprogs is not there.
    #[error("{0} is not installed, which makes the data partition")]
    ToolMissing(&'static str),
    /// Or failed.
    #[error("{program} failed: {said}")]
    Tool {
        /// The program.
        program: &'static str,
        /// What it said.
        said: String,
    },
    /// Something could not be read or written.
    #[error("cannot {call} {}: {source}", path.display())]
    Io {
        /// What was to be done.
        call: &'static str,
        /// With which file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// There is something already.
    #[error("{} is there already", .0.display())]
    Exists(PathBuf),
    /// Of the store.
    #[error(transparent)]
    Store(#[from] sealpack_store::Error),
    /// Of what is made of the store's images.
    #[error(transparent)]
    Node(#[from] sealpack_node::Error),
}

impl DiskError {
    /// Whether something is not what a digest or a signature says.
    #[must_use]
    pub fn is_verification(&self) -> bool {
        match self {
            Self::Store(error) => error.is_verification(),
            Self::Node(error) => error.is_verification(),
            Self::Unsealed(_)
            | Self::Damaged { .. }
            | Self::CommandLine { .. }
            | Self::OtherImage { .. }
            | Self::OtherRootHash { .. } => true,
            _ => false,
        }
    }

    /// For the closure of a `map_err`.
    pub(super) fn io(call: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { call, path, source }
    }
}
