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
use crate::media_type::MediaKind;
use crate::platform::Platform;

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
    /// What the blob is.
    pub media_type: String,
    /// The digest of its bytes.
    pub digest: BlobDigest,
    /// The number of its bytes.
    pub size_bytes: u64,
    /// In an index: what the image runs on.
    pub platform: Option<Platform>,
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
            fields["platform"] = json!({"os": platform.os(), "architecture": platform.architecture()});
            if let Some(variant) = platform.variant() {
                fields["platform"]["variant"] = variant.into();
            }
        }
        if let Some(artifact_type) = &self.artifact_type {
            fields["artifactType"] = artifact_type.as_str().into();
        }
        if !self.annotations.is_empty() {
            fields["annotations"] = json!(self.annotations);
        }
        fields
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
    /// What the image runs on; `None` when the config leaves it out.
    pub platform: Option<Platform>,
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
        let by_shape = if wire.manifests.is_some() {
            crate::media_type::OCI_INDEX
        } else {
            crate::media_type::OCI_MANIFEST
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
        if rootfs.kind != "layers" {
            return Err(Error::malformed(
                what,
                format!("its rootfs has the type {:?}, not layers", rootfs.kind),
            ));
        }
        Ok(Self {
            platform: WirePlatform { os: wire.os, architecture: wire.architecture, variant: wire.variant }
                .into_platform(),
            diff_ids: rootfs.diff_ids.unwrap_or_default(),
        })
    }
}

#[derive(Deserialize)]
struct WireDocument {
    #[serde(rename = "schemaVersion")]
    schema_version: Option<u64>,
    #[serde(rename = "mediaType")]
    media_type: Option<String>,
    config: Option<WireDescriptor>,
    layers: Option<Vec<WireDescriptor>>,
    manifests: Option<Vec<WireDescriptor>>,
    subject: Option<WireDescriptor>,
    #[serde(rename = "artifactType")]
    artifact_type: Option<String>,
    annotations: Option<BTreeMap<String, String>>,
    #[serde(rename = "fsLayers")]
    fs_layers: Option<IgnoredAny>,
}

impl WireDocument {
    /// Whether this is an index or a manifest, by all that is known of it.
    fn kind(&self, what: &str, announced: MediaKind) -> Result<MediaKind> {
        let own = self.media_type.as_deref().map_or(MediaKind::Other, MediaKind::of);
        let of_image = self.config.is_some() || self.layers.is_some();
        if own == MediaKind::Schema1 || (self.fs_layers.is_some() && !of_image) {
            return Err(Error::Schema1 { what: what.to_owned() });
        }
        if let (Some(media_type), MediaKind::Other | MediaKind::Config) = (&self.media_type, own) {
            return Err(Error::MediaType {
                what: what.to_owned(),
                media_type: media_type.chars().take(160).collect(),
                supported: "supported are OCI and Docker schema 2 manifests and indexes",
            });
        }
        let shape = match (self.manifests.is_some(), of_image) {
            (true, true) => {
                return Err(Error::malformed(what, "it is an index and a manifest at once"));
            }
            (true, false) => MediaKind::Index,
            (false, true) => MediaKind::Manifest,
            (false, false) => {
                return Err(Error::malformed(what, "it has neither manifests nor config and layers"));
            }
        };
        for (said, by) in [(own, "it calls itself"), (announced, "it was announced as")] {
            if said.is_manifest() && said != shape {
                let name = if said == MediaKind::Index { "an index" } else { "a manifest" };
                return Err(Error::malformed(what, format!("{by} {name} but has the contents of the other")));
            }
        }
        Ok(shape)
    }

    fn into_index(self, what: &str, limit: usize) -> Result<Index> {
        let manifests = self.manifests.unwrap_or_default();
        if manifests.len() > limit {
            return Err(Error::malformed(what, format!("it has more than {limit} entries")));
        }
        Ok(Index {
            manifests: manifests.into_iter().map(WireDescriptor::into_descriptor).collect(),
            subject: self.subject.map(|subject| Box::new(subject.into_descriptor())),
            artifact_type: self.artifact_type.filter(|artifact_type| !artifact_type.is_empty()),
            annotations: self.annotations.unwrap_or_default(),
        })
    }

    fn into_manifest(self, what: &str) -> Result<Manifest> {
        let (Some(config), Some(layers)) = (self.config, self.layers) else {
            return Err(Error::malformed(what, "it lacks its config or its layers"));
        };
        if layers.len() > LAYERS_MAX {
            return Err(Error::malformed(
                what,
                format!("it has {} layers, more than the limit of {LAYERS_MAX}", layers.len()),
            ));
        }
        Ok(Manifest {
            config: config.into_descriptor(),
            layers: layers.into_iter().map(WireDescriptor::into_descriptor).collect(),
            subject: self.subject.map(WireDescriptor::into_descriptor),
            artifact_type: self.artifact_type.filter(|artifact_type| !artifact_type.is_empty()),
            annotations: self.annotations.unwrap_or_default(),
        })
    }
}

#[derive(Deserialize)]
struct WireDescriptor {
    #[serde(rename = "mediaType")]
    media_type: String,
    digest: BlobDigest,
    #[serde(rename = "size")]
    size_bytes: u64,
    platform: Option<WirePlatform>,
    #[serde(rename = "artifactType")]
    artifact_type: Option<String>,
    annotations: Option<BTreeMap<String, String>>,
}

impl WireDescriptor {
    fn into_descriptor(self) -> Descriptor {
        Descriptor {
            media_type: self.media_type,
            digest: self.digest,
            size_bytes: self.size_bytes,
            platform: self.platform.and_then(WirePlatform::into_platform),
            artifact_type: self.artifact_type.filter(|artifact_type| !artifact_type.is_empty()),
            annotations: self.annotations.unwrap_or_default(),
        }
    }
}

#[derive(Deserialize)]
struct WirePlatform {
    os: Option<String>,
    architecture: Option<String>,
    variant: Option<String>,
}

impl WirePlatform {
    fn into_platform(self) -> Option<Platform> {
        let (os, architecture) = (self.os.unwrap_or_default(), self.architecture.unwrap_or_default());
        (!os.is_empty() && !architecture.is_empty())
            .then(|| Platform::new(&os, &architecture, self.variant.as_deref()))
    }
}

#[derive(Deserialize)]
struct WireConfig {
    os: Option<String>,
    architecture: Option<String>,
    variant: Option<String>,
    rootfs: Option<WireRootfs>,
}

#[derive(Deserialize)]
struct WireRootfs {
    #[serde(rename = "type")]
    kind: String,
    diff_ids: Option<Vec<DiffId>>,
}
