//! Chains: layers from the lowest up that somebody holds, a snapshotter above all, without there being an image of them.
//!
//! What a held chain needs stays, as what a named image needs does.

use std::path::Path;

use sealpack_format::digest::{Algorithm, BlobDigest, DiffId, ObjectId};
use serde::{Deserialize, Serialize};

use crate::documents::{parse_versioned, to_json};
use crate::error::{Error, RefDamage, Result};
use crate::hash::blob_digest;
use crate::meta::Feature;
use crate::places::{CHAINS, chain_file_name, chain_of_file_name};
use crate::refs::{ImageRecord, LayerDescriptor, ObjectForm};
use crate::store::Store;

/// The version of the records that this program writes and knows.
const VERSION: u64 = 1;

/// More bytes than any record has.
const MAX_BYTES: u64 = 1024 * 1024;

/// The identity of a layer together with those below it (image-spec, config.md, "Layer ChainID").
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ChainId(BlobDigest);

impl ChainId {
    /// That of layers, the lowest first; `None` without any.
    #[must_use]
    pub fn of(layers: &[DiffId]) -> Option<Self> {
        Self::all_of(layers).last()
    }

    /// Those of the lowest layer, the two lowest, and so on.
    pub fn all_of(layers: &[DiffId]) -> impl Iterator<Item = Self> {
        let mut below: Option<Self> = None;
        layers.iter().map(move |layer| {
            let chain = match &below {
                Some(below) => below.with(layer),
                None => Self::of_lowest(layer),
            };
            below = Some(chain);
            chain
        })
    }

    /// That of a layer with nothing below it: its diff ID.
    fn of_lowest(layer: &DiffId) -> Self {
        let digest = BlobDigest::from_slice(layer.algorithm(), layer.as_bytes());
        Self(digest.expect("a digest has as many bytes as its algorithm has"))
    }

    /// That of the same layers with another one on top.
    #[must_use]
    pub fn with(&self, layer: &DiffId) -> Self {
        Self(blob_digest(Algorithm::Sha256, format!("{} {layer}", self.0).as_bytes()))
    }

    /// The hex after the colon.
    #[must_use]
    pub fn hex(&self) -> String {
        self.0.hex()
    }
}

impl std::fmt::Display for ChainId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl std::str::FromStr for ChainId {
    type Err = sealpack_format::digest::DigestParseError;

    fn from_str(text: &str) -> std::result::Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

/// Layers that are held together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chain {
    version: u64,
    /// The layers, the lowest first; never none.
    pub layers: Vec<DiffId>,
    /// The form that all of them are kept in.
    pub objects: ObjectForm,
    /// The metadata image that they make, and its size in bytes, once somebody had it made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata_image: Option<(ObjectId, u64)>,
}

impl Chain {
    /// Layers without a metadata image yet.
    #[must_use]
    pub const fn new(layers: Vec<DiffId>, objects: ObjectForm) -> Self {
        Self { version: VERSION, layers, objects, metadata_image: None }
    }

    /// The same layers, with the metadata image that they make.
    #[must_use]
    pub fn with_metadata_image(self, id: ObjectId, size_bytes: u64) -> Self {
        Self { metadata_image: Some((id, size_bytes)), ..self }
    }

    /// As an image with no other name than the chain ID, for what wants one: gc, or a mount. Its manifest and config are of
    /// nothing; `none` stands for a metadata image that is not made yet.
    #[must_use]
    pub fn as_image(&self, id: &ChainId, none: ObjectId) -> ImageRecord {
        let (metadata_image, size_bytes) = self.metadata_image.unwrap_or((none, 0));
        let mut record = ImageRecord::new(id.to_string(), id.0, id.0, metadata_image);
        record.metadata_image_size_bytes = size_bytes;
        record.objects = self.objects;
        record.layers = self.layers.iter().map(|layer| LayerDescriptor::new(*layer, id.0, 0)).collect();
        record
    }
}

impl Store {
    /// Holds a chain: what it needs stays until it is [released](Self::release_chain). Answers with its ID. Durable on
    /// return. What it needs must be committed, by a staging that is still there or under the store's shared lock.
    ///
    /// # Errors
    /// [`Error::Locked`]; failures of the system.
    ///
    /// # Panics
    /// When the chain has no layers, a mistake of the caller's.
    pub fn hold_chain(&self, chain: &Chain) -> Result<ChainId> {
        let id = ChainId::of(&chain.layers).expect("a chain has layers");
        let _lock = self.shared()?;
        self.enable_feature(Feature::Chains)?;
        let json = to_json(chain).map_err(|e| Error::io("write", CHAINS, e))?;
        self.put_file(&self.root.sub(CHAINS)?, Path::new(&chain_file_name(&id.hex())), &json, 0o644)?;
        Ok(id)
    }

    /// The chain with that ID, if it is held.
    ///
    /// # Errors
    /// [`Error::RefDamaged`]; failures of the system.
    pub fn held_chain(&self, id: &ChainId) -> Result<Option<Chain>> {
        let Some(directory) = self.root.try_sub(CHAINS)? else { return Ok(None) };
        let name = chain_file_name(&id.hex());
        let path = directory.at(&name);
        let damage =
            |what: String| Error::from(RefDamage { path: path.clone(), of: "the record of a chain", what });
        let Some(json) = directory.read_at_most(&name, MAX_BYTES)? else { return Ok(None) };
        let chain: Chain = parse_versioned(&json, VERSION).map_err(damage)?;
        if ChainId::of(&chain.layers) != Some(*id) {
            return Err(damage("its layers have another chain ID".to_owned()));
        }
        Ok(Some(chain))
    }

    /// The IDs of all chains that are held.
    ///
    /// # Errors
    /// Failures of the system.
    pub fn held_chains(&self) -> Result<Vec<ChainId>> {
        let Some(directory) = self.root.try_sub(CHAINS)? else { return Ok(Vec::new()) };
        let entries = directory.entries()?;
        Ok(entries.iter().filter_map(|entry| chain_of_file_name(entry.name.to_str()?)).map(ChainId).collect())
    }

    /// Lets a chain go: the next [`gc`](Self::gc) removes what nothing else needs. Answers whether it was held.
    ///
    /// # Errors
    /// [`Error::Locked`]; failures of the system.
    pub fn release_chain(&self, id: &ChainId) -> Result<bool> {
        let _lock = self.shared()?;
        let Some(directory) = self.root.try_sub(CHAINS)? else { return Ok(false) };
        let was_held = directory.unlink(chain_file_name(&id.hex()))?;
        directory.sync()?;
        Ok(was_held)
    }

    /// All that is held, as gc wants it.
    pub(crate) fn held_as_images(&self) -> Result<Vec<ImageRecord>> {
        let zeros = vec![0; self.algorithm().digest_bytes()];
        let none =
            ObjectId::from_slice(self.algorithm(), &zeros).expect("as many bytes as the algorithm has");
        let mut images = Vec::new();
        for id in self.held_chains()? {
            images.extend(self.held_chain(&id)?.map(|chain| chain.as_image(&id, none)));
        }
        Ok(images)
    }

    /// What a layer takes in that form: bytes, and files. An object that occurs twice in the layer counts once.
    ///
    /// # Errors
    /// [`Error::LayerDamaged`]; [`Error::PackRecordDamaged`]; failures of the system.
    pub fn layer_usage(&self, layer: &DiffId, form: ObjectForm) -> Result<(u64, u64)> {
        if form == ObjectForm::Packs {
            return Ok(self.layer_pack(layer)?.map_or((0, 0), |pack| (pack.size_bytes, 1)));
        }
        let mut objects = std::collections::BTreeMap::new();
        self.for_each_object_of_layer(layer, |id, size_bytes| {
            objects.insert(id, size_bytes);
            Ok(())
        })?;
        Ok((objects.values().sum(), objects.len() as u64))
    }
}
