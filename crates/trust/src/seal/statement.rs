//! What a seal says about an image.

use std::collections::BTreeSet;

use sealpack_format::digest::{Algorithm, BlobDigest, DiffId, ObjectId, RootHash};
use sealpack_format::limits::PACKS_MAX;
use sealpack_format::reference::ImageName;

use super::canonical::{self, CanonicalError, INTEGER_MAX, Object, Value};
use super::fields::{Fields, cut, list, parsed, text};
use super::{LAYERS_MAX, NAMES_MAX, STATEMENT_MAX_BYTES, Signed, StatementError, VERSION};
use crate::timestamp::Timestamp;

/// The formats that an image is rebuilt in, by what they are formats of. Whoever knows another one builds other bytes.
const FORMATS: [(&str, &str); 3] =
    [("metadata", "composefs-1"), ("pack", "sealpack-pack-1"), ("verity", "dm-verity-1")];

/// The fields of this version, which a statement may say that a reader must know.
const FIELDS: [&str; 9] =
    ["created", "critical", "epoch", "formats", "image", "metadata", "names", "packs", "version"];

/// The longest platform, in bytes.
const PLATFORM_MAX_BYTES: usize = 128;

/// A statement: what is signed, as the bytes that are signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    contents: StatementContents,
    /// The canonical text, with the fields that this version does not know.
    text: String,
}

/// What a statement of this version says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatementContents {
    /// When it was made.
    pub created: Timestamp,
    /// A number that grows with every seal of a name, so that an earlier one is known as such; at most 2^53-1.
    pub epoch: u64,
    /// The digest of the image's manifest.
    pub manifest: BlobDigest,
    /// The platform that the image is for, such as `linux/arm64/v8`.
    pub platform: String,
    /// The image's metadata image, at most once for each algorithm.
    pub metadata: Vec<SealedMetadata>,
    /// The names that the seal may be used for.
    pub names: Vec<ImageName>,
    /// The packs, in the order of their first layers.
    pub packs: Vec<SealedPack>,
}

/// The metadata image of a sealed image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SealedMetadata {
    /// Its fs-verity digest.
    pub id: ObjectId,
    /// Its size.
    pub size_bytes: u64,
    /// The root hash of its dm-verity tree.
    pub root_hash: RootHash,
}

/// A pack of a sealed image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedPack {
    /// The layers whose objects are in it, at least one: layers with the same contents have the same pack.
    pub layers: Vec<DiffId>,
    /// Its size, the hash tree included.
    pub size_bytes: u64,
    /// Its root hash.
    pub root_hash: RootHash,
}

impl Statement {
    /// The statement that says this.
    ///
    /// # Errors
    /// What contradicts itself, is missing, or is too much of something.
    pub fn new(contents: StatementContents) -> Result<Self, StatementError> {
        contents.check()?;
        let text = contents.write().to_string();
        if text.len() > STATEMENT_MAX_BYTES {
            return Err(StatementError::TooLarge(text.len()));
        }
        Ok(Self { contents, text })
    }

    /// Reads a statement: the config blob of a seal.
    ///
    /// # Errors
    /// Not in the canonical form, another version, a field that it says must be known and is not, an unknown format,
    /// and what [`new`](Self::new) refuses.
    pub fn parse(text: &[u8]) -> Result<Self, StatementError> {
        if text.len() > STATEMENT_MAX_BYTES {
            return Err(StatementError::TooLarge(text.len()));
        }
        // First of all: what another version looks like is not known.
        check_version(text)?;
        let value = canonical::parse(text).map_err(|error| match error {
            CanonicalError::Json(error) => StatementError::Json(cut(&error.to_string())),
            CanonicalError::Form(byte) => StatementError::Form(byte),
        })?;
        let contents = read(value)?;
        contents.check()?;
        // The canonical text is what serde_json read as text.
        Ok(Self { contents, text: String::from_utf8_lossy(text).into_owned() })
    }

    /// What it says.
    #[must_use]
    pub const fn contents(&self) -> &StatementContents {
        &self.contents
    }

    /// The bytes that are signed, and the config blob of the seal.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.text.as_bytes()
    }

    /// The same as text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The digest of the image's manifest.
    #[must_use]
    pub const fn manifest(&self) -> &BlobDigest {
        &self.contents.manifest
    }

    /// The image's platform.
    #[must_use]
    pub fn platform(&self) -> &str {
        &self.contents.platform
    }

    /// The names that the seal may be used for: 1 to [`NAMES_MAX`].
    #[must_use]
    pub fn names(&self) -> &[ImageName] {
        &self.contents.names
    }

    /// The number by which an earlier seal of a name is known as such.
    #[must_use]
    pub const fn epoch(&self) -> u64 {
        self.contents.epoch
    }

    /// When it was made, by the word of whoever made it.
    #[must_use]
    pub const fn created(&self) -> Timestamp {
        self.contents.created
    }

    /// The metadata images: one, or one for each algorithm.
    #[must_use]
    pub fn metadata(&self) -> &[SealedMetadata] {
        &self.contents.metadata
    }

    /// The metadata image in stores of an algorithm.
    #[must_use]
    pub fn metadata_of(&self, algorithm: Algorithm) -> Option<&SealedMetadata> {
        self.contents.metadata.iter().find(|metadata| metadata.id.algorithm() == algorithm)
    }

    /// The packs, in the order of their first layers.
    #[must_use]
    pub fn packs(&self) -> &[SealedPack] {
        &self.contents.packs
    }

    /// All root hashes: the metadata images', then the packs'.
    pub fn root_hashes(&self) -> impl Iterator<Item = &RootHash> {
        self.contents.root_hashes()
    }

    /// Everything of which a seal has signatures, with the bytes to be signed: the statement itself, and for each root
    /// hash its 64 lowercase hexadecimal digits without a line break.
    pub fn to_be_signed(&self) -> impl Iterator<Item = (Signed, Vec<u8>)> + '_ {
        let root_hashes =
            self.root_hashes().map(|hash| (Signed::RootHash(*hash), hash.to_string().into_bytes()));
        std::iter::once((Signed::Statement, self.bytes().to_vec())).chain(root_hashes)
    }
}

fn check_version(text: &[u8]) -> Result<(), StatementError> {
    /// Only the version, whatever else there is.
    #[derive(serde::Deserialize)]
    struct VersionJson {
        version: u64,
    }

    let version: VersionJson =
        serde_json::from_slice(text).map_err(|error| StatementError::Json(cut(&error.to_string())))?;
    if version.version != VERSION { Err(StatementError::Version(version.version)) } else { Ok(()) }
}

fn read(value: Value) -> Result<StatementContents, StatementError> {
    let mut fields = Fields::of(value, "")?;
    if let Some(critical) = fields.optional("critical") {
        for (name, place) in list(critical, "critical")? {
            let name = text(name, || place.clone())?;
            if !FIELDS.contains(&name.as_str()) {
                return Err(StatementError::Critical(cut(&name)));
            }
        }
    }
    let mut formats = fields.fields("formats")?;
    for (what, known) in FORMATS {
        let format = formats.text(what)?;
        if format != known {
            return Err(StatementError::Format { what, format: cut(&format), known });
        }
    }
    formats.end()?;
    let mut image = fields.fields("image")?;
    let (manifest, platform) = (image.parsed("digest")?, image.text("platform")?);
    image.end()?;
    let name = |(value, place): (Value, String)| parsed(value, || place.clone());
    // Fields that are left are of a later version, and not critical: they stay in the text.
    Ok(StatementContents {
        created: fields.parsed("created")?,
        epoch: fields.integer("epoch")?,
        manifest,
        platform,
        metadata: fields.list("metadata")?.into_iter().map(read_metadata).collect::<Result<_, _>>()?,
        names: fields.list("names")?.into_iter().map(name).collect::<Result<_, _>>()?,
        packs: fields.list("packs")?.into_iter().map(read_pack).collect::<Result<_, _>>()?,
    })
}

fn read_metadata((value, place): (Value, String)) -> Result<SealedMetadata, StatementError> {
    let mut fields = Fields::of(value, place)?;
    let algorithm: Algorithm = fields.parsed("algorithm")?;
    let id: ObjectId = fields.parsed("fsverity_digest")?;
    if id.algorithm() != algorithm {
        return Err(StatementError::Algorithm { algorithm, id });
    }
    let metadata = SealedMetadata {
        id,
        size_bytes: fields.integer("size_bytes")?,
        root_hash: fields.parsed("root_hash")?,
    };
    fields.end()?;
    Ok(metadata)
}

fn read_pack((value, place): (Value, String)) -> Result<SealedPack, StatementError> {
    let mut fields = Fields::of(value, place)?;
    let layer = |(value, place): (Value, String)| parsed(value, || place.clone());
    let pack = SealedPack {
        layers: fields.list("layers")?.into_iter().map(layer).collect::<Result<_, _>>()?,
        size_bytes: fields.integer("size_bytes")?,
        root_hash: fields.parsed("root_hash")?,
    };
    fields.end()?;
    Ok(pack)
}

impl StatementContents {
    fn root_hashes(&self) -> impl Iterator<Item = &RootHash> {
        let metadata = self.metadata.iter().map(|metadata| &metadata.root_hash);
        metadata.chain(self.packs.iter().map(|pack| &pack.root_hash))
    }

    fn check(&self) -> Result<(), StatementError> {
        let is_word = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'.' | b'_' | b'-');
        if self.platform.is_empty()
            || self.platform.len() > PLATFORM_MAX_BYTES
            || !self.platform.bytes().all(is_word)
        {
            return Err(StatementError::Platform(cut(&self.platform)));
        }
        let sizes = self.metadata.iter().map(|metadata| metadata.size_bytes);
        let sizes = sizes.chain(self.packs.iter().map(|pack| pack.size_bytes));
        if let Some(number) = sizes.chain([self.epoch]).find(|number| *number > INTEGER_MAX) {
            return Err(StatementError::Integer(number));
        }
        self.check_names()?;
        self.check_devices()
    }

    fn check_names(&self) -> Result<(), StatementError> {
        if self.names.is_empty() || self.names.len() > NAMES_MAX {
            return Err(StatementError::NumberOfNames(self.names.len()));
        }
        let mut names = BTreeSet::new();
        match self.names.iter().find(|name| !names.insert(*name)) {
            Some(name) => Err(StatementError::DuplicateName(name.clone())),
            None => Ok(()),
        }
    }

    fn check_devices(&self) -> Result<(), StatementError> {
        if self.metadata.is_empty() {
            return Err(StatementError::NoMetadata);
        }
        if self.packs.len() > PACKS_MAX {
            return Err(StatementError::TooManyPacks(self.packs.len()));
        }
        let (mut algorithms, mut hashes, mut layers) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        for metadata in &self.metadata {
            if !algorithms.insert(metadata.id.algorithm()) {
                return Err(StatementError::DuplicateMetadata(metadata.id.algorithm()));
            }
        }
        if let Some(hash) = self.root_hashes().find(|hash| !hashes.insert(**hash)) {
            return Err(StatementError::DuplicateRootHash(*hash));
        }
        for pack in &self.packs {
            if pack.layers.is_empty() {
                return Err(StatementError::NoLayers(pack.root_hash));
            }
            if let Some(layer) = pack.layers.iter().find(|layer| !layers.insert(**layer)) {
                return Err(StatementError::DuplicateLayer(*layer));
            }
        }
        if layers.len() > LAYERS_MAX {
            return Err(StatementError::TooManyLayers(layers.len()));
        }
        Ok(())
    }

    fn write(&self) -> Value {
        let text = |value: &dyn std::fmt::Display| Value::Text(value.to_string());
        let metadata = |metadata: &SealedMetadata| {
            Value::Object(Object::of([
                ("algorithm", text(&metadata.id.algorithm())),
                ("fsverity_digest", text(&metadata.id)),
                ("root_hash", text(&metadata.root_hash)),
                ("size_bytes", Value::Integer(metadata.size_bytes)),
            ]))
        };
        let pack = |pack: &SealedPack| {
            Value::Object(Object::of([
                ("layers", Value::List(pack.layers.iter().map(|layer| text(layer)).collect())),
                ("root_hash", text(&pack.root_hash)),
                ("size_bytes", Value::Integer(pack.size_bytes)),
            ]))
        };
        Value::Object(Object::of([
            ("created", text(&self.created)),
            ("critical", Value::List(Vec::new())),
            ("epoch", Value::Integer(self.epoch)),
            ("formats", Value::Object(Object::of(FORMATS.map(|(what, format)| (what, text(&format)))))),
            (
                "image",
                Value::Object(Object::of([
                    ("digest", text(&self.manifest)),
                    ("platform", text(&self.platform)),
                ])),
            ),
            ("metadata", Value::List(self.metadata.iter().map(metadata).collect())),
            ("names", Value::List(self.names.iter().map(|name| text(name)).collect())),
            ("packs", Value::List(self.packs.iter().map(pack).collect())),
            ("version", Value::Integer(VERSION)),
        ]))
    }
}
