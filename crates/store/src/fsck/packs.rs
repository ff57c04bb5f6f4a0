//! Whether packs, the records of them, hash areas and seals are what they should be.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::File;
use std::io;
use std::num::NonZeroUsize;

use rustix::fs::{MemfdFlags, memfd_create};
use sealpack_format::digest::{DiffId, ObjectId, RootHash};
use sealpack_format::pack::{PackError, PackOptions, PackReader, PackWriteError};
use sealpack_kernel::sha256::leaf_hash;

use super::report::FsckReport;
use crate::error::{Error, Result};
use crate::inventory::Inventory;
use crate::objects::{is_unreadable, status};
use crate::observer::{Event, Observer};
use crate::packs::{LayerPack, PackDescriptor};
use crate::refs::ImageRecord;
use crate::store::Store;
use crate::threads::for_each;
use crate::verified::Fingerprint;

/// How much of a pack's hashes, and of its inodes with their tails, is in memory each while it is verified.
const MEMORY_BYTES: usize = 8 * 1024 * 1024;

/// What is known of the packs that are there.
#[derive(Default)]
pub(super) struct Packs {
    /// What pack layers have, as far as their records can be read.
    pub(super) of_layers: HashMap<DiffId, Option<PackDescriptor>>,
    /// Records that cannot be read, and why.
    pub(super) damaged_records: Vec<(DiffId, String)>,
    /// The undamaged packs.
    pub(super) good: HashMap<RootHash, GoodPack>,
    /// The others, and what is wrong with each.
    pub(super) damaged: BTreeMap<RootHash, String>,
}

/// A pack of which every byte was verified.
pub(super) struct GoodPack {
    pub(super) descriptor: PackDescriptor,
    /// In the order of the layer.
    pub(super) objects: Vec<ObjectId>,
}

impl Packs {
    /// The objects of the layer's pack, in their order; `None` when the pack is not known, not there, or damaged.
    pub(super) fn objects_of(&self, layer: &DiffId) -> Option<&[ObjectId]> {
        match self.of_layers.get(layer)? {
            Some(pack) => self.good.get(&pack.root_hash).map(|pack| pack.objects.as_slice()),
            None => Some(&[]),
        }
    }

    /// Whether what is recorded of the layer's pack is not what the pack is.
    pub(super) fn contradiction(&self, layer: &DiffId, objects: &[ObjectId]) -> Option<String> {
        let recorded = self.of_layers.get(layer)?;
        let has = match recorded {
            None => return (!objects.is_empty()).then(|| "it says that the layer has no objects".to_owned()),
            Some(pack) => self.good.get(&pack.root_hash)?,
        };
        let mut seen = HashSet::new();
        let mut expected = objects.iter().filter(|id| seen.insert(**id));
        if !has.objects.iter().eq(expected.by_ref()) {
            return Some(format!("it names pack {}, which is another layer's", has.descriptor.root_hash));
        }
        (*recorded != Some(has.descriptor))
            .then(|| format!("it is wrong about pack {}", has.descriptor.root_hash))
    }
}

/// Reads the records, and verifies every pack, each by whichever thread is free.
pub(super) fn verify_packs(
    store: &Store,
    inventory: &Inventory,
    threads: usize,
    observer: &dyn Observer,
    report: &mut FsckReport,
) -> Result<Packs> {
    let mut packs = Packs::default();
    for layer in &inventory.pack_records {
        match store.pack_record(layer) {
            Ok(Some(record)) => drop(packs.of_layers.insert(*layer, record.pack)),
            Ok(None) => {}
            Err(Error::PackRecordDamaged { what, .. }) => packs.damaged_records.push((*layer, what)),
            Err(error) => return Err(error),
        }
    }
    let verified = for_each(threads, &inventory.packs, Vec::new, |verified: &mut Vec<_>, root_hash| {
        if let Some((result, size_bytes)) = verify(store, root_hash)? {
            verified.push((*root_hash, result));
            observer.event(&Event::Advanced { items: 1, bytes: size_bytes });
        }
        Ok(())
    })?;
    for (root_hash, result) in verified.into_iter().flatten() {
        report.packs += 1;
        match result {
            Ok(pack) => {
                report.pack_bytes += pack.descriptor.size_bytes;
                packs.good.insert(root_hash, pack);
            }
            Err(what) => drop(packs.damaged.insert(root_hash, what)),
        }
    }
    Ok(packs)
}

impl Store {
    /// Verifies every byte of the packs of `image`, each once: that contents hash to their names, and that each
    /// pack is that of its layer, with the root hash, the size and the objects that are recorded. For
    /// whoever vouches for them: nothing remembered from an earlier time counts.
    ///
    /// # Errors
    /// [`Error::PackDamaged`], also for one that is missing; as [`image_packs`](Self::image_packs).
    pub fn verify_image_packs(&self, image: &ImageRecord) -> Result<()> {
        self.verify_each_pack(&self.image_packs(image)?)?.into_iter().collect()
    }

    /// As [`verify_image_packs`](Self::verify_image_packs), of the packs of these layers: one that is damaged does not hide
    /// the next. Answers in the order of the layers.
    ///
    /// # Errors
    /// Failures of the system.
    pub fn verify_each_pack(&self, layers: &[LayerPack]) -> Result<Vec<Result<()>>> {
        let mut root_hashes: Vec<RootHash> = layers.iter().map(|layer| layer.pack.root_hash).collect();
        root_hashes.sort_unstable();
        root_hashes.dedup();
        let threads = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let verified = for_each(threads, &root_hashes, Vec::new, |verified: &mut Vec<_>, root_hash| {
            let result = verify(self, root_hash)?.map(|(result, _)| result);
            verified.push((*root_hash, result.unwrap_or_else(|| Err("it is missing".to_owned()))));
            Ok(())
        })?;
        let mut packs = Packs::default();
        for (root_hash, result) in verified.into_iter().flatten() {
            match result {
                Ok(pack) => drop(packs.good.insert(root_hash, pack)),
                Err(what) => drop(packs.damaged.insert(root_hash, what)),
            }
        }
        packs.of_layers = layers.iter().map(|layer| (layer.layer, Some(layer.pack))).collect();
        Ok(layers.iter().map(|layer| self.verify_pack_of(layer, &packs)).collect())
    }

    /// That the pack of a layer is among the good ones, and the layer's.
    fn verify_pack_of(&self, LayerPack { layer, pack }: &LayerPack, packs: &Packs) -> Result<()> {
        let damaged =
            |what| Error::PackDamaged { path: self.pack_path(&pack.root_hash), layer: *layer, what };
        if let Some(what) = packs.damaged.get(&pack.root_hash) {
            return Err(damaged(what.clone()));
        }
        let mut objects = Vec::new();
        let add = |id, _| {
            objects.push(id);
            Ok(())
        };
        if !self.for_each_object_of_layer(layer, add)? {
            return Err(damaged("the record of the layer is missing".to_owned()));
        }
        match packs.contradiction(layer, &objects) {
            Some(what) => Err(damaged(format!("of the record that the layer has it, {what}"))),
            None => Ok(()),
        }
    }
}

/// The pack, or what is wrong with it, and the size of its file; `None` when it is gone.
fn verify(
    store: &Store,
    root_hash: &RootHash,
) -> Result<Option<(std::result::Result<GoodPack, String>, u64)>> {
    let path = store.pack_path(root_hash);
    let Some(file) = store.open_pack(root_hash)? else { return Ok(None) };
    let before = status(&file, &path)?;
    let size_bytes = before.st_size.unsigned_abs();
    let result = match verify_open(store, file, root_hash) {
        Ok(pack) => {
            store.verified.remember(&store.root, Fingerprint::new(root_hash.as_bytes(), &before))?;
            Ok(pack)
        }
        Err(PackError::Source(error)) if is_unreadable(&error) => Err(format!("it cannot be read: {error}")),
        Err(PackError::Source(error)) if error.kind() != io::ErrorKind::UnexpectedEof => {
            return Err(Error::io("read", path, error));
        }
        Err(PackError::Rebuild(PackWriteError::Scratch(error))) => {
            return Err(Error::io("verify", path, error));
        }
        Err(error) => Err(error.to_string()),
    };
    Ok(Some((result, size_bytes)))
}

fn verify_open(store: &Store, file: File, root_hash: &RootHash) -> std::result::Result<GoodPack, PackError> {
    let pack = PackReader::open(file)?;
    let options = PackOptions { hash: leaf_hash(), memory_bytes: MEMORY_BYTES };
    pack.verify(root_hash, || scratch(store), options)?;
    let descriptor = PackDescriptor {
        root_hash: *root_hash,
        size_bytes: pack.size_bytes(),
        filesystem_blocks: pack.filesystem_blocks(),
        objects: pack.objects().len() as u64,
        object_bytes: pack.objects().iter().map(|object| object.size_bytes).sum(),
    };
    Ok(GoodPack { descriptor, objects: pack.objects().iter().map(|object| object.id).collect() })
}

/// A temporary file; in memory where nothing can be written.
fn scratch(store: &Store) -> io::Result<File> {
    store.scratch().or_else(|_| Ok(memfd_create("sealpack-fsck", MemfdFlags::CLOEXEC)?.into()))
}
