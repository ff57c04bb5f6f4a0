//! Packs, and which layer has which. `docs/formats/pack.md` describes what is in them.

mod check;
mod record;

use std::collections::HashSet;
use std::fs::File;
use std::path::PathBuf;

use sealpack_format::digest::{Algorithm, DiffId, RootHash};

pub use record::PackDescriptor;
pub(crate) use record::PackRecord;

use crate::error::{Error, Result};
use crate::places::{pack_path, pack_record_path};
use crate::refs::{ImageRecord, ObjectForm};
use crate::store::Store;

/// More bytes than the record of a pack has.
const RECORD_MAX_BYTES: u64 = 64 * 1024;

/// A layer of an image and its pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LayerPack {
    /// The layer.
    pub layer: DiffId,
    /// Its pack. Layers with the same contents have the same one.
    pub pack: PackDescriptor,
}

impl Store {
    /// Where the pack with that root hash is, or would be.
    #[must_use]
    pub fn pack_path(&self, root_hash: &RootHash) -> PathBuf {
        self.root.at(pack_path(root_hash))
    }

    /// Opens the pack with that root hash for reading, if the store has it, without looking at its content.
    ///
    /// # Errors
    /// Failures of the system.
    pub fn open_pack(&self, root_hash: &RootHash) -> Result<Option<File>> {
        self.root.read(pack_path(root_hash))
    }

    /// What pack layer `diff_id` has. Known from the time when one was made, also when its file
    /// is not kept ([`open_pack`](Self::open_pack) tells).
    ///
    /// `None` when none was ever made, and for a layer without objects, which has no pack;
    /// [`image_packs`](Self::image_packs) tells these apart.
    ///
    /// # Errors
    /// [`Error::PackRecordDamaged`]; failures of the system.
    pub fn layer_pack(&self, diff_id: &DiffId) -> Result<Option<PackDescriptor>> {
        Ok(self.pack_record(diff_id)?.and_then(|record| record.pack))
    }

    /// The packs of an image in the order of its layers, each layer once; those without objects are
    /// left out. Two layers can have the same pack. The files need not be there.
    ///
    /// # Errors
    /// [`Error::PackUnknown`] when no pack was ever made of a layer; as [`layer_pack`](Self::layer_pack).
    pub fn image_packs(&self, image: &ImageRecord) -> Result<Vec<LayerPack>> {
        packs_of(image, |layer| Ok(self.pack_record(layer)?.map(|record| record.pack)))
    }

    /// Where it is recorded what pack layer `diff_id` has.
    #[must_use]
    pub fn pack_record_path(&self, diff_id: &DiffId) -> PathBuf {
        self.root.at(pack_record_path(diff_id))
    }

    /// Whether a layer has its pack, or needs none, as far as a look at the file's name tells: not whether it is undamaged.
    ///
    /// # Errors
    /// Failures of the system; damage of the layer's record is an answer.
    pub fn names_pack(&self, diff_id: &DiffId) -> Result<bool> {
        let record = match self.pack_record(diff_id) {
            Err(Error::PackRecordDamaged { .. }) => return Ok(false),
            other => other?,
        };
        let is_there = |pack: PackDescriptor| self.pack_path(&pack.root_hash).exists();
        Ok(record.is_some_and(|record| record.pack.is_none_or(is_there)))
    }

    pub(crate) fn pack_record(&self, diff_id: &DiffId) -> Result<Option<PackRecord>> {
        let path = pack_record_path(diff_id);
        let Some(json) = self.root.read_at_most(&path, RECORD_MAX_BYTES)? else { return Ok(None) };
        let damaged = |what| Error::PackRecordDamaged { path: self.root.at(&path), what };
        PackRecord::parse(&json).map(Some).map_err(damaged)
    }

    /// Refuses packs where objects are not named as those in packs are.
    ///
    /// # Errors
    /// [`Error::PackAlgorithm`].
    pub fn check_form(&self, form: ObjectForm) -> Result<()> {
        if form == ObjectForm::Files || self.algorithm() == Algorithm::Sha256 {
            return Ok(());
        }
        Err(Error::PackAlgorithm { path: self.path().to_owned(), has: self.algorithm() })
    }
}

/// The packs of an image, `known` telling what is known of a layer.
pub(crate) fn packs_of(
    image: &ImageRecord,
    known: impl Fn(&DiffId) -> Result<Option<Option<PackDescriptor>>>,
) -> Result<Vec<LayerPack>> {
    let (mut packs, mut seen) = (Vec::new(), HashSet::new());
    for layer in image.layers.iter().map(|layer| layer.diff_id).filter(|layer| seen.insert(*layer)) {
        let pack = known(&layer)?.ok_or(Error::PackUnknown(layer))?;
        packs.extend(pack.map(|pack| LayerPack { layer, pack }));
    }
    Ok(packs)
}
