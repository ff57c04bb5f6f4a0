//! Reading an artifact: the manifest of digests and signatures that refers to an image's manifest.

use sealpack_format::BlobDigest;

use super::claim::{Claim, ClaimedIn};
use super::names::{ARTIFACT_TYPE, ENTRIES_MAX, SIGNATURE_MAX_BYTES, SIGNATURE_TYPE};
use crate::error::Error;
use crate::manifest::{Descriptor, Document};
use crate::media_type::OCI_MANIFEST;

/// Why something is no artifact about an image.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArtifactError {
    /// Its manifest cannot be read.
    #[error(transparent)]
    Manifest(#[from] Error),
    /// It is an artifact of another kind.
    #[error("{what} is not an artifact of the type {ARTIFACT_TYPE}, but {found:?}")]
    Kind {
        /// The artifact.
        what: ClaimedIn,
        /// Its type, cut after 160 characters.
        found: String,
    },
    /// It is about another manifest, or about none.
    #[error("{what} is about {}, not about {subject}", found.map_or("nothing".to_owned(), |found| found.to_string()))]
    Subject {
        /// The artifact.
        what: ClaimedIn,
        /// What it is about.
        found: Option<BlobDigest>,
        /// What it should be about.
        subject: BlobDigest,
    },
    /// It has too many layers.
    #[error("{what} has {found} layers, more than the limit of {ENTRIES_MAX}")]
    TooMany {
        /// The artifact.
        what: ClaimedIn,
        /// Their number.
        found: usize,
    },
    /// A signature is too large for the kernel.
    #[error(
        "{what}: the signature {digest} has {size_bytes} bytes, more than the limit of {SIGNATURE_MAX_BYTES}"
    )]
    SignatureTooLarge {
        /// The artifact.
        what: ClaimedIn,
        /// The signature's blob.
        digest: BlobDigest,
        /// Its size.
        size_bytes: u64,
    },
    /// It says nothing.
    #[error("{what} has no digest of a metadata image, of the config or of the manifest")]
    Empty {
        /// The artifact.
        what: ClaimedIn,
    },
}

/// An artifact about an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ComposefsArtifact {
    entries: Vec<Entry>,
}

/// A layer of an artifact that says something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// What it says, without its signature so far.
    pub claim: Claim,
    /// The blob that has the signature, if there is one.
    pub signature: Option<Descriptor>,
}

impl ComposefsArtifact {
    /// Reads the manifest `bytes` of the artifact `digest`, which has to be about `subject`. That the bytes have the
    /// digest is for the caller to check.
    ///
    /// Layers without a digest among their annotations are passed over: later versions may have more of them. Their
    /// order, which is laid down for writers, does not matter.
    ///
    /// # Errors
    /// [`ArtifactError`].
    pub fn parse(digest: BlobDigest, bytes: &[u8], subject: &BlobDigest) -> Result<Self, ArtifactError> {
        let what = ClaimedIn::Artifact(digest);
        let manifest = match Document::parse(&what.to_string(), Some(OCI_MANIFEST), bytes)? {
            Document::Manifest(manifest) => manifest,
            Document::Index(_) => return Err(Error::malformed(what.to_string(), "it is an index").into()),
        };
        // Without a type of its own, an artifact has that of its config (image-spec, manifest.md, "artifactType").
        let kind = manifest.artifact_type.unwrap_or(manifest.config.media_type);
        if kind != ARTIFACT_TYPE {
            return Err(ArtifactError::Kind { what, found: kind.chars().take(160).collect() });
        }
        let found = manifest.subject.map(|found| found.digest);
        if found.as_ref() != Some(subject) {
            return Err(ArtifactError::Subject { what, found, subject: *subject });
        }
        if manifest.layers.len() > ENTRIES_MAX {
            return Err(ArtifactError::TooMany { what, found: manifest.layers.len() });
        }
        let mut entries = Vec::new();
        for layer in manifest.layers {
            read_layer(&what, layer, &mut entries)?;
        }
        if entries.is_empty() {
            return Err(ArtifactError::Empty { what });
        }
        Ok(Self { entries })
    }

    /// What it says, in the order of its layers. The blobs of signatures are small, and few:
    /// [`SIGNATURE_MAX_BYTES`], [`ENTRIES_MAX`].
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// What it says, with the signatures that `fetch` gives for their blobs, checked against their digests.
    ///
    /// # Errors
    /// Those of `fetch`, and other bytes than described.
    pub fn claims(
        self,
        mut fetch: impl FnMut(&Descriptor) -> Result<Vec<u8>, Error>,
    ) -> Result<Vec<Claim>, Error> {
        let claim = |entry: Entry| {
            let Some(blob) = &entry.signature else { return Ok(entry.claim) };
            let bytes = fetch(blob)?;
            blob.verify(&format!("{}: the signature {}", entry.claim.place, blob.digest), &bytes)?;
            Ok(Claim { signature: Some(bytes), ..entry.claim })
        };
        self.entries.into_iter().map(claim).collect()
    }
}

/// Adds what one layer says.
fn read_layer(what: &ClaimedIn, layer: Descriptor, entries: &mut Vec<Entry>) -> Result<(), ArtifactError> {
    let claims = layer.annotations.iter();
    let claims: Vec<_> = claims.filter_map(|(name, value)| Claim::of_annotation(what, name, value)).collect();
    let is_signature = layer.media_type == SIGNATURE_TYPE && layer.size_bytes > 0;
    if is_signature && !claims.is_empty() && layer.size_bytes > SIGNATURE_MAX_BYTES {
        let (what, digest, size_bytes) = (what.clone(), layer.digest, layer.size_bytes);
        return Err(ArtifactError::SignatureTooLarge { what, digest, size_bytes });
    }
    let signature = is_signature.then_some(layer);
    entries.extend(claims.into_iter().map(|claim| Entry { claim, signature: signature.clone() }));
    Ok(())
}

impl ArtifactError {
    /// Whether bytes were there but are not about the image.
    #[must_use]
    pub fn is_verification(&self) -> bool {
        match self {
            Self::Manifest(error) => error.is_verification(),
            Self::Subject { .. } => true,
            _ => false,
        }
    }
}
