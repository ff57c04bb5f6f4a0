use crate::key::DigestAlgorithm;
use crate::pkcs7::{FormatError, VerifyError};

/// Why bytes are not a signature of an image.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ImageSignatureError {
    /// The PKCS#7 is damaged.
    #[error(transparent)]
    Format(FormatError),
    /// It is of something else.
    #[error("the PKCS#7 signs a content of type {found}, not the hash of a program that firmware starts")]
    NotOfImage {
        /// The type, an object identifier.
        found: String,
    },
    /// An attribute without which nothing is signed.
    #[error("the signature of the image has {problem}")]
    Attribute {
        /// Which one, and what is wrong with it.
        problem: &'static str,
    },
    /// Two hash functions.
    #[error(
        "the signature of the image is over {signer}, and the image's hash is {image}: firmware takes one for both"
    )]
    DigestsDiffer {
        /// The signer's.
        signer: DigestAlgorithm,
        /// The image's.
        image: DigestAlgorithm,
    },
    /// The hash is another image's.
    #[error(
        "the signature is of an image with the {digest} {signed}, and this one has {found}: it is another, or was changed"
    )]
    OtherImage {
        /// The hash function.
        digest: DigestAlgorithm,
        /// The hash that is signed, in hexadecimal.
        signed: String,
        /// The image's.
        found: String,
    },
    /// The signer is nobody who counts, or did not sign this.
    #[error(transparent)]
    Signer(VerifyError),
}

impl From<FormatError> for ImageSignatureError {
    fn from(error: FormatError) -> Self {
        Self::Format(error)
    }
}

impl From<VerifyError> for ImageSignatureError {
    fn from(error: VerifyError) -> Self {
        Self::Signer(error)
    }
}
