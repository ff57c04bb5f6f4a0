//! Whatever can go wrong here.

use sealpack_format::reference::ReferenceError;
use sealpack_oci::pull::PullError;
use sealpack_trust::judge::{Failure, Refusal};

use crate::publish::PublishError;
use crate::rollback::RollbackError;

/// Why something did not come in or go out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Of what this machine does with its images.
    #[error(transparent)]
    Node(#[from] sealpack_node::Error),
    /// Of the way to where the image is.
    #[error(transparent)]
    Oci(#[from] sealpack_oci::Error),
    /// Of a pull.
    #[error(transparent)]
    Pull(#[from] PullError),
    /// The trust store says no.
    #[error(transparent)]
    Refused(Refusal),
    /// A seal of the image, by somebody whose signatures count, names what was revoked.
    #[error("the image must not be pulled: by its seal {label}, {failure}")]
    SealRevoked {
        /// The seal: its digest.
        label: String,
        /// Which root hash, and why.
        failure: Failure,
    },
    /// What is there suggests no name, and none was given.
    #[error("{from} suggests no name for the image")]
    NoName {
        /// Where the image is.
        from: String,
    },
    /// Objects with SHA-512 digests are in no packs.
    #[error("packs are for stores with sha256 only")]
    PacksNeedSha256,
    /// Nobody has said which names the seal of something that is from no registry is for.
    #[error("{from} is from no registry, so that its name is only what whoever made it says")]
    NameUnsaid {
        /// Where the image is.
        from: String,
    },
    /// An index has nothing that could be sealed.
    #[error("{from} is an index without any image")]
    NoImages {
        /// Where it is.
        from: String,
    },
    /// An index has more images than are sealed.
    #[error("{from} has {number} images; at most {limit} are sealed")]
    TooManyImages {
        /// Where it is.
        from: String,
        /// How many it has.
        number: usize,
        /// How many are sealed at most.
        limit: usize,
    },
    /// An image whose seal is to be published has none.
    #[error("{name} has no seal")]
    NoSeal {
        /// The image.
        name: String,
    },
    /// What is there suggests no name that a seal of it could be for.
    #[error("{from} suggests no name, which its seal could be for")]
    NoSealedName {
        /// Where the image is.
        from: String,
    },
    /// Of going back.
    #[error(transparent)]
    Rollback(#[from] RollbackError),
    /// Of publishing.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// A name in a record that is none.
    #[error(transparent)]
    Reference(#[from] ReferenceError),
}

impl From<sealpack_store::Error> for Error {
    fn from(error: sealpack_store::Error) -> Self {
        Self::Node(error.into())
    }
}

impl Error {
    /// Whether something is not what a digest, a signature or a rule says, rather than that it could not be done.
    #[must_use]
    pub fn is_verification(&self) -> bool {
        match self {
            Self::Node(error) => error.is_verification(),
            Self::Oci(error) => error.is_verification(),
            Self::Pull(error) => error.is_verification(),
            Self::Refused(_) | Self::SealRevoked { .. } => true,
            Self::NoName { .. }
            | Self::PacksNeedSha256
            | Self::NameUnsaid { .. }
            | Self::NoImages { .. }
            | Self::TooManyImages { .. }
            | Self::NoSeal { .. }
            | Self::NoSealedName { .. }
            | Self::Rollback(_)
            | Self::Publish(_)
            | Self::Reference(_) => false,
        }
    }
}
