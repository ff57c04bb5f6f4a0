//! Indexes, manifests and configs: JSON of unknown origin to types.
//!
//! Field names are matched exactly and may not occur twice, so that nobody reads another
//! manifest out of the same bytes. Unknown fields are ignored, as the specification wants it.

use std::collections::BTreeMap;

use sealpack_format::{BlobDigest, DiffId};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Value, json};

use crate::error::{Error, Result};
use crate::hash::blob_digest;
use crate::json::{self, List};
use crate::media_type::{MediaKind, OCI_CONFIG};
use crate::platform::StatedPlatform;

#[cfg(test)]
mod tests;

/// Largest index or manifest in bytes: what registries have to accept (distribution-spec,
/// "Pushing manifests"), and other clients' limit as well.
pub const MANIFEST_MAX_BYTES: u64 = 4 * 1024 * 1024;
/// Largest config in bytes.
pub const CONFIG_MAX_BYTES: u64 = 16 * 1024 * 1024;
/// Most layers of one image; docker builds at most 127.
pub const LAYERS_MAX: usize = 500;
/// Most entries of one index.
const INDEX_ENTRIES_MAX: usize = 4096;

/// A reference by content: media type, digest and size of a blob (image-spec, descriptor.md).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Descriptor {
    /// What the blob is; empty where that is not said.
    pub media_type: String,
    /// The digest of its bytes.
    pub digest: BlobDigest,
    /// The number of its bytes.
    pub size_bytes: u64,
    /// In an index: what is said of what the image runs on.
    pub platform: Option<StatedPlatform>,
    /// In a list of referrers: the type of the artifact that the manifest is.
    pub artifact_type: Option<String>,
    /// Notes by whoever made the manifest or index.
    pub annotations: BTreeMap<String, String>,
}

impl Descriptor {
    /// The descriptor of `bytes`, by SHA-256.
    #[must_use]
    pub fn of(media_type: &str, bytes: &[u8]) -> Self {
        let digest = blob_digest(sealpack_format::Algorithm::Sha256, bytes);
        Self::new(media_type, digest, u64::try_from(bytes.len()).unwrap_or(u64::MAX))
    }

    /// A descriptor with neither platform nor artifact type nor annotations.
    #[must_use]
    pub fn new(media_type: &str, digest: BlobDigest, size_bytes: u64) -> Self {
        Self {
            media_type: media_type.to_owned(),
            digest,
            size_bytes,
            platform: None,
            artifact_type: None,
            annotations: BTreeMap::new(),
        }
    }

    /// The descriptor as it stands in a manifest or an index.
    pub(crate) fn to_json(&self) -> Value {
        let mut fields = json!({
            "mediaType": self.media_type,
            "digest": self.digest.to_string(),
            "size": self.size_bytes,
        });
        if let Some(platform) = &self.platform {
            fields["platform"] = platform.to_json();
        }
        if let Some(artifact_type) = &self.artifact_type {
            fields["artifactType"] = artifact_type.as_str().into();
        }
        if !self.annotations.is_empty() {
            fields["annotations"] = json!(self.annotations);
        }
        fields
    }

    /// The descriptor as that of an image's config, whatever it calls itself.
    pub(crate) fn as_config(&self) -> Self {
        Self::new(OCI_CONFIG, self.digest, self.size_bytes)
    }

    /// Takes the media type from the manifest or index that it turned out to be, where it has none.
    pub(crate) fn learn_media_type(&mut self, bytes: &[u8]) {
        if self.media_type.is_empty() {
            self.media_type = Document::sniff_media_type(bytes).unwrap_or_default();
        }
    }

    /// Whether what is [fetched](crate::transport::ImageSource::fetch) by it is a manifest or an index: also what does
    /// not say what it is, as nothing else that is fetched whole may leave that open.
    #[must_use]
    pub fn names_manifest(&self) -> bool {
        self.media_type.is_empty() || self.kind().is_manifest()
    }

    /// What the media type is good for.
    #[must_use]
    pub fn kind(&self) -> MediaKind {
        MediaKind::of(&self.media_type)
    }

    /// Largest size at which the blob may be read into memory: 4 MiB, a config 16 MiB.
    #[must_use]
    pub fn memory_limit_bytes(&self) -> u64 {
        if self.kind() == MediaKind::Config { CONFIG_MAX_BYTES } else { MANIFEST_MAX_BYTES }
    }

    /// Refuses a blob that is too large to be read into memory, before anything is read.
    ///
    /// # Errors
    /// [`Error::TooLarge`], with `what` naming the blob.
    pub fn check_fits_memory(&self, what: &str) -> Result<()> {
        let limit_bytes = self.memory_limit_bytes();
        if self.size_bytes > limit_bytes {
            return Err(Error::TooLarge { what: what.to_owned(), limit_bytes });
        }
        Ok(())
    }

    /// Checks that `bytes` are the blob.
    ///
    /// # Errors
    /// [`Error::SizeMismatch`] or [`Error::DigestMismatch`], with `what` naming the blob.
    pub fn verify(&self, what: &str, bytes: &[u8]) -> Result<()> {
        let actual_bytes = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        if actual_bytes != self.size_bytes {
            let (what, expected_bytes) = (what.to_owned(), self.size_bytes);
            return Err(Error::SizeMismatch { what, expected_bytes, actual_bytes });
        }
        let actual = blob_digest(self.digest.algorithm(), bytes);
        if actual != self.digest {
            return Err(Error::DigestMismatch { what: what.to_owned(), expected: self.digest, actual });
        }
        Ok(())
    }
}

/// What a reference can name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Document {
    /// Images for several platforms, or other indexes.
    Index(Index),
    /// One image.
    Manifest(Box<Manifest>),
}

/// An image index or manifest list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Index {
    /// The manifests and nested indexes, in order.
    pub manifests: Vec<Descriptor>,
    /// The manifest or index that this one says something about.
    pub subject: Option<Box<Descriptor>>,
    /// What the index is, if it is no image.
    pub artifact_type: Option<String>,
    /// Notes by whoever made the index.
    pub annotations: BTreeMap<String, String>,
}

/// An image manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// The image's config.
    pub config: Descriptor,
    /// The layers, the base first.
    pub layers: Vec<Descriptor>,
    /// The manifest or index that this one says something about.
    pub subject: Option<Descriptor>,
    /// What the manifest is, if it is no image and says so.
    pub artifact_type: Option<String>,
    /// Notes by whoever made the image.
    pub annotations: BTreeMap<String, String>,
}

/// What of an image config an unpacker needs (image-spec, config.md).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// What the config says of what the image runs on.
    pub platform: StatedPlatform,
    /// The digests of the uncompressed layers, the base first.
    pub diff_ids: Vec<DiffId>,
}

impl Document {
    /// Reads an index or a manifest. `media_type` is what the descriptor or the registry
    /// called it, if they did; the document's own word may not contradict it.
    ///
    /// # Errors
    /// [`Error::Malformed`], [`Error::MediaType`], [`Error::Schema1`], with `what` naming the document.
    pub fn parse(what: &str, media_type: Option<&str>, bytes: &[u8]) -> Result<Self> {
        let announced = media_type.map_or(MediaKind::Other, MediaKind::of);
        if announced == MediaKind::Schema1 {
            return Err(Error::Schema1 { what: what.to_owned() });
        }
        let wire: WireDocument =
            serde_json::from_slice(bytes).map_err(|error| Error::malformed(what, error))?;
        let kind = wire.kind(what, announced)?;
        if wire.schema_version != Some(2) {
            return Err(Error::malformed(what, "its schemaVersion is not 2"));
        }
        match kind {
            MediaKind::Index => wire.into_index(what, INDEX_ENTRIES_MAX).map(Self::Index),
            _ => wire.into_manifest(what).map(|manifest| Self::Manifest(Box::new(manifest))),
        }
    }

    /// Reads a list of referrers: an index, whose entries the caller counts.
    ///
    /// # Errors
    /// As [`parse`](Self::parse), and when it is no index.
    pub(crate) fn parse_list(what: &str, bytes: &[u8]) -> Result<Vec<Descriptor>> {
        let wire: WireDocument =
            serde_json::from_slice(bytes).map_err(|error| Error::malformed(what, error))?;
        match wire.kind(what, MediaKind::Other)? {
            MediaKind::Index => Ok(wire.into_index(what, usize::MAX)?.manifests),
            _ => Err(Error::malformed(what, "it is an image manifest, not an index of referrers")),
        }
    }

    /// The manifest or index that this one says something about, if there is one.
    #[must_use]
    pub fn subject(&self) -> Option<&Descriptor> {
        match self {
            Self::Index(index) => index.subject.as_deref(),
            Self::Manifest(manifest) => manifest.subject.as_ref(),
        }
    }

    /// What it is as a referrer: its `artifactType`, else its config's media type (distribution-spec,
    /// "Listing referrers").
    #[must_use]
    pub fn artifact_type(&self) -> Option<&str> {
        match self {
            Self::Index(index) => index.artifact_type.as_deref(),
            Self::Manifest(manifest) => {
                Some(manifest.artifact_type.as_deref().unwrap_or(&manifest.config.media_type))
            }
        }
    }

    /// The notes by whoever made it.
    #[must_use]
    pub const fn annotations(&self) -> &BTreeMap<String, String> {
        match self {
            Self::Index(index) => &index.annotations,
            Self::Manifest(manifest) => &manifest.annotations,
        }
    }

    /// `descriptor`, which is this document's, as a list of referrers shows it.
    #[must_use]
    pub fn as_referrer(&self, descriptor: &Descriptor) -> Descriptor {
        let mut listed = Descriptor::new(&descriptor.media_type, descriptor.digest, descriptor.size_bytes);
        listed.artifact_type = self.artifact_type().map(str::to_owned);
        listed.annotations = self.annotations().clone();
        listed
    }

    /// The media type of a document whose origin names none.
    #[must_use]
    pub fn sniff_media_type(bytes: &[u8]) -> Option<String> {
        let wire: WireDocument = serde_json::from_slice(bytes).ok()?;
        let by_shape = match wire.shape() {
            Ok(MediaKind::Index) => crate::media_type::OCI_INDEX,
            _ => crate::media_type::OCI_MANIFEST,
        };
        Some(wire.media_type.unwrap_or_else(|| by_shape.to_owned()))
    }
}

impl Config {
    /// Reads an image config.
    ///
    /// # Errors
    /// [`Error::Malformed`], with `what` naming the config.
    pub fn parse(what: &str, bytes: &[u8]) -> Result<Self> {
        let wire: WireConfig =
            serde_json::from_slice(bytes).map_err(|error| Error::malformed(what, error))?;
        let Some(rootfs) = wire.rootfs else {
            return Err(Error::malformed(what, "it has no rootfs, so the layers cannot be verified"));
        };
        if let Some(kind) = rootfs.kind.filter(|kind| kind != "layers") {
            return Err(Error::malformed(what, format!("its rootfs has the type {kind:?}, not layers")));
        }
        let platform = StatedPlatform::new(&wire.os, &wire.architecture, &wire.variant);
        Ok(Self { platform, diff_ids: rootfs.diff_ids })
    }

    /// Whether the bytes say of themselves what only an image's config does, whatever they are called.
    #[must_use]
    pub fn is_one(bytes: &[u8]) -> bool {
        serde_json::from_slice::<WireConfig>(bytes).is_ok_and(|config| config.rootfs.is_some())
    }
}

#[derive(Deserialize)]
struct WireDocument {
    #[serde(rename = "schemaVersion")]
    schema_version: Option<u64>,
    #[serde(rename = "mediaType", default, deserialize_with = "json::text")]
    media_type: Option<String>,
    config: Option<WireDescriptor>,
    #[serde(default)]
    layers: List<WireDescriptor>,
    #[serde(default)]
    manifests: List<WireDescriptor>,
    subject: Option<WireDescriptor>,
    #[serde(rename = "artifactType", default, deserialize_with = "json::text")]
    artifact_type: Option<String>,
    #[serde(default, deserialize_with = "json::texts")]
    annotations: BTreeMap<String, String>,
    #[serde(rename = "fsLayers")]
    fs_layers: Option<IgnoredAny>,
}

impl WireDocument {
    /// What it calls itself.
    fn own_kind(&self) -> MediaKind {
        self.media_type.as_deref().map_or(MediaKind::Other, MediaKind::of)
    }

    /// Whether it has anything that a manifest has.
    fn is_of_image(&self) -> bool {
        self.config.is_some() || self.layers.is_given()
    }

    /// Whether this is an index or a manifest by what is in it. What is `null` decides where nothing else is there.
    ///
    /// # Errors
    /// What is wrong with it, when it is both or neither.
    fn shape(&self) -> Result<MediaKind, &'static str> {
        match (self.manifests.is_given(), self.is_of_image()) {
            (true, true) => Err("it is an index and a manifest at once"),
            (true, false) => Ok(MediaKind::Index),
            (false, true) => Ok(MediaKind::Manifest),
            (false, false) => match (self.manifests.is_null(), self.layers.is_null(), self.own_kind()) {
                (true, false, _) => Ok(MediaKind::Index),
                (false, true, _) => Ok(MediaKind::Manifest),
                (_, _, own @ (MediaKind::Index | MediaKind::Manifest)) => Ok(own),
                _ => Err("it has neither manifests nor config and layers"),
            },
        }
    }

    /// Whether this is an index or a manifest, by all that is known of it.
    fn kind(&self, what: &str, announced: MediaKind) -> Result<MediaKind> {
        let own = self.own_kind();
        if own == MediaKind::Schema1 || (self.fs_layers.is_some() && !self.is_of_image()) {
            return Err(Error::Schema1 { what: what.to_owned() });
        }
        if let (Some(media_type), MediaKind::Other | MediaKind::Config) = (&self.media_type, own) {
            return Err(Error::MediaType {
                what: what.to_owned(),
                media_type: media_type.chars().take(160).collect(),
                supported: "supported are OCI and Docker schema 2 manifests and indexes",
            });
        }
        let shape = self.shape().map_err(|problem| Error::malformed(what, problem))?;
        for (said, by) in [(own, "it calls itself"), (announced, "it was announced as")] {
            if said.is_manifest() && said != shape {
                let name = if said == MediaKind::Index { "an index" } else { "a manifest" };
                return Err(Error::malformed(what, format!("{by} {name} but has the contents of the other")));
            }
        }
        Ok(shape)
    }

    fn into_index(self, what: &str, limit: usize) -> Result<Index> {
        let manifests = self.manifests.into_vec().unwrap_or_default();
        if manifests.len() > limit {
            return Err(Error::malformed(what, format!("it has more than {limit} entries")));
        }
        Ok(Index {
            manifests: described(what, "an entry", manifests)?,
            subject: WireDescriptor::into_subject(self.subject, what)?.map(Box::new),
            artifact_type: self.artifact_type,
            annotations: self.annotations,
        })
    }

    fn into_manifest(self, what: &str) -> Result<Manifest> {
        let (Some(config), Some(layers)) = (self.config, self.layers.into_vec()) else {
            return Err(Error::malformed(what, "it lacks its config or its layers"));
        };
        if layers.len() > LAYERS_MAX {
            return Err(Error::malformed(
                what,
                format!("it has {} layers, more than the limit of {LAYERS_MAX}", layers.len()),
            ));
        }
        Ok(Manifest {
            config: config.into_descriptor(what, "its config")?,
            layers: described(what, "a layer", layers)?,
            subject: WireDescriptor::into_subject(self.subject, what)?,
            artifact_type: self.artifact_type,
            annotations: self.annotations,
        })
    }
}

#[derive(Deserialize)]
struct WireDescriptor {
    #[serde(rename = "mediaType", default, deserialize_with = "json::or_empty")]
    media_type: String,
    #[serde(default, deserialize_with = "json::parsed")]
    digest: Option<BlobDigest>,
    #[serde(rename = "size")]
    size_bytes: Option<u64>,
    platform: Option<WirePlatform>,
    #[serde(rename = "artifactType", default, deserialize_with = "json::text")]
    artifact_type: Option<String>,
    #[serde(default, deserialize_with = "json::texts")]
    annotations: BTreeMap<String, String>,
}

impl WireDescriptor {
    /// The descriptor, which is that of `part` of `what`.
    fn into_descriptor(self, what: &str, part: &str) -> Result<Descriptor> {
        let lacks = |field: &str| Error::malformed(what, format!("{part} has no {field}"));
        let platform = self.platform.as_ref().map(WirePlatform::stated);
        Ok(Descriptor {
            media_type: self.media_type,
            digest: self.digest.ok_or_else(|| lacks("digest"))?,
            size_bytes: self.size_bytes.ok_or_else(|| lacks("size"))?,
            platform: platform.filter(|platform| !platform.is_nothing()),
            artifact_type: self.artifact_type,
            annotations: self.annotations,
        })
    }

    /// The subject: none where the descriptor is an empty one.
    fn into_subject(subject: Option<Self>, what: &str) -> Result<Option<Descriptor>> {
        let subject = subject.filter(|subject| subject.digest.is_some() || !subject.media_type.is_empty());
        subject.map(|subject| subject.into_descriptor(what, "its subject")).transpose()
    }
}

/// The descriptors of `part`s of `what`.
fn described(what: &str, part: &str, wire: Vec<WireDescriptor>) -> Result<Vec<Descriptor>> {
    wire.into_iter().map(|wire| wire.into_descriptor(what, part)).collect()
}

#[derive(Deserialize)]
struct WirePlatform {
    #[serde(default, deserialize_with = "json::or_empty")]
    os: String,
    #[serde(default, deserialize_with = "json::or_empty")]
    architecture: String,
    #[serde(default, deserialize_with = "json::or_empty")]
    variant: String,
}

impl WirePlatform {
    fn stated(&self) -> StatedPlatform {
        StatedPlatform::new(&self.os, &self.architecture, &self.variant)
    }
}

#[derive(Deserialize)]
struct WireConfig {
    #[serde(default, deserialize_with = "json::or_empty")]
    os: String,
    #[serde(default, deserialize_with = "json::or_empty")]
    architecture: String,
    #[serde(default, deserialize_with = "json::or_empty")]
    variant: String,
    rootfs: Option<WireRootfs>,
}

#[derive(Deserialize)]
struct WireRootfs {
    #[serde(rename = "type", default, deserialize_with = "json::text")]
    kind: Option<String>,
    #[serde(default, deserialize_with = "json::or_empty")]
    diff_ids: Vec<DiffId>,
}
