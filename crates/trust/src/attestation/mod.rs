//! Attestations: what somebody with a key says of an image, as `cosign attest` writes it: an in-toto statement in a DSSE
//! envelope, alone or in a Sigstore bundle.
//!
//! The form of the statement is that of in-toto's `spec/v1/statement.md` and of v0.1 before it, of the envelope that of
//! `envelope.md` and `protocol.md` in secure-systems-lab/dsse, version 1, of the bundle that of `sigstore_bundle.proto` 0.3.
//! Nothing of a statement is read before a signature of it is good.

mod envelope;
mod error;

use sealpack_format::digest::BlobDigest;
use serde::Deserialize;

pub use envelope::{ENVELOPE_MAX_BYTES, Envelope, SIGNATURES_MAX};
pub use error::AttestationError;

use crate::anchors::ArtifactKey;
use crate::key::{DigestAlgorithm, Fingerprint, PublicKey};

/// The media type of an envelope that stands alone: a layer of what `cosign attest` puts under the tag
/// [`attestation_tag`].
pub const ENVELOPE_MEDIA_TYPE: &str = "application/vnd.dsse.envelope.v1+json";

/// The media type of a bundle, and the type of the referrer that it travels as (`cosign attest --new-bundle-format`).
pub const BUNDLE_MEDIA_TYPE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";

/// What an envelope has to be about.
pub const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";

/// The forms of a statement that are known.
const STATEMENT_TYPES: [&str; 2] = ["https://in-toto.io/Statement/v1", "https://in-toto.io/Statement/v0.1"];

/// The tag under which cosign puts the attestations of an image where it does not make referrers.
#[must_use]
pub fn attestation_tag(manifest: &BlobDigest) -> String {
    format!("{}-{}.att", manifest.algorithm(), manifest.hex())
}

/// That somebody said something of a type about an image.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Attestation {
    /// The type of what is said: `https://slsa.dev/provenance/v1`.
    pub predicate_type: String,
    /// Whose signature was good: the SHA-256 of the key's `SubjectPublicKeyInfo`.
    pub key: Fingerprint,
}

/// What in-toto says of an image. The predicate itself is for whoever wants to know: it is not read.
#[derive(Deserialize)]
struct InToto {
    #[serde(rename = "_type")]
    form: String,
    subject: Vec<Subject>,
    #[serde(rename = "predicateType")]
    predicate_type: String,
}

#[derive(Deserialize)]
struct Subject {
    #[serde(default)]
    digest: Digests,
}

/// Digests of other algorithms say nothing of a manifest.
#[derive(Default, Deserialize)]
struct Digests {
    sha256: Option<String>,
    sha512: Option<String>,
}

impl Envelope {
    /// What it says of the image of that manifest, once for each of `keys` that signed it.
    ///
    /// # Errors
    /// Another type of payload, nobody of `keys` signed it, it is no in-toto statement, or one about something else.
    pub fn attestations<'k>(
        &self,
        manifest: &BlobDigest,
        keys: impl Iterator<Item = &'k ArtifactKey>,
    ) -> Result<Vec<Attestation>, AttestationError> {
        if self.payload_type() != PAYLOAD_TYPE {
            return Err(AttestationError::PayloadType { found: error::shortened(self.payload_type()) });
        }
        let signed = self.to_be_signed();
        let signers: Vec<_> = keys.filter(|key| self.is_signed_by(&key.key, &signed)).collect();
        if signers.is_empty() {
            return Err(AttestationError::Nobody { signatures: self.signatures().len() });
        }
        let predicate_type = predicate_type(self.payload(), manifest)?;
        let said = |key: &ArtifactKey| Attestation {
            predicate_type: predicate_type.clone(),
            key: key.key.fingerprint(),
        };
        Ok(signers.into_iter().map(said).collect())
    }

    fn is_signed_by(&self, key: &PublicKey, signed: &[u8]) -> bool {
        // cosign signs with SHA-256 whatever the key is; others take the curve's own.
        let of_key = key.signature_algorithm().digest();
        let digests =
            [Some(DigestAlgorithm::Sha256), Some(of_key).filter(|of| *of != DigestAlgorithm::Sha256)];
        let is_good = |signature: &Vec<u8>| {
            digests.iter().flatten().any(|digest| key.verifies(*digest, signed, signature))
        };
        self.signatures().iter().any(is_good)
    }
}

/// The type of what a statement says of a manifest.
fn predicate_type(payload: &[u8], manifest: &BlobDigest) -> Result<String, AttestationError> {
    let statement: InToto = serde_json::from_slice(payload).map_err(|error| AttestationError::Malformed {
        what: "in-toto statement",
        problem: error.to_string(),
    })?;
    if !STATEMENT_TYPES.contains(&statement.form.as_str()) {
        return Err(AttestationError::Statement { found: error::shortened(&statement.form) });
    }
    let digest = |subject: &Subject| {
        let Digests { sha256, sha512 } = &subject.digest;
        [("sha256", sha256), ("sha512", sha512)]
            .into_iter()
            .filter_map(|(algorithm, hex)| Some(format!("{algorithm}:{}", hex.as_ref()?)))
            .any(|digest| digest == manifest.to_string())
    };
    if statement.subject.iter().any(digest) {
        return Ok(statement.predicate_type);
    }
    let first = statement.subject.first().and_then(|subject| subject.digest.sha256.as_deref());
    Err(AttestationError::Subject {
        found: first.map_or_else(
            || "nothing with a SHA-256".to_owned(),
            |hex| format!("sha256:{}", error::shortened(hex)),
        ),
        manifest: *manifest,
    })
}

#[cfg(test)]
mod tests;
