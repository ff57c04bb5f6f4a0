//! Whatever can go wrong here.

use sealpack_format::reference::ReferenceError;
use sealpack_oci::pull::PullError;
use sealpack_trust::judge::Refusal;

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
    /// What is there suggests no name, and none was given.
    #[error("{from} suggests no name for the image")]
    NoName {
        /// Where the image is.
        from: String,
    },
    /// Objects with SHA-512 digests are in no packs.
    #[error("packs are for stores with sha256 only")]
    PacksNeedSha256,
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
            Self::Refused(_) => true,
            Self::NoName { .. } | Self::PacksNeedSha256 | Self::Reference(_) => false,
        }
    }
}
