//! What the store keeps of a seal with the image that it is of.

use sealpack_format::digest::{Algorithm, BlobDigest};

use super::record::SeenAttestation;
use crate::hash::blob_digest;

/// A seal, for the store's part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptSeal {
    /// The SHA-256 of the statement in it: what tells it from other seals of the same image.
    pub statement: BlobDigest,
    /// The bytes, at most [`SEAL_MAX_BYTES`](sealpack_format::limits::SEAL_MAX_BYTES) of them.
    pub json: Vec<u8>,
}

impl KeptSeal {
    /// The seal in `json` whose statement has these bytes.
    #[must_use]
    pub fn new(statement: &[u8], json: Vec<u8>) -> Self {
        Self { statement: blob_digest(Algorithm::Sha256, statement), json }
    }
}

/// What is to be remembered of a seal for a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcceptedEpoch {
    /// The name.
    pub name: String,
    /// The epoch of the seal.
    pub epoch: u64,
    /// When the seal's statement was made, in seconds since 1970.
    pub created_unix_seconds: u64,
    /// Whether the seal is for another name, and this is only the one that the image got here.
    pub given: bool,
}

/// What is kept of an image's seal when the image gets its name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Accepted {
    /// The seal; without one, the image keeps the one that its record names, or that it had under the name.
    pub seal: Option<KeptSeal>,
    /// What others say of the image: what the record has already stays.
    pub attestations: Vec<SeenAttestation>,
    /// What is to be remembered of names.
    pub epochs: Vec<AcceptedEpoch>,
    /// Further names of which no epoch may be remembered: the image has no seal, and they never had one.
    pub unsealed: Vec<String>,
    /// That whoever asks for the image knows that it is older than what is remembered, or has no seal. What is
    /// remembered stays, or rises.
    pub agreed: bool,
}
