//! Why a seal must not be used.

use sealpack_format::digest::{BlobDigest, RootHash};
use sealpack_format::reference::ImageName;

use crate::anchors::{AnchorName, CertificateProblem, Use, because};
use crate::pkcs7::VerifyError;
use crate::seal::Signed;

/// One reason not to use a seal for an image under a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// It is about another image.
    #[error("it is the seal of the image {sealed}, not of {image}")]
    Manifest {
        /// The manifest sealed.
        sealed: BlobDigest,
        /// The image's.
        image: BlobDigest,
    },
    /// It is about an image for another platform.
    #[error("it is the seal of an image for {sealed}, not for {image}")]
    Platform {
        /// The platform sealed.
        sealed: String,
        /// The image's.
        image: String,
    },
    /// It may not be used for this name.
    #[error("it may be used for {}, not for {asked}{}", list(.names), repository(*.is_same_repository))]
    Name {
        /// The name that is pulled.
        asked: String,
        /// Those that it may be used for.
        names: Vec<ImageName>,
        /// Whether one of these is another tag of the same repository.
        is_same_repository: bool,
    },
    /// Nobody who is known signed it.
    #[error("{signed} is not signed by any certificate that the trust store has for {of}; it is signed by {}", others(.signers))]
    Nobody {
        /// What is not signed.
        signed: Signed,
        /// What the certificates would be for.
        of: Use,
        /// Who did sign, in the words of the signatures.
        signers: Vec<String>,
    },
    /// A signature that names a known certificate is not that one's over this.
    #[error("a signature of {signed} is bad: {problem}")]
    Signature {
        /// What it should be over.
        signed: Signed,
        /// What is wrong with it.
        problem: VerifyError,
    },
    /// The certificate of the one who signed no longer counts, or does not count yet.
    #[error("{signed} is signed by {name}, whose certificate is {problem}")]
    Signer {
        /// What is signed.
        signed: Signed,
        /// What the trust store calls the certificate.
        name: AnchorName,
        /// Why it does not count.
        problem: CertificateProblem,
    },
    /// It is signed by others than the rules want.
    #[error(
        "the statement is signed by {}, but the rule for {prefix} wants {}{}",
        list(.signers), wanted(.missing, *.all), absent(.unknown)
    )]
    OutsidePolicy {
        /// The rule's prefix.
        prefix: String,
        /// Who signed.
        signers: Vec<AnchorName>,
        /// Who should have and did not.
        missing: Vec<AnchorName>,
        /// Those of them that the trust store has no certificate of.
        unknown: Vec<AnchorName>,
        /// Whether all of them should have.
        all: bool,
    },
    /// A root hash was revoked.
    #[error("root hash {root_hash}{} is revoked{}", of_image(.image.as_ref()), because(.reason.as_ref()))]
    RevokedRootHash {
        /// The root hash.
        root_hash: RootHash,
        /// The image that it was revoked as one of.
        image: Option<String>,
        /// Why.
        reason: Option<String>,
    },
    /// It is older than the rules want.
    #[error("its epoch is {epoch}, but the rule for {prefix} wants {minimum} at least")]
    MinimumEpoch {
        /// Its epoch.
        epoch: u64,
        /// The lowest that is taken.
        minimum: u64,
        /// The rule's prefix.
        prefix: String,
    },
    /// It is older than what was pulled before.
    #[error("its epoch is {epoch}, but {name} was already seen with {remembered}: this is an older image")]
    Rollback {
        /// The name.
        name: ImageName,
        /// The seal's epoch.
        epoch: u64,
        /// The one remembered.
        remembered: u64,
    },
    /// Another image of the platform was seen with the same epoch, and not sealed earlier.
    #[error(
        "its epoch is {epoch}, with which {name} was already seen as {manifest}, and it was made no later: this may be an older image"
    )]
    SameEpoch {
        /// The name.
        name: ImageName,
        /// The epoch of both.
        epoch: u64,
        /// The manifest of the image remembered.
        manifest: BlobDigest,
    },
}

/// Failures in words. What is wrong with several root hashes in the same way is said of the first of them.
pub(super) fn in_words(failures: &[Failure]) -> Vec<String> {
    let mut said: Vec<(Option<Failure>, String, usize)> = Vec::new();
    for failure in failures {
        let kind = failure.of_any_root_hash();
        let known = said.iter_mut().find(|(known, ..)| kind.is_some() && *known == kind);
        match known {
            Some((.., more)) => *more += 1,
            None => said.push((kind, failure.to_string(), 0)),
        }
    }
    said.into_iter()
        .map(|(_, text, more)| match more {
            0 => text,
            1 => format!("{text} (so it is with 1 more root hash)"),
            more => format!("{text} (so it is with {more} more root hashes)"),
        })
        .collect()
}

impl Failure {
    /// What is wrong with the signatures of a root hash, whichever it is.
    fn of_any_root_hash(&self) -> Option<Self> {
        let mut any = self.clone();
        match &mut any {
            Self::Nobody { signed, .. } | Self::Signature { signed, .. } | Self::Signer { signed, .. } => {
                let Signed::RootHash(root_hash) = signed else { return None };
                *root_hash = RootHash::new([0; 32]);
                Some(any)
            }
            _ => None,
        }
    }
}

/// The most names that are listed, so that a hostile seal does not fill the screen.
const LISTED_MAX: usize = 4;

fn list<T: std::fmt::Display>(all: &[T]) -> String {
    let listed: Vec<_> = all.iter().take(LISTED_MAX).map(ToString::to_string).collect();
    match all.len().saturating_sub(LISTED_MAX) {
        0 => listed.join(", "),
        more => format!("{} and {more} more", listed.join(", ")),
    }
}

fn others(signers: &[String]) -> String {
    if signers.is_empty() { "nobody".to_owned() } else { list(signers) }
}

const fn repository(is_same: bool) -> &'static str {
    if is_same { ", another tag of the same repository" } else { "" }
}

fn wanted(missing: &[AnchorName], all: bool) -> String {
    match (missing.len(), all) {
        (1, _) => format!("the signature of {}", list(missing)),
        (_, true) => format!("the signatures of all of {}", list(missing)),
        (_, false) => format!("that of one of {}", list(missing)),
    }
}

fn absent(unknown: &[AnchorName]) -> String {
    if unknown.is_empty() {
        return String::new();
    }
    format!("; the trust store has no certificate called {} for statements", list(unknown))
}

fn of_image(image: Option<&String>) -> String {
    image.map(|image| format!(" of {image}")).unwrap_or_default()
}
