//! Whether everything that is referred to is there.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::PathBuf;

use sealpack_format::digest::{DiffId, ObjectId, RootHash};
use serde::de::IgnoredAny;

use super::names::Names;
use super::objects::DamagedObjects;
use super::packs::Packs;
use super::report::FsckReport;
use crate::error::{Error, Result};
use crate::images::ObjectsOfImage;
use crate::inventory::Inventory;
use crate::observer::{Event, Observer};
use crate::places::{SealName, blob_path};
use crate::problem::{Misfit, MisfitsOf, Problem, ProblemKind};
use crate::refs::{ImageRecord, LayerDescriptor, ObjectForm};
use crate::seals::statement_of;
use crate::store::Store;
use crate::threads::for_each;
use crate::verified::Known;

/// Follows every reference. The problems come sorted by kind and path.
pub(super) fn follow(
    store: &Store,
    names: &Names,
    (inventory, damaged, packs): (Inventory, DamagedObjects, Packs),
    (objects_of, misfits_of): (ObjectsOfImage<'_>, MisfitsOf<'_>),
    (threads, observer): (usize, &dyn Observer),
    report: &mut FsckReport,
) -> Result<Vec<Problem>> {
    let records = &names.records;
    let good = inventory.objects.iter().filter(|id| !damaged.contains(id)).copied().collect();
    let mut follow = Follow {
        good,
        threads,
        store,
        records,
        inventory,
        damaged,
        packs,
        problems: Vec::new(),
        needed_by: BTreeMap::new(),
    };
    for (kind, damage) in &names.damaged {
        follow.add(*kind, damage.path.clone(), damage.what.clone(), BTreeSet::new());
    }
    report.layers = follow.layers(observer)?;
    report.images = follow.images(objects_of, observer)?;
    report.blobs = follow.blobs(observer)?;
    follow.hash_areas()?;
    report.seals = follow.seals()?;
    follow.misfits(names, misfits_of);
    follow.names();
    follow.packs();
    follow.objects_and_strays();
    let mut problems = follow.problems;
    problems.sort_by(|a, b| (a.kind, &a.path).cmp(&(b.kind, &b.path)));
    Ok(problems)
}

struct Follow<'a> {
    store: &'a Store,
    records: &'a [ImageRecord],
    inventory: Inventory,
    damaged: DamagedObjects,
    packs: Packs,
    problems: Vec<Problem>,
    /// The objects that are there, undamaged.
    good: Known<ObjectId>,
    threads: usize,
    /// The names of the images that need a damaged object.
    needed_by: BTreeMap<ObjectId, BTreeSet<String>>,
}

/// What is wrong with a layer.
struct Looked {
    /// How it and its pack contradict each other.
    contradiction: Option<String>,
    /// The objects that it has in files, and which are missing or damaged.
    lacking: BTreeSet<ObjectId>,
}

impl Follow<'_> {
    fn add(&mut self, kind: ProblemKind, path: PathBuf, what: String, images: BTreeSet<String>) {
        let images = images.into_iter().collect();
        self.problems.push(Problem { kind, path, what, images, quarantined: None });
    }

    /// Whether the object is there, undamaged.
    fn has(&self, id: &ObjectId) -> bool {
        self.good.contains(id)
    }

    /// The names of the images for which `uses` holds.
    fn names_of(&self, uses: impl Fn(&ImageRecord) -> bool) -> BTreeSet<String> {
        self.records.iter().filter(|record| uses(record)).map(|record| record.name.clone()).collect()
    }

    fn layers(&mut self, observer: &dyn Observer) -> Result<u64> {
        let layers = self.inventory.layers.clone();
        let this = &*self;
        let looked = for_each(self.threads, &layers, Vec::new, |looked: &mut Vec<_>, diff_id| {
            let mut objects = Vec::new();
            let read = this.store.for_each_object_of_layer(diff_id, |id, _| {
                objects.push(id);
                Ok(())
            });
            looked.push((*diff_id, read.map(|_| this.look_at_layer(diff_id, objects))));
            observer.event(&Event::Advanced { items: 1, bytes: 0 });
            Ok(())
        })?;
        for (diff_id, result) in looked.into_iter().flatten() {
            let names = self.names_of(|record| record.layers.iter().any(|layer| layer.diff_id == diff_id));
            let path = self.store.layer_path(&diff_id);
            match result {
                Ok(layer) => self.layer(&diff_id, layer, names),
                Err(Error::LayerDamaged { source, .. }) => {
                    self.add(ProblemKind::DamagedLayer, path, source.to_string(), names);
                }
                Err(error @ Error::Algorithm { .. }) => {
                    self.add(ProblemKind::DamagedLayer, path, error.to_string(), names);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(layers.len() as u64)
    }

    /// What is wrong with a layer with those objects, in the order of its record.
    fn look_at_layer(&self, diff_id: &DiffId, objects: Vec<ObjectId>) -> Looked {
        let contradiction = self.packs.contradiction(diff_id, &objects);
        let in_pack = contradiction.is_none() && self.packs.objects_of(diff_id).is_some();
        let lacking = match in_pack {
            true => BTreeSet::new(),
            false => objects.into_iter().filter(|id| !self.has(id)).collect(),
        };
        Looked { contradiction, lacking }
    }

    fn layer(
        &mut self,
        diff_id: &DiffId,
        Looked { contradiction, lacking }: Looked,
        names: BTreeSet<String>,
    ) {
        if let Some(what) = contradiction {
            let path = self.store.pack_record_path(diff_id);
            self.add(ProblemKind::DamagedPackRecord, path, what, names.clone());
        }
        self.lacking(ProblemKind::IncompleteLayer, self.store.layer_path(diff_id), lacking, names);
    }

    fn images(&mut self, objects_of: ObjectsOfImage<'_>, observer: &dyn Observer) -> Result<u64> {
        let images = self.inventory.images.clone();
        let this = &*self;
        let looked = for_each(self.threads, &images, Vec::new, |looked: &mut Vec<_>, id| {
            let result = this.store.objects_of(id, objects_of).map(|objects| this.lacked_by(id, &objects));
            looked.push((*id, result));
            observer.event(&Event::Advanced { items: 1, bytes: 0 });
            Ok(())
        })?;
        for (id, result) in looked.into_iter().flatten() {
            let names = self.names_of(|record| record.metadata_image == id);
            let path = self.store.metadata_image_path(&id);
            match result {
                Ok((lacking, names)) => self.lacking(ProblemKind::IncompleteImage, path, lacking, names),
                Err(Error::ImageDamaged { found, .. }) => {
                    let what = found.map_or_else(
                        || "it cannot be read".to_owned(),
                        |found| format!("its fs-verity digest is {found}"),
                    );
                    self.add(ProblemKind::DamagedImage, path, what, names);
                }
                Err(Error::ImageUnreadable { what, .. }) => {
                    self.add(ProblemKind::DamagedImage, path, what, names);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(images.len() as u64)
    }

    /// What a metadata image that refers to those objects lacks, and the names of the images that do. Without a name nobody
    /// misses anything: a collected image that is still mounted.
    fn lacked_by(&self, id: &ObjectId, objects: &[ObjectId]) -> (BTreeSet<ObjectId>, BTreeSet<String>) {
        let (mut lacking, mut names) = (BTreeSet::new(), BTreeSet::new());
        let mut in_files = None;
        for record in self.records.iter().filter(|record| record.metadata_image == *id) {
            let theirs: Vec<ObjectId> = match record.objects {
                // For all names with files the same.
                ObjectForm::Files => in_files
                    .get_or_insert_with(|| {
                        objects.iter().copied().filter(|object| !self.has(object)).collect::<Vec<_>>()
                    })
                    .clone(),
                ObjectForm::Packs => {
                    let packs =
                        record.layers.iter().filter_map(|layer| self.packs.objects_of(&layer.diff_id));
                    let packed: HashSet<_> = packs.flatten().collect();
                    objects.iter().copied().filter(|object| !packed.contains(object)).collect()
                }
            };
            if !theirs.is_empty() {
                names.insert(record.name.clone());
                lacking.extend(theirs);
            }
        }
        (lacking, names)
    }

    fn lacking(
        &mut self,
        kind: ProblemKind,
        path: PathBuf,
        lacking: BTreeSet<ObjectId>,
        names: BTreeSet<String>,
    ) {
        let Some(first) = lacking.first() else { return };
        let what = format!("{} of its objects are missing or damaged, {first} among them", lacking.len());
        self.add(kind, path, what, names.clone());
        for id in lacking.into_iter().filter(|id| self.damaged.contains(id)) {
            self.needed_by.entry(id).or_default().extend(names.iter().cloned());
        }
    }

    fn blobs(&mut self, observer: &dyn Observer) -> Result<u64> {
        let blobs = self.inventory.blobs.clone();
        for digest in &blobs {
            match self.store.try_blob(digest) {
                Ok(_) => {}
                Err(Error::BlobDamaged { path, found }) => {
                    let names = self.names_of(|record| record.blobs().any(|blob| blob == *digest));
                    let what = format!("its content has the digest {found}");
                    self.add(ProblemKind::DamagedBlob, path, what, names);
                }
                Err(error) => return Err(error),
            }
            observer.event(&Event::Advanced { items: 1, bytes: 0 });
        }
        Ok(blobs.len() as u64)
    }

    fn hash_areas(&mut self) -> Result<()> {
        for id in self.inventory.hash_areas.clone() {
            let names = self.names_of(|record| record.metadata_image == id);
            match self.store.hash_area_of(&id) {
                Ok((_, area)) if self.store.is_hash_area(&id, &area)? => {}
                Ok(_) => {
                    let what = "it is not the hash area of its metadata image".to_owned();
                    self.add(ProblemKind::DamagedImageTree, self.store.hash_area_path(&id), what, names);
                }
                // A problem of the image's, or left over from one that is gone.
                Err(Error::ImageDamaged { .. } | Error::ImageUnreadable { .. } | Error::ImageMissing(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn seals(&mut self) -> Result<u64> {
        for name in self.inventory.seals.clone() {
            let what = match self.store.read_seal_file(&name) {
                Ok(Some(seal)) => match serde_json::from_slice::<IgnoredAny>(&seal) {
                    Ok(_) if name.statement.is_none_or(|statement| statement == statement_of(&seal)) => {
                        continue;
                    }
                    Ok(_) => "it has another statement than the one that it is named for".to_owned(),
                    Err(error) => format!("it is not JSON: {error}"),
                },
                Ok(None) => continue,
                Err(error @ Error::SealTooLarge { .. }) => error.to_string(),
                Err(error) => return Err(error),
            };
            let is_its = |record: &ImageRecord| match name.statement {
                Some(statement) => record.statement == Some(statement),
                None => true,
            };
            let names = self.names_of(|record| record.manifest == name.manifest && is_its(record));
            self.add(ProblemKind::DamagedSeal, self.store.root.at(name.path()), what, names);
        }
        Ok(self.inventory.seals.len() as u64)
    }

    /// What contradicts the rest of its image, but for what is a problem already.
    fn misfits(&mut self, names: &Names, misfits_of: MisfitsOf<'_>) {
        let mut found: BTreeMap<(ProblemKind, PathBuf, String), BTreeSet<String>> = BTreeMap::new();
        let numbered: Vec<_> = names.records.iter().enumerate().collect();
        let asked = for_each(self.threads, &numbered, Vec::new, |misfits: &mut Vec<_>, (place, record)| {
            misfits.push((*place, misfits_of(record)));
            Ok(())
        });
        // Nobody who was asked can fail.
        for (place, misfits) in asked.unwrap_or_default().into_iter().flatten() {
            let record = &names.records[place];
            for Misfit { kind, what } in misfits {
                let path = match kind {
                    ProblemKind::DamagedSeal => self.store.seal_path(record),
                    _ => None,
                };
                let path = path.unwrap_or_else(|| names.file_of(self.store, place));
                found.entry((kind, path, what)).or_default().insert(record.name.clone());
            }
        }
        for ((kind, path, what), names) in found {
            if !self.problems.iter().any(|problem| (problem.kind, &problem.path) == (kind, &path)) {
                self.add(kind, path, what, names);
            }
        }
    }

    /// Whether the seal is there that the image has under its name, if it has one.
    fn has_seal(&self, record: &ImageRecord) -> bool {
        let is_its = |name: &SealName| {
            name.manifest == record.manifest
                && (name.statement.is_none() || name.statement == record.statement)
        };
        record.statement.is_none() || self.inventory.seals.iter().any(is_its)
    }

    /// The names of the images in packs that have that pack.
    fn names_with_pack(&self, root_hash: &RootHash) -> BTreeSet<String> {
        let has = |layer: &LayerDescriptor| {
            let pack = self.packs.of_layers.get(&layer.diff_id).copied().flatten();
            pack.is_some_and(|pack| pack.root_hash == *root_hash)
        };
        self.names_of(|record| record.objects == ObjectForm::Packs && record.layers.iter().any(has))
    }

    fn packs(&mut self) {
        for (root_hash, what) in std::mem::take(&mut self.packs.damaged) {
            let names = self.names_with_pack(&root_hash);
            self.add(ProblemKind::DamagedPack, self.store.pack_path(&root_hash), what, names);
        }
        for (diff_id, what) in std::mem::take(&mut self.packs.damaged_records) {
            let names = self.names_of(|record| record.layers.iter().any(|layer| layer.diff_id == diff_id));
            let path = self.store.pack_record_path(&diff_id);
            self.add(ProblemKind::DamagedPackRecord, path, what, names);
        }
    }

    /// Where a layer's pack should be, or the record of it, if it is not there.
    fn missing_pack(&self, layer: &DiffId) -> Option<PathBuf> {
        if self.inventory.pack_records.binary_search(layer).is_err() {
            return Some(self.store.pack_record_path(layer));
        }
        let pack = self.packs.of_layers.get(layer).copied().flatten()?;
        let is_there = self.inventory.packs.binary_search(&pack.root_hash).is_ok();
        (!is_there).then(|| self.store.pack_path(&pack.root_hash))
    }

    /// What named images refer to and the directories do not have.
    fn names(&mut self) {
        let mut missing: BTreeMap<(ProblemKind, PathBuf), BTreeSet<String>> = BTreeMap::new();
        for record in self.records {
            let mut miss = |kind, path| {
                missing.entry((kind, path)).or_default().insert(record.name.clone());
            };
            for digest in record.blobs().filter(|digest| !self.inventory.blobs.contains(digest)) {
                miss(ProblemKind::MissingBlob, self.store.root.at(blob_path(&digest)));
            }
            for layer in record.layers.iter().filter(|layer| !self.inventory.layers.contains(&layer.diff_id))
            {
                miss(ProblemKind::MissingLayer, self.store.layer_path(&layer.diff_id));
            }
            if record.objects == ObjectForm::Packs {
                let packs = record.layers.iter().filter_map(|layer| self.missing_pack(&layer.diff_id));
                packs.for_each(|path| miss(ProblemKind::MissingPack, path));
            }
            if !self.has_seal(record)
                && let Some(path) = self.store.seal_path(record)
            {
                miss(ProblemKind::MissingSeal, path);
            }
            if !self.inventory.images.contains(&record.metadata_image) {
                miss(ProblemKind::MissingImage, self.store.metadata_image_path(&record.metadata_image));
            }
        }
        for ((kind, path), names) in missing {
            self.add(kind, path, "it is missing".to_owned(), names);
        }
    }

    fn objects_and_strays(&mut self) {
        for (id, what) in std::mem::take(&mut self.damaged.0) {
            let names = self.needed_by.remove(&id).unwrap_or_default();
            self.add(ProblemKind::DamagedObject, self.store.object_path(&id), what, names);
        }
        for path in std::mem::take(&mut self.inventory.strays) {
            let what = "this is nothing that belongs into a store".to_owned();
            self.add(ProblemKind::Stray, self.store.root.at(path), what, BTreeSet::new());
        }
    }
}
