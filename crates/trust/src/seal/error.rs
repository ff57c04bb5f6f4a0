//! What can be wrong with a seal.

use sealpack_format::digest::{Algorithm, DiffId, ObjectId, RootHash};
use sealpack_format::limits::PACKS_MAX;
use sealpack_format::reference::ImageName;

use super::{
    LAYERS_MAX, NAMES_MAX, SIGNATURE_MAX_BYTES, SIGNATURES_MAX, STATEMENT_MAX_BYTES, Signed, VERSION,
};
use crate::pkcs7::{SigningError, VerifyError};

/// Why bytes are no seal.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SealError {
    /// More bytes than a seal, or its bundle of signatures, may have.
    #[error("the seal's signatures take {size_bytes} bytes; {limit_bytes} are the most")]
    TooLarge {
        /// How many there are.
        size_bytes: usize,
        /// How many there may be.
        limit_bytes: usize,
    },
    /// Not the JSON of a seal.
    #[error("this is not a seal: {0}")]
    Json(String),
    /// A later version.
    #[error(
        "the seal has version {0}, which this program does not know; it knows {VERSION}: use a newer one"
    )]
    Version(u64),
    /// What it says is wrong, or contradicts itself.
    #[error("the seal's statement: {0}")]
    Statement(#[from] StatementError),
    /// No signature of something that has to be signed.
    #[error("the seal has no signature of {0}")]
    Unsigned(Signed),
    /// Signatures of something else.
    #[error("the seal has signatures of {0}, which is the root hash of none of the image's devices")]
    ForeignRootHash(String),
    /// A root hash twice among the signatures.
    #[error("the seal has the signatures of root hash {0} twice")]
    DuplicateSignatures(RootHash),
    /// Too many signatures.
    #[error("the seal has {count} signatures of {signed}; {SIGNATURES_MAX} are the most")]
    TooManySignatures {
        /// What they are over.
        signed: Signed,
        /// How many.
        count: usize,
    },
    /// Two signatures of the same by the same.
    #[error("the seal has two signatures of {signed} by {signer}")]
    SameSigner {
        /// What they are over.
        signed: Signed,
        /// By what both name their certificate.
        signer: String,
    },
    /// A signature that is not base64, empty, or too long.
    #[error("signature {number} of {signed} is {problem}")]
    Signature {
        /// What it is over.
        signed: Signed,
        /// Which of its signatures, from 1.
        number: usize,
        /// What is wrong with it.
        problem: SignatureProblem,
    },
}

/// What is wrong with a signature as text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
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

/// Why bytes are no statement, or what one must not say.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StatementError {
    /// More bytes than a statement may have.
    #[error("it has {0} bytes; {STATEMENT_MAX_BYTES} are the most")]
    TooLarge(usize),
    /// Not JSON, or JSON that the canonical form does not have.
    #[error("it is not JSON in the canonical form: {0}")]
    Json(String),
    /// The JSON of a statement in another form.
    #[error(
        "it is not in the canonical form (RFC 8785) from byte {0} on: it was changed after it was signed, or written wrongly"
    )]
    Form(usize),
    /// A later version.
    #[error("it has version {0}, which this program does not know; it knows {VERSION}: use a newer one")]
    Version(u64),
    /// A field that must be known and is not.
    #[error(
        "it says that a reader must know its field \"{0}\", which this program does not: use a newer one"
    )]
    Critical(String),
    /// The image is rebuilt in a format that is not known.
    #[error("its {what} format is \"{format}\", which this program does not know; it knows \"{known}\"")]
    Format {
        /// What the format is of.
        what: &'static str,
        /// The format.
        format: String,
        /// The one that is known.
        known: &'static str,
    },
    /// A field is missing.
    #[error("the field {0} is missing")]
    Missing(String),
    /// A field inside another, where none is left for later versions.
    #[error("the field {0} is not known")]
    Unknown(String),
    /// A value of another kind.
    #[error("{place} is not {expected}")]
    Kind {
        /// The field.
        place: String,
        /// What it should be.
        expected: &'static str,
    },
    /// A text that is not what it should be.
    #[error("{place}: {problem}")]
    Value {
        /// The field.
        place: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The digest of the metadata image is of another algorithm than is said.
    #[error("it says that the metadata image's digest is {algorithm}, but {id} is not")]
    Algorithm {
        /// The algorithm stated.
        algorithm: Algorithm,
        /// The digest.
        id: ObjectId,
    },
    /// Not the name of a platform.
    #[error("{0:?} is not a platform, as linux/amd64 is one")]
    Platform(String),
    /// A size or an epoch that JSON cannot say exactly.
    #[error("{0} is above 2^53-1")]
    Integer(u64),
    /// No names, or too many.
    #[error("it has {0} names that it may be used for; 1 to {NAMES_MAX} are allowed")]
    NumberOfNames(usize),
    /// A name twice.
    #[error("the name {0} is there twice")]
    DuplicateName(ImageName),
    /// No metadata image.
    #[error("it has no metadata image")]
    NoMetadata,
    /// Two metadata images for stores of one algorithm.
    #[error("it has two metadata images for {0}")]
    DuplicateMetadata(Algorithm),
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

/// Why an image was not signed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SealSigningError {
    /// The key or the certificate.
    #[error(transparent)]
    Signing(#[from] SigningError),
    /// What was signed cannot be verified.
    #[error("the signature that was just made cannot be verified: {0}")]
    Verify(#[from] VerifyError),
    /// The seal cannot have the signature, such as when it has too many.
    #[error(transparent)]
    Seal(#[from] SealError),
}
