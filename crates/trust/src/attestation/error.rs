//! Why an attestation says nothing of an image.

use sealpack_format::digest::BlobDigest;

use super::{BUNDLE_MEDIA_TYPE, ENVELOPE_MAX_BYTES, PAYLOAD_TYPE, SIGNATURES_MAX};

/// Something that is called an attestation does not count.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AttestationError {
    /// More bytes than one may have.
    #[error("{size_bytes} bytes are too many; {ENVELOPE_MAX_BYTES} are the most")]
    TooLarge {
        /// How many there are.
        size_bytes: usize,
    },
    /// More signatures than one may have.
    #[error("it has {number} signatures; {SIGNATURES_MAX} are the most")]
    TooManySignatures {
        /// How many there are.
        number: usize,
    },
    /// Not the JSON that it should be.
    #[error("it is no {what}: {problem}")]
    Malformed {
        /// What it should be.
        what: &'static str,
        /// What is wrong, and where.
        problem: String,
    },
    /// A bundle of another version.
    #[error("the bundle calls itself {found:?}, and only {BUNDLE_MEDIA_TYPE} is known")]
    Bundle {
        /// What it calls itself.
        found: String,
    },
    /// A bundle of a signature alone.
    #[error("the bundle has no DSSE envelope: it is the signature of something, and says nothing about it")]
    NoEnvelope,
    /// The payload of an envelope is something else.
    #[error("its payload is of the type {found:?}, not {PAYLOAD_TYPE}")]
    PayloadType {
        /// The type.
        found: String,
    },
    /// No signature is by a key that counts, or over this.
    #[error(
        "none of its {signatures} signatures is good and by a key that the trust store has for artifacts"
    )]
    Nobody {
        /// How many it has.
        signatures: usize,
    },
    /// The payload is signed, and a statement of another version.
    #[error("its statement calls itself {found:?}, which is no in-toto statement of version 0.1 or 1")]
    Statement {
        /// What it calls itself.
        found: String,
    },
    /// It is signed, and about something else.
    #[error("it is about {found}, not about the image's manifest {manifest}")]
    Subject {
        /// The first thing that it is about.
        found: String,
        /// The image's manifest.
        manifest: BlobDigest,
    },
}

/// As much of a text from elsewhere as a message shows.
pub(super) fn shortened(text: &str) -> String {
    text.chars().take(160).collect()
}
