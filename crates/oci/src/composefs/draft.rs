//! Making an artifact.

use std::collections::BTreeMap;

use sealpack_format::verity::{fsverity_digest, signed_bytes};
use sealpack_format::{Algorithm, ObjectId};
use serde::Serialize;

use super::key::{Key, Part};
use super::names::{ARTIFACT_TYPE, SIGNATURE_MAX_BYTES, SIGNATURE_TYPE};
use crate::error::Error;
use crate::manifest::Descriptor;
use crate::media_type::{OCI_EMPTY, OCI_MANIFEST};
use crate::transport::{ImageTarget, Naming, Pushed, put_bytes};

/// What stands where nothing has to (image-spec, manifest.md, "Guidance for an Empty Descriptor").
const EMPTY: &[u8] = b"{}";

/// Why no artifact can be made.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DraftError {
    /// A signature is empty, or too large for the kernel.
    #[error("the signature of the {part} has {size_bytes} bytes; 1 to {SIGNATURE_MAX_BYTES} are possible")]
    SignatureSize {
        /// What it is a signature of.
        part: Part,
        /// Its size.
        size_bytes: usize,
    },
    /// One part is signed and another is not, which the specification does not allow.
    #[error("the {unsigned} is not signed, but other parts are: all of them have to be, or none")]
    Unsigned {
        /// What is not signed.
        unsigned: Part,
    },
}

/// An artifact that is being made: the digests of the manifest, the config and the merged image, by one algorithm, and
/// a signature of each or of none.
#[derive(Debug, Clone)]
pub struct Draft {
    subject: Descriptor,
    parts: BTreeMap<Part, (ObjectId, Option<Vec<u8>>)>,
}

/// An artifact that is made. Its bytes follow from what went in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Built {
    /// The descriptor of the manifest, as a list of referrers has it.
    pub descriptor: Descriptor,
    /// The bytes of the manifest.
    pub manifest: Vec<u8>,
    /// The blobs that it names, each once, which have to be there before it.
    pub blobs: Vec<(Descriptor, Vec<u8>)>,
}

impl Built {
    /// Writes the artifact: its blobs, then its manifest.
    ///
    /// # Errors
    /// See [`ImageTarget::put_blob`] and [`ImageTarget::put_manifest`].
    pub fn push(&self, target: &dyn ImageTarget) -> Result<Pushed, Error> {
        for (descriptor, bytes) in &self.blobs {
            put_bytes(target, descriptor, bytes)?;
        }
        target.put_manifest(&self.descriptor, &self.manifest, Naming::Digest)
    }
}

impl Draft {
    /// The artifact about the image whose manifest has the descriptor `subject` and these bytes, whose config has
    /// those, and whose metadata image, in format 1, has the digest `image`.
    #[must_use]
    pub fn new(subject: &Descriptor, manifest: &[u8], config: &[u8], image: ObjectId) -> Self {
        let algorithm = image.algorithm();
        let parts = [
            (Part::Manifest, fsverity_digest(algorithm, manifest)),
            (Part::Config, fsverity_digest(algorithm, config)),
            (Part::Merged, image),
        ];
        let parts = parts.into_iter().map(|(part, id)| (part, (id, None))).collect();
        let subject = Descriptor::new(&subject.media_type, subject.digest, subject.size_bytes);
        Self { subject, parts }
    }

    /// What there is to be signed: each part with the bytes that its signature, a detached PKCS#7, is over.
    pub fn to_be_signed(&self) -> impl Iterator<Item = (Part, Vec<u8>)> + '_ {
        self.parts.iter().map(|(part, (id, _))| (*part, signed_bytes(id)))
    }

    /// Adds the signature of a part, DER. Parts that the artifact does not have are passed over.
    ///
    /// # Errors
    /// [`DraftError::SignatureSize`].
    pub fn sign(&mut self, part: Part, der: Vec<u8>) -> Result<(), DraftError> {
        let size_bytes = der.len();
        if !(1..=SIGNATURE_MAX_BYTES).contains(&u64::try_from(size_bytes).unwrap_or(u64::MAX)) {
            return Err(DraftError::SignatureSize { part, size_bytes });
        }
        if let Some((_, signature)) = self.parts.get_mut(&part) {
            *signature = Some(der);
        }
        Ok(())
    }

    /// Makes the manifest and its blobs.
    ///
    /// # Errors
    /// [`DraftError::Unsigned`].
    pub fn build(self) -> Result<Built, DraftError> {
        let is_signed = self.parts.values().any(|(_, signature)| signature.is_some());
        let empty = Descriptor::of(OCI_EMPTY, EMPTY);
        let mut blobs = vec![(empty.clone(), EMPTY.to_vec())];
        let mut layers = Vec::new();
        for (part, (id, signature)) in self.parts {
            let layer = match signature {
                Some(der) => {
                    let blob = Descriptor::of(SIGNATURE_TYPE, &der);
                    if blobs.iter().all(|(there, _)| there.digest != blob.digest) {
                        blobs.push((blob.clone(), der));
                    }
                    blob
                }
                None if is_signed => return Err(DraftError::Unsigned { unsigned: part }),
                None => empty.clone(),
            };
            layers.push(WireDescriptor::of(&layer, Some(annotation(part, id.algorithm(), id))));
        }
        let manifest = WireManifest {
            schema_version: 2,
            media_type: OCI_MANIFEST,
            artifact_type: ARTIFACT_TYPE,
            config: WireDescriptor::of(&empty, None),
            layers,
            subject: WireDescriptor::of(&self.subject, None),
        };
        let manifest = serde_json::to_vec(&manifest).expect("texts and numbers are always JSON");
        let mut descriptor = Descriptor::of(OCI_MANIFEST, &manifest);
        descriptor.artifact_type = Some(ARTIFACT_TYPE.to_owned());
        Ok(Built { descriptor, manifest, blobs })
    }
}

fn annotation(part: Part, algorithm: Algorithm, id: ObjectId) -> BTreeMap<String, String> {
    BTreeMap::from([(Key::of(part, algorithm).to_string(), id.to_string())])
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct WireManifest<'a> {
    schema_version: u32,
    media_type: &'a str,
    artifact_type: &'a str,
    config: WireDescriptor,
    layers: Vec<WireDescriptor>,
    subject: WireDescriptor,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct WireDescriptor {
    media_type: String,
    digest: String,
    size: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    annotations: Option<BTreeMap<String, String>>,
}

impl WireDescriptor {
    fn of(descriptor: &Descriptor, annotations: Option<BTreeMap<String, String>>) -> Self {
        Self {
            media_type: descriptor.media_type.clone(),
            digest: descriptor.digest.to_string(),
            size: descriptor.size_bytes,
            annotations,
        }
    }
}
