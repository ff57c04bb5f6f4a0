//! What is known of a named image.

use std::collections::BTreeMap;

use sealpack_format::digest::{BlobDigest, DiffId, ObjectId};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::file::OfName;
use crate::store::Store;

/// The version of the record that this program writes and knows.
pub(super) const VERSION: u64 = 1;

/// What the store knows of an image under one of its names: the content of a file in `refs/`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageRecord {
    version: u64,
    /// The canonical name, such as `docker.io/library/debian:12`.
    pub name: String,
    /// The image's manifest, a blob.
    pub manifest: BlobDigest,
    /// The image's configuration, a blob.
    pub config: BlobDigest,
    /// The index that the manifest was chosen from, a blob too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index: Option<BlobDigest>,
    /// The canonical name that it was pulled by, where that is another: what its seal is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pulled_as: Option<String>,
    /// The SHA-256 of the statement of the seal that the image has under this name, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub statement: Option<BlobDigest>,
    /// What others with keys said of the image when it got its name, as far as the rules wanted it then.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attestations: Vec<SeenAttestation>,
    /// The platform, such as `linux/arm64/v8`.
    pub platform: String,
    /// The metadata image. Called `image` on the disk.
    #[serde(rename = "image")]
    pub metadata_image: ObjectId,
    /// The size of the metadata image. Called `image_size_bytes` on the disk.
    #[serde(rename = "image_size_bytes")]
    pub metadata_image_size_bytes: u64,
    /// The layers, lowest first.
    pub layers: Vec<LayerDescriptor>,
    /// In which form its objects are kept. Records from before there were packs do not say.
    #[serde(default)]
    pub objects: ObjectForm,
    /// When it was pulled, in seconds since 1970 (UTC). Pulled once more, the same image keeps its time.
    pub pulled_unix_seconds: u64,
    /// Fields that later versions add; kept when the record is written again.
    #[serde(flatten)]
    pub other: BTreeMap<String, Value>,
}

/// That somebody was found to have said something of an image. The signature is not kept: what it was over may be many MB.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SeenAttestation {
    /// The type of what was said.
    pub predicate_type: String,
    /// The SHA-256 of the `SubjectPublicKeyInfo` of the key whose signature was good, in hexadecimal.
    pub key_sha256: String,
}

/// How the objects of an image are kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ObjectForm {
    /// Each is a file below `objects/`, of all images that have it.
    #[default]
    Files,
    /// Those of a layer are in the layer's pack, of all images that have the layer.
    Packs,
}

impl ObjectForm {
    /// `files` or `packs`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Files => "files",
            Self::Packs => "packs",
        }
    }

    /// The form that this is not.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Files => Self::Packs,
            Self::Packs => Self::Files,
        }
    }
}

impl std::fmt::Display for ObjectForm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// Neither `files` nor `packs`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("objects are kept as files or as packs")]
pub struct ObjectFormParseError;

impl std::str::FromStr for ObjectForm {
    type Err = ObjectFormParseError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        [Self::Files, Self::Packs].into_iter().find(|form| form.name() == name).ok_or(ObjectFormParseError)
    }
}

/// A layer of an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerDescriptor {
    /// The digest of the uncompressed tar; names the layer's record.
    pub diff_id: DiffId,
    /// The digest of the blob that the layer came in.
    pub blob: BlobDigest,
    /// The size of that blob.
    pub blob_size_bytes: u64,
    /// Fields that later versions add.
    #[serde(flatten)]
    pub other: BTreeMap<String, Value>,
}

impl LayerDescriptor {
    /// The layer `diff_id` that came in `blob`.
    #[must_use]
    pub const fn new(diff_id: DiffId, blob: BlobDigest, blob_size_bytes: u64) -> Self {
        Self { diff_id, blob, blob_size_bytes, other: BTreeMap::new() }
    }
}

impl ImageRecord {
    /// A record with no layers, not pulled at any time yet; the fields are there to be set.
    #[must_use]
    pub fn new(
        name: impl Into<String>,
        manifest: BlobDigest,
        config: BlobDigest,
        metadata_image: ObjectId,
    ) -> Self {
        Self {
            version: VERSION,
            name: name.into(),
            manifest,
            config,
            index: None,
            pulled_as: None,
            statement: None,
            attestations: Vec::new(),
            platform: String::new(),
            metadata_image,
            metadata_image_size_bytes: 0,
            layers: Vec::new(),
            objects: ObjectForm::Files,
            pulled_unix_seconds: 0,
            other: BTreeMap::new(),
        }
    }

    /// The same with that seal.
    #[must_use]
    pub(crate) fn with_statement(self, statement: Option<BlobDigest>) -> Self {
        Self { statement, ..self }
    }

    /// The same without what may change of an image while it is that.
    #[must_use]
    pub(crate) fn without_words(self) -> Self {
        Self { statement: None, attestations: Vec::new(), ..self }
    }

    /// Whether both say the same, but for the time.
    pub(crate) fn is_as(&self, other: &Self) -> bool {
        let time = other.pulled_unix_seconds;
        Self { pulled_unix_seconds: time, ..self.clone() } == *other
    }

    /// The blobs that belong to the image.
    pub fn blobs(&self) -> impl Iterator<Item = BlobDigest> {
        [Some(self.manifest), Some(self.config), self.index].into_iter().flatten()
    }
}

impl OfName for ImageRecord {
    const WHAT: &'static str = "the record of an image";
    const VERSION: u64 = VERSION;

    fn name(&self) -> &str {
        &self.name
    }

    fn problem(&self, store: &Store) -> Option<String> {
        if self.version != VERSION {
            return Some(format!("the record of an image in it has version {}", self.version));
        }
        let algorithm = store.algorithm();
        (self.metadata_image.algorithm() != algorithm)
            .then(|| format!("its image is not named by {algorithm}"))
    }
}
