//! What can be wrong with the seal of an image, as the store keeps it or as it is being made.

use std::path::PathBuf;

use sealpack_format::digest::DiffId;
use sealpack_format::reference::{Reference, ReferenceError};
use sealpack_trust::key::KeyError;
use sealpack_trust::pkcs7::VerifyError;
use sealpack_trust::seal::{Mismatch, SealError, SealSigningError, Signed, StatementError};

/// Why an image is not sealed, or not as its seal says.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SealingError {
    /// What the store keeps as the seal of an image is none, or not of this image.
    #[error("the seal {} of {name}: {problem}", path.display())]
    Kept {
        /// The seal's file.
        path: PathBuf,
        /// The image.
        name: String,
        /// What is wrong.
        problem: NotItsSeal,
    },
    /// A pack is not there.
    #[error(
        "{name} is incomplete: the pack {} of layer {} is missing",
        path.display(),
        layers.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
    )]
    PackMissing {
        /// The image.
        name: String,
        /// The pack's file.
        path: PathBuf,
        /// The layers that it is of.
        layers: Vec<DiffId>,
    },
    /// No statement can be made about the image.
    #[error("{name} cannot be sealed: {source}")]
    Statement {
        /// The image.
        name: String,
        /// Why.
        source: StatementError,
    },
    /// The seal that there is has another epoch than the one that was asked for.
    #[error("the seal of {name} is for another epoch, {sealed}, not {asked}")]
    Epoch {
        /// The image.
        name: String,
        /// That of the seal.
        sealed: u64,
        /// That which was asked for.
        asked: u64,
    },
    /// The seal that there is has other names than those that were asked for.
    #[error("the seal of {name} is for other names: {}", sealed.join(" and "))]
    Names {
        /// The image.
        name: String,
        /// Those of the seal.
        sealed: Vec<String>,
    },
    /// A name without a tag, where no name was given.
    #[error("{0} has no tag, so that no seal can be for it")]
    NoTag(Reference),
    /// A name with a digest.
    #[error("{0}: a seal is for names, not digests")]
    NameWithDigest(Reference),
    /// A name in a record that is none.
    #[error(transparent)]
    Reference(#[from] ReferenceError),
    /// A statement is about another image.
    #[error("the seal of {name} is not for it: {problem}")]
    NotForImage {
        /// The image.
        name: String,
        /// How that shows.
        problem: NotItsStatement,
    },
    /// The image has a seal with another statement.
    #[error("{name} is sealed with another statement than the one in {}", directory.display())]
    AnotherStatement {
        /// The image.
        name: String,
        /// The directory with what was signed.
        directory: PathBuf,
    },
    /// A file in a directory of what is to be signed is not as it was written.
    #[error("{}: {source}", path.display())]
    Prepared {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: StatementError,
    },
    /// A signature is not beside what it is of.
    #[error("the signature of {signed} is missing: there is no {}", path.display())]
    SignatureMissing {
        /// What was to be signed.
        signed: Signed,
        /// Where its signature should be.
        path: PathBuf,
    },
    /// A file is no signature.
    #[error("{}: {source}", path.display())]
    NoSignature {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: KeyError,
    },
    /// A signature is not of what it is beside, by one of the certificates given.
    #[error("{}: {source}", path.display())]
    Signature {
        /// Its file.
        path: PathBuf,
        /// What is wrong with it.
        source: VerifyError,
    },
    /// A signature is by somebody whose signatures the kernel cannot verify.
    #[error("{}: {source}", path.display())]
    Signer {
        /// The signature's file.
        path: PathBuf,
        /// What the kernel does not know.
        source: KeyError,
    },
    /// The signatures make no seal.
    #[error("{name}: {source}")]
    Assemble {
        /// The image.
        name: String,
        /// Why.
        source: SealError,
    },
    /// The trust store of whoever signs has the key's certificate, or another one of the key, revoked.
    #[error("the key of \"{subject}\" is revoked{}: its signatures count for nobody who knows", because(reason.as_ref()))]
    RevokedSigner {
        /// The certificate's subject.
        subject: String,
        /// Why it was revoked.
        reason: Option<String>,
    },
    /// The key does not sign.
    #[error(transparent)]
    Signing(#[from] SealSigningError),
}

/// Why a file is not the seal of an image.
#[derive(Debug, thiserror::Error)]
pub enum NotItsSeal {
    /// It is no seal.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// It is of other devices.
    #[error(transparent)]
    Mismatch(#[from] Mismatch),
    /// It is another one than that which the name has.
    #[error("it has another statement than the seal that the name has")]
    AnotherStatement,
}

/// Why a statement is not about an image.
#[derive(Debug, thiserror::Error)]
pub enum NotItsStatement {
    /// It says something else of what the image has.
    #[error(transparent)]
    Mismatch(#[from] Mismatch),
    /// It is for another platform.
    #[error("it is for {stated}, not for {actual}")]
    Platform {
        /// The platform in the statement.
        stated: String,
        /// The image's.
        actual: String,
    },
    /// It lists more than the image has.
    #[error("it has devices that the image has not")]
    MoreDevices,
}

/// ` (REASON)`, or nothing.
fn because(reason: Option<&String>) -> String {
    reason.map(|reason| format!(" ({reason})")).unwrap_or_default()
}

impl SealingError {
    /// What is wrong, without the file and the image where another says these.
    #[must_use]
    pub fn problem(&self) -> String {
        match self {
            Self::Kept { problem, .. } => problem.to_string(),
            other => other.to_string(),
        }
    }

    /// Whether something is not what a digest or a signature says.
    #[must_use]
    pub const fn is_verification(&self) -> bool {
        matches!(
            self,
            Self::Kept { .. }
                | Self::NotForImage { .. }
                | Self::Prepared { .. }
                | Self::NoSignature { .. }
                | Self::Signature { .. }
                | Self::Signer { .. }
                | Self::RevokedSigner { .. }
                | Self::Assemble { .. }
        )
    }
}
