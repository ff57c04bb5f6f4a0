//! Why there is no disk.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use sealpack_format::boot::CommandLineError;
use sealpack_format::pe::PeError;
use sealpack_format::{ObjectId, RootHash};

use crate::signing::UnsignedError;
use crate::systemd::UnfitProgram;

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
    /// A boot loader that is no program for firmware.
    #[error("the boot loader {loader}: {source}")]
    NotLoader {
        /// Its path, in the image or here.
        loader: String,
        /// What is wrong with it.
        source: PeError,
    },
    /// A boot loader that is another program, or too old.
    #[error("the boot loader {loader} {source}")]
    UnfitLoader {
        /// Its path, in the image or here.
        loader: String,
        /// What it is.
        source: UnfitProgram,
    },
    /// A program that firmware would not start.
    #[error("{program} {source}")]
    NotSigned {
        /// Its path.
        program: String,
        /// Why not.
        source: UnsignedError,
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
    /// The filesystem is full, or the user's quota is used up.
    #[error(
        "no space left in {} for the disk: while it is made, what is to be on it is there twice",
        directory.display()
    )]
    NoSpace {
        /// Where the disk was to be.
        directory: PathBuf,
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
            | Self::NotSigned { source: UnsignedError::Changed(_), .. }
            | Self::OtherImage { .. }
            | Self::OtherRootHash { .. } => true,
            _ => false,
        }
    }

    /// The same, but where there was no space left in `directory`, that and nothing else.
    pub(super) fn or_no_space(self, directory: &Path) -> Self {
        let is_full = match &self {
            Self::Io { source, .. } => {
                matches!(source.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded)
            }
            Self::Store(error) => matches!(error, sealpack_store::Error::NoSpace { .. }),
            // They are run with messages in English.
            Self::Tool { said, .. } => said.contains("No space left on device"),
            _ => false,
        };
        if is_full { Self::NoSpace { directory: directory.to_owned() } } else { self }
    }

    /// For the closure of a `map_err`.
    pub(super) fn io(call: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { call, path, source }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_filesystem_is_said_to_be_full_whoever_met_it() {
        let (directory, path) = (Path::new("/site"), PathBuf::from("/site/.temporary/disk"));
        let said = "one.pack: No space left on device while populating file system".to_owned();
        for error in [
            DiskError::io("write", &path)(ErrorKind::StorageFull.into()),
            DiskError::Store(sealpack_store::Error::NoSpace { path: path.clone() }),
            DiskError::Tool { program: "mke2fs", said },
        ] {
            let error = error.or_no_space(directory).to_string();
            assert!(error.starts_with("no space left in /site for the disk: "), "{error}");
        }
        let other = DiskError::io("write", &path)(ErrorKind::PermissionDenied.into());
        let error = other.or_no_space(directory).to_string();
        assert!(error.starts_with("cannot write /site/.temporary/disk: "), "{error}");
    }
}
