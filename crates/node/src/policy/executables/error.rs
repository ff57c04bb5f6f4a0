//! Why the executables of an image cannot be judged.

use sealpack_format::ObjectId;
use sealpack_format::digest::RootHash;
use sealpack_format::pack::PackError;

/// Why it is not known what an image's files are, or where.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExecutablesError {
    /// Something of the image is not in the store.
    #[error("{image} is incomplete: {what} is missing")]
    Missing {
        /// The image's name.
        image: String,
        /// What is not there, with its digest.
        what: String,
    },
    /// A pack is not what its root hash says.
    #[error("pack {root_hash}: {source}")]
    Pack {
        /// Which.
        root_hash: RootHash,
        /// What is wrong with it.
        source: PackError,
    },
    /// An object's file cannot be read.
    #[error("cannot read object {id}: {source}")]
    Read {
        /// Which.
        id: ObjectId,
        /// What the system says.
        source: std::io::Error,
    },
    /// The store says no.
    #[error(transparent)]
    Store(#[from] sealpack_store::Error),
}

impl ExecutablesError {
    /// Whether something is not what its digest says, rather than that it could not be read.
    #[must_use]
    pub fn is_verification(&self) -> bool {
        match self {
            Self::Pack { .. } => true,
            Self::Store(error) => error.is_verification(),
            Self::Missing { .. } | Self::Read { .. } => false,
        }
    }
}
