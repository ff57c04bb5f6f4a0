//! Taking back what a pull has brought that came to nothing.

use std::collections::HashSet;
use std::time::Duration;

use sealpack_format::digest::{BlobDigest, DiffId, RootHash};

use super::needed::Needed;
use super::report::{GcOptions, GcReport};
use super::sweep::Sweep;
use crate::error::{Error, Result};
use crate::images::ObjectsOfImage;
use crate::inventory;
use crate::lock::LockKind;
use crate::places::{
    ALGORITHMS, LAYERS, PACKS, PARTIAL, layer_path, pack_path, pack_record_path, partial_file_name,
};
use crate::refs::HISTORY_MAX;
use crate::store::Store;

/// What a pull has brought that came to nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Discard<'a> {
    /// Layers that were not in the store before: their records and packs.
    pub layers: &'a [DiffId],
    /// Layers of which there was no pack before: their packs only.
    pub packs: &'a [DiffId],
    /// Blobs of which nothing was downloaded before.
    pub blobs: &'a [BlobDigest],
}

impl Store {
    /// Removes what `brought` names, unless a named image needs it, and the objects that nothing in the store
    /// refers to then. Everything else stays, also what only gc would say that nobody needs.
    ///
    /// Answers whether it was done: not while somebody else uses the store. Then the next gc does it.
    ///
    /// # Errors
    /// [`Error::RootUnreadable`], and nothing is removed, when it cannot be found out what is needed; failures
    /// of the system.
    pub fn discard(&self, brought: &Discard<'_>, objects_of: ObjectsOfImage<'_>) -> Result<bool> {
        let _lock = match self.lock(LockKind::Exclusive, Duration::ZERO) {
            Err(Error::Locked(_)) => return Ok(false),
            other => other?,
        };
        let needed = self
            .needed_but_for(brought.layers, objects_of)
            .map_err(|source| Error::RootUnreadable { source: Box::new(source) })?;
        let packs = self.discard_records(brought, &needed)?;
        // What refers to objects is gone for good before they go.
        for algorithm in ALGORITHMS {
            self.root.sub(&format!("{LAYERS}/{algorithm}"))?.sync()?;
        }
        self.discard_packs(&packs, &needed)?;
        if let Some(partials) = self.tmp.try_sub(PARTIAL)? {
            for digest in brought.blobs {
                partials.unlink(partial_file_name(digest))?;
            }
        }
        let mut sweep = Sweep { dry_run: false, report: GcReport::default(), observer: &() };
        self.sweep_objects(&needed, &mut sweep)?;
        Ok(true)
    }

    /// Removes the records of layers and of packs; answers with the packs that they name.
    fn discard_records(&self, brought: &Discard<'_>, needed: &Needed) -> Result<Vec<RootHash>> {
        let mut records = Vec::new();
        for diff_id in brought.layers.iter().filter(|diff_id| !needed.files.contains(&layer_path(diff_id))) {
            self.root.unlink(layer_path(diff_id))?;
            records.push(*diff_id);
        }
        for diff_id in brought.packs {
            let pack = self.layer_pack(diff_id)?;
            if pack.is_none_or(|pack| !needed.files.contains(&pack_path(&pack.root_hash))) {
                records.push(*diff_id);
            }
        }
        // Only now: a layer's record may count on its pack.
        let mut packs = Vec::new();
        for diff_id in records {
            packs.extend(self.layer_pack(&diff_id)?.map(|pack| pack.root_hash));
            self.root.unlink(pack_record_path(&diff_id))?;
        }
        Ok(packs)
    }

    /// Removes packs, unless a layer that is still there has them.
    fn discard_packs(&self, packs: &[RootHash], needed: &Needed) -> Result<()> {
        let mut others = HashSet::new();
        if !packs.is_empty() {
            for layer in inventory::take(self)?.pack_records {
                others.extend(self.layer_pack(&layer)?.map(|pack| pack.root_hash));
            }
        }
        let mut removed = false;
        for pack in packs.iter().filter(|pack| !others.contains(pack)) {
            if !needed.files.contains(&pack_path(pack)) {
                removed |= self.root.unlink(pack_path(pack))?;
            }
        }
        if removed { self.root.sub(PACKS)?.sync() } else { Ok(()) }
    }

    /// What all that is in the store needs, `layers` apart.
    fn needed_but_for(&self, layers: &[DiffId], objects_of: ObjectsOfImage<'_>) -> Result<Needed> {
        let inventory = inventory::take(self)?;
        let mut records = self.undamaged_images()?;
        records.extend(self.held_as_images()?);
        let options = GcOptions { keep_previous: HISTORY_MAX, ..GcOptions::default() };
        let kept = self.histories_to_keep(&records, &options)?;
        records.extend(kept.into_iter().flat_map(|history| history.kept.records));
        let mut needed = self.needed(&records, &inventory.images, objects_of, &())?;
        for diff_id in inventory.layers.iter().filter(|diff_id| !layers.contains(diff_id)) {
            self.for_each_object_of_layer(diff_id, |id, _| {
                needed.objects.add(id);
                Ok(())
            })?;
            needed.objects.sort();
        }
        Ok(needed)
    }
}
