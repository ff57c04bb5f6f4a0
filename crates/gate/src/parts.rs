//! Whether the parts of an image in the store belong together: what its record says, its manifest, config, platform, index,
//! metadata image and seal. Each can be whole and that of another image.

use std::collections::HashMap;
use std::fmt::Display;
use std::sync::{Mutex, PoisonError};

use sealpack_format::digest::{BlobDigest, DiffId, ObjectId};
use sealpack_node::seals;
use sealpack_oci::budget::Limits;
use sealpack_oci::manifest::{Config, Document, Index, Manifest};
use sealpack_oci::media_type::MediaKind;
use sealpack_oci::merge::XattrRule;
use sealpack_oci::platform::{Platform, StatedPlatform};
use sealpack_oci::pull::{image_id, image_rule};
use sealpack_store::{Error as StoreError, ImageRecord, Misfit, ProblemKind, Store};

/// What of an image contradicts the rest of it; nothing of parts that are missing or damaged, which is another problem.
/// Metadata image and packs are not read.
#[must_use]
pub fn misfits(store: &Store, record: &ImageRecord) -> Vec<Misfit> {
    let mut misfits = Misfits::default();
    blobs(&mut misfits, store, record);
    misfits.record_if(metadata_image_size(store, record));
    seal(&mut misfits, store, record);
    misfits.0
}

/// What the layers of images make, each list of layers merged once.
#[derive(Default)]
pub struct MadeAgain {
    made: Mutex<HashMap<Vec<DiffId>, Option<ObjectId>>>,
    /// The hashes of the layers' records.
    records: Mutex<HashMap<DiffId, [u8; 32]>>,
}

impl MadeAgain {
    /// As [`misfits`]; and whether the metadata image is the one that the layers make, which takes a merge of their records.
    ///
    /// That an image came of a merge is remembered of the bytes of the records, which are hashed each time. A record that has
    /// become another is another one, and merged, also where its own checksum is right.
    #[must_use]
    pub fn misfits(&self, store: &Store, record: &ImageRecord) -> Vec<Misfit> {
        let mut misfits = Misfits(misfits(store, record));
        let layers: Vec<_> = record.layers.iter().map(|layer| layer.diff_id).collect();
        let image = record.metadata_image;
        // Hashed before they are read.
        let fact = self
            .records_of(store, &layers)
            .map(|records| store.records_make(&records, &image_rule(XattrRule::default()), &image));
        if fact.is_some_and(|fact| store.remembers(&fact)) {
            return misfits.0;
        }
        match (self.image_of(store, layers), fact) {
            (Some(made), Some(fact)) if made == image => store.remember(&fact),
            (Some(made), _) if made != image => {
                misfits.record(format!("it has metadata image {image}, and its layers make {made}"));
            }
            _ => {}
        }
        misfits.0
    }

    /// The hashes of the layers' records, where all of them can be read.
    fn records_of(&self, store: &Store, layers: &[DiffId]) -> Option<Vec<[u8; 32]>> {
        let known = || self.records.lock().unwrap_or_else(PoisonError::into_inner);
        let hash = |layer: &DiffId| {
            if let Some(hash) = known().get(layer) {
                return Some(*hash);
            }
            let hash = store.layer_record_hash(layer).ok()??;
            known().insert(*layer, hash);
            Some(hash)
        };
        layers.iter().map(hash).collect()
    }

    /// `None` of layers that cannot be merged: these are missing or damaged themselves.
    fn image_of(&self, store: &Store, layers: Vec<DiffId>) -> Option<ObjectId> {
        // Each change is one insertion; a panic elsewhere leaves the map whole.
        let known = || self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(made) = known().get(&layers) {
            return *made;
        }
        let made = image_id(store, &layers, XattrRule::default(), Limits::NONE).ok();
        known().insert(layers, made);
        made
    }
}

/// The index that the image is from, where that can be seen: of a record that only claims one, pins know nothing.
pub(crate) fn index_seen(store: &Store, record: &ImageRecord) -> Option<BlobDigest> {
    let digest = record.index?;
    let listed = listed(&store.blob(&digest).ok()?, &record.manifest);
    matches!(listed, Ok(Listed::As(_))).then_some(digest)
}

/// What an index says of a manifest.
pub(crate) enum Listed {
    /// It lists it, with what it says of its platform, each time.
    As(Vec<StatedPlatform>),
    /// It has indexes in it, which may list it and are not kept.
    Perhaps,
    /// It has nothing of it.
    Not,
}

/// What the index in `bytes` says of a manifest; or in words why it is none.
pub(crate) fn listed(bytes: &[u8], manifest: &BlobDigest) -> Result<Listed, String> {
    let index = index_of(bytes)?;
    let entries = index.manifests.iter().filter(|entry| entry.digest == *manifest);
    let platforms: Vec<_> = entries.map(|entry| entry.platform.clone().unwrap_or_default()).collect();
    if !platforms.is_empty() {
        return Ok(Listed::As(platforms));
    }
    let may_be_index = index.manifests.iter().any(|entry| entry.kind() != MediaKind::Manifest);
    Ok(if may_be_index { Listed::Perhaps } else { Listed::Not })
}

fn index_of(bytes: &[u8]) -> Result<Index, String> {
    match Document::parse("the index", None, bytes).map_err(|error| error.to_string())? {
        Document::Index(index) => Ok(index),
        Document::Manifest(_) => Err("the index is a manifest".to_owned()),
    }
}

/// That an index which lists the manifest says what the record says; or in words what is wrong.
pub(crate) fn check_index(record: &ImageRecord, bytes: &[u8]) -> Result<Listed, String> {
    match listed(bytes, &record.manifest)? {
        Listed::Not => Err(format!("it does not list the manifest {}", record.manifest)),
        listed => Ok(listed),
    }
}

/// That the record has the config and the layers that manifest and config name; or in words what is wrong.
pub(crate) fn check_layers(record: &ImageRecord, manifest: &[u8], config: &[u8]) -> Result<(), String> {
    let manifest = manifest_of(manifest)?;
    let config = config_of(config)?;
    if manifest.config.digest != record.config {
        return Err(format!("the manifest names the config {}", manifest.config.digest));
    }
    if manifest.layers.len() != config.diff_ids.len() {
        let (layers, diff_ids) = (manifest.layers.len(), config.diff_ids.len());
        return Err(format!("the manifest has {layers} layers, and the config {diff_ids}"));
    }
    let blobs = manifest.layers.iter().map(|layer| (layer.digest, layer.size_bytes));
    let named: Vec<_> = blobs.zip(config.diff_ids).collect();
    let recorded = record.layers.iter().map(|layer| ((layer.blob, layer.blob_size_bytes), layer.diff_id));
    match named.into_iter().eq(recorded) {
        true => Ok(()),
        false => Err("the record of the name has other layers".to_owned()),
    }
}

/// That the record has the platform that the config has, or where that leaves something open, the index; or in words
/// what is wrong.
pub(crate) fn check_platform(
    record: &ImageRecord,
    config: &[u8],
    index: Option<&Listed>,
) -> Result<(), String> {
    let stated = config_of(config)?.platform;
    let recorded = record.platform.parse::<Platform>().ok();
    let claimed = recorded.clone().map(StatedPlatform::from).unwrap_or_default();
    // What is said elsewhere than in an index that lists the manifest is not kept: only the config can contradict.
    let said: Vec<_> = match index {
        Some(Listed::As(entries)) => entries.iter().map(|entry| stated.or(entry).platform()).collect(),
        _ => vec![stated.or(&claimed).platform()],
    };
    let fits = said.contains(&recorded);
    let other = said.into_iter().flatten().next().map_or("no platform".to_owned(), |it| it.to_string());
    match fits {
        true => Ok(()),
        false => Err(format!("the record has {:?}, and the config is for {other}", record.platform)),
    }
}

/// The size of the metadata image, where that is another than the record's, which devices are made by.
pub(crate) fn metadata_image_size(store: &Store, record: &ImageRecord) -> Option<String> {
    let file = store.open_metadata_image(&record.metadata_image).ok()?;
    let (has, says) = (file.metadata().ok()?.len(), record.metadata_image_size_bytes);
    (has != says).then(|| format!("its metadata image has {has} bytes, not {says}"))
}

fn manifest_of(bytes: &[u8]) -> Result<Box<Manifest>, String> {
    match Document::parse("the manifest", None, bytes).map_err(|error| error.to_string())? {
        Document::Manifest(manifest) => Ok(manifest),
        Document::Index(_) => Err("the manifest is an index".to_owned()),
    }
}

fn config_of(bytes: &[u8]) -> Result<Config, String> {
    Config::parse("the config", bytes).map_err(|error| error.to_string())
}

#[derive(Default)]
struct Misfits(Vec<Misfit>);

impl Misfits {
    fn record(&mut self, what: impl Display) {
        self.0.push(Misfit { kind: ProblemKind::WrongRecord, what: what.to_string() });
    }

    fn record_if(&mut self, what: Option<String>) {
        what.into_iter().for_each(|what| self.record(what));
    }

    fn seal(&mut self, what: impl Display) {
        self.0.push(Misfit { kind: ProblemKind::DamagedSeal, what: what.to_string() });
    }
}

fn blobs(misfits: &mut Misfits, store: &Store, record: &ImageRecord) {
    let mut read = |digest: &BlobDigest| match store.blob(digest) {
        Ok(bytes) => Some(bytes),
        Err(StoreError::BlobMissing(_) | StoreError::BlobDamaged { .. }) => None,
        Err(error) => {
            misfits.record(error);
            None
        }
    };
    let (manifest, config) = (read(&record.manifest), read(&record.config));
    let index = record.index.map(|digest| (digest, read(&digest)));
    let mut listed = None;
    if let Some((digest, bytes)) = index {
        listed = Some(Listed::Perhaps);
        match bytes.map(|bytes| check_index(record, &bytes)) {
            None => {}
            Some(Ok(says)) => listed = Some(says),
            Some(Err(problem)) => misfits.record(format_args!("its index {digest}: {problem}")),
        }
    }
    let Some(config) = config else { return };
    let layers = manifest.map(|manifest| check_layers(record, &manifest, &config));
    misfits.record_if(layers.and_then(Result::err));
    misfits.record_if(check_platform(record, &config, listed.as_ref()).err());
}

fn seal(misfits: &mut Misfits, store: &Store, record: &ImageRecord) {
    match seals::checked(store, record) {
        Ok(Some(Ok(seal))) if seal.statement().platform() != record.platform => {
            misfits.seal(format_args!(
                "it is for {}, not for {}",
                seal.statement().platform(),
                record.platform
            ));
        }
        Ok(Some(Err(error))) => misfits.seal(error.problem()),
        // Packs that are not there are another problem.
        Ok(_) | Err(_) => {}
    }
}
