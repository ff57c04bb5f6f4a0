//! What can go wrong with policies.

use std::path::PathBuf;

use sealpack_trust::pkcs7::{FormatError, SigningError};
use sealpack_trust::policy::audit::KernelRefusal;
use sealpack_trust::policy::profile::RecipeError;
use sealpack_trust::policy::{ParseError, RevokeError, SIGNED_MAX_BYTES};

use super::executables::ExecutablesError;

/// Why something was not done with a policy.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyError {
    /// There is no such file, and there was no kernel with policies to ask.
    #[error("there is no file {}", path.display())]
    NoFile {
        /// What was asked for.
        path: PathBuf,
    },
    /// There is neither such a file nor such a policy.
    #[error("there is no file {0}, and the kernel has no policy called {0}", path.display())]
    NoFileNorPolicy {
        /// What was asked for.
        path: PathBuf,
    },
    /// The file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The file is larger than any policy.
    #[error("{} has more than {max_bytes} bytes, which no policy has", path.display())]
    TooLarge {
        /// Which.
        path: PathBuf,
        /// The most that is read.
        max_bytes: u64,
    },
    /// The file begins as a signed policy does, and is none.
    #[error("{} is no signed policy: {source}", path.display())]
    Form {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        source: FormatError,
    },
    /// The text is not that of a policy.
    #[error("{}, {source}", path.display())]
    Text {
        /// The file, or the kernel's name for it.
        path: PathBuf,
        /// What is wrong, and where.
        source: ParseError,
    },
    /// A text was wanted.
    #[error("{} is signed already", path.display())]
    IsSigned {
        /// The file.
        path: PathBuf,
    },
    /// The signed form was wanted.
    #[error("{} is not signed", path.display())]
    NotSigned {
        /// The file.
        path: PathBuf,
    },
    /// A text was wanted, to change it.
    #[error("{}: this is a signed policy", path.display())]
    SignedForm {
        /// The file.
        path: PathBuf,
    },
    /// A text cannot be made to deny what is revoked.
    #[error("{}: {source}", path.display())]
    Revoke {
        /// Its file.
        path: PathBuf,
        /// Why.
        source: RevokeError,
    },
    /// A policy cannot name the devices of an image that has none.
    #[error("{image} is not kept in packs: it has no devices that a policy could name")]
    NoDevices {
        /// What the image was called.
        image: String,
    },
    /// A recipe makes no policy.
    #[error(transparent)]
    Recipe(#[from] RecipeError),
    /// It cannot be signed.
    #[error(transparent)]
    Signing(#[from] SigningError),
    /// The kernel would not take it once it is signed.
    #[error(
        "the signed policy has {signed_bytes} bytes, {} more than the kernel takes",
        signed_bytes.saturating_sub(SIGNED_MAX_BYTES)
    )]
    SignedTooLong {
        /// The length of the signed form.
        signed_bytes: usize,
        /// How many of them are comments and blanks, which can be left out.
        spare_bytes: usize,
    },
    /// The kernel has no IPE that could be asked.
    #[error("the kernel's IPE is not there")]
    NoIpe,
    /// The kernel refuses it, for a known reason.
    #[error("the kernel refuses {what} ({}): {}", refusal.errno, refusal.meaning)]
    Refused {
        /// What it refuses, for example `policy sealed version 1.0.0`.
        what: String,
        /// Why, and what to do.
        refusal: KernelRefusal,
    },
    /// Only the broker may give policies to the kernel, and it updates the active one.
    #[error("on this host policies come to the kernel through the broker, which only updates the active one")]
    OnlyUpdates,
    /// The broker says no, or nothing.
    #[error(transparent)]
    Broker(sealpack_mount::Error),
    /// The kernel says no.
    #[error(transparent)]
    Kernel(#[from] sealpack_kernel::Error),
    /// The executables of an image cannot be found out.
    #[error(transparent)]
    Executables(#[from] ExecutablesError),
}

impl PolicyError {
    /// Whether a signature or a version is not what the kernel accepts, or something of an image not what its digest
    /// says, rather than that it could not be done.
    #[must_use]
    pub fn is_verification(&self) -> bool {
        match self {
            Self::Refused { refusal, .. } => {
                matches!(refusal.errno, "ENOKEY" | "EKEYREJECTED" | "EKEYREVOKED" | "ESTALE")
            }
            Self::Executables(error) => error.is_verification(),
            _ => false,
        }
    }
}
