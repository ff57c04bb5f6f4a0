//! What can be wrong with a seal.

use sealpack_format::digest::{BlobDigest, DiffId, ObjectId, RootHash};

use super::{LAYERS_MAX, PACKS_MAX, SEAL_MAX_BYTES, SIGNATURE_MAX_BYTES, SIGNATURES_MAX, VERSION};
use crate::pkcs7::{SigningError, VerifyError};

/// Why a text is no seal.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// More bytes than a seal may have.
    #[error("the seal has {0} bytes; {SEAL_MAX_BYTES} are the most")]
    TooLarge(usize),
    /// Not the JSON of a seal.
    #[error("this is not a seal: {0}")]
    Json(String),
    /// A later version.
    #[error(
        "the seal has version {0}, which this program does not know; it knows {VERSION}: use a newer one"
    )]
    Version(u64),
    /// The digest of the metadata image is of another algorithm than is said.
    #[error("the seal says that the metadata image's digest is {algorithm}, but {id} is not")]
    Algorithm {
        /// The algorithm stated.
        algorithm: String,
        /// The digest.
        id: ObjectId,
    },
    /// What it says contradicts itself.
    #[error("the seal contradicts itself: {0}")]
    Statement(#[from] StatementError),
    /// A root hash without a signature.
    #[error("the seal has no signature of root hash {0}")]
    Unsigned(RootHash),
    /// Signatures of something else.
    #[error("the seal has signatures of {0}, which is the root hash of none of the image's devices")]
    ForeignRootHash(String),
    /// A root hash twice among the signatures.
    #[error("the seal has the signatures of root hash {0} twice")]
    DuplicateSignatures(RootHash),
    /// Too many signatures.
    #[error("the seal has {count} signatures of root hash {root_hash}; {SIGNATURES_MAX} are the most")]
    TooManySignatures {
        /// The root hash.
        root_hash: RootHash,
        /// How many.
        count: usize,
    },
    /// A signature that is not base64, empty, or too long.
    #[error("signature {number} of root hash {root_hash} is {problem}")]
    Signature {
        /// The root hash.
        root_hash: RootHash,
        /// Which of its signatures, from 1.
        number: usize,
        /// What is wrong with it.
        problem: SignatureProblem,
    },
}

/// What is wrong with a signature as text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignatureProblem {
    /// Not base64.
    #[error("not base64")]
    Base64,
    /// No bytes.
    #[error("empty")]
    Empty,
    /// Too many bytes.
    #[error("longer than {SIGNATURE_MAX_BYTES} bytes")]
    TooLong,
}

/// What a statement must not say.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StatementError {
    /// Two devices with the same root hash.
    #[error("root hash {0} is that of two devices")]
    DuplicateRootHash(RootHash),
    /// A layer in two packs.
    #[error("layer {0} is in two packs, or twice in one")]
    DuplicateLayer(DiffId),
    /// A pack of no layer.
    #[error("the pack with root hash {0} is of no layer")]
    NoLayers(RootHash),
    /// Too many packs.
    #[error("there are {0} packs; {PACKS_MAX} are the most")]
    TooManyPacks(usize),
    /// Too many layers.
    #[error("there are {0} layers; {LAYERS_MAX} are the most")]
    TooManyLayers(usize),
}

/// How a seal differs from an image.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Mismatch {
    /// It is about another image.
    #[error("it is the seal of the image {sealed}, not of {image}")]
    Manifest {
        /// The manifest sealed.
        sealed: BlobDigest,
        /// The image's.
        image: BlobDigest,
    },
    /// The same manifest, but another metadata image.
    #[error("it is for the metadata image {sealed}, not for {image}, which was made here")]
    Metadata {
        /// The fs-verity digest sealed.
        sealed: ObjectId,
        /// The image's.
        image: ObjectId,
    },
    /// The same metadata image, but another tree.
    #[error("it has root hash {sealed} for the metadata image, not {image}")]
    MetadataRootHash {
        /// The root hash sealed.
        sealed: RootHash,
        /// The image's.
        image: RootHash,
    },
    /// A layer's pack is not in it.
    #[error("it has no pack of layer {layer}, root hash {root_hash}")]
    Layer {
        /// The layer.
        layer: DiffId,
        /// The root hash of its pack.
        root_hash: RootHash,
    },
    /// A layer's pack is another one.
    #[error("it has root hash {sealed} for the pack of layer {layer}, not {image}, or another size")]
    Pack {
        /// The layer.
        layer: DiffId,
        /// The root hash sealed.
        sealed: RootHash,
        /// The image's.
        image: RootHash,
    },
}

/// Why an image was not signed.
#[derive(Debug, thiserror::Error)]
pub enum SealSigningError {
    /// The key or the certificate.
    #[error(transparent)]
    Signing(#[from] SigningError),
    /// What was signed cannot be verified.
    #[error("the signature that was just made cannot be verified: {0}")]
    Verify(#[from] VerifyError),
    /// Too many signers.
    #[error("the image is sealed by {SIGNATURES_MAX} signers, which are the most; replace the seal")]
    TooManySigners,
}
