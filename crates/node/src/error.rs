//! Whatever can go wrong here.

use crate::find::FindError;
use crate::keys::KeyFileError;
use crate::naming::NamingError;
use crate::new_files::NewFileError;
use crate::policy::PolicyError;
use crate::revoked::RevokedImage;
use crate::seals::SealingError;
use crate::trust_store::TrustStoreError;

/// Why something was not done. Each part has an error type of its own, for who wants to tell them apart.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Of the store.
    #[error(transparent)]
    Store(#[from] sealpack_store::Error),
    /// Of mounting.
    #[error(transparent)]
    Mount(#[from] sealpack_mount::Error),
    /// Of files with keys and certificates.
    #[error(transparent)]
    KeyFile(#[from] KeyFileError),
    /// Of finding an image by a name or digest.
    #[error(transparent)]
    Find(#[from] FindError),
    /// Of giving an image a name.
    #[error(transparent)]
    Naming(#[from] NamingError),
    /// Of an image with something in it that was revoked.
    #[error(transparent)]
    Revoked(#[from] RevokedImage),
    /// Of seals.
    #[error(transparent)]
    Sealing(#[from] SealingError),
    /// Of files that are made together.
    #[error(transparent)]
    NewFile(#[from] NewFileError),
    /// Of the trust store.
    #[error(transparent)]
    TrustStore(#[from] TrustStoreError),
    /// Of policies.
    #[error(transparent)]
    Policy(#[from] PolicyError),
}

impl Error {
    /// Whether something is not what a digest, a signature or a required level says, rather than that it could not be
    /// done.
    #[must_use]
    pub fn is_verification(&self) -> bool {
        match self {
            Self::Store(error) => error.is_verification(),
            Self::Mount(error) => error.is_verification(),
            Self::Policy(error) => error.is_verification(),
            Self::Sealing(error) => error.is_verification(),
            Self::Naming(_) | Self::Revoked(_) => true,
            Self::KeyFile(_) | Self::Find(_) | Self::NewFile(_) | Self::TrustStore(_) => false,
        }
    }
}
