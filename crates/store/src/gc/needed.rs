//! What must stay.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use sealpack_format::digest::{DiffId, ObjectId};
use sealpack_format::pack::PackReader;

use crate::error::Result;
use crate::images::ObjectsOfImage;
use crate::observer::{Event, Observer};
use crate::places::{
    PACKS, SealName, blob_path, hash_area_path, layer_path, metadata_image_path, pack_path, pack_record_path,
};
use crate::refs::{ImageRecord, ObjectForm};
use crate::store::Store;

/// What must stay.
#[derive(Default)]
pub(crate) struct Needed {
    /// Sorted, each once.
    pub(crate) objects: Vec<ObjectId>,
    /// Paths from the root of the store.
    pub(crate) files: BTreeSet<PathBuf>,
    /// Images of which it is not known what packs they need.
    pub(super) in_unknown_packs: BTreeSet<ObjectId>,
}

/// What named images need of a layer.
#[derive(Default)]
struct LayerUse {
    objects: bool,
    pack: bool,
}

impl Needed {
    fn add_image(&mut self, id: &ObjectId) {
        self.files.extend([metadata_image_path(id), hash_area_path(id)]);
    }

    /// Keeps memory at one digest for each object, however many layers have it.
    pub(crate) fn merge_equal(&mut self) {
        self.objects.sort_unstable();
        self.objects.dedup();
    }
}

impl Store {
    /// All named images, if all names can be read.
    pub(crate) fn undamaged_images(&self) -> Result<Vec<ImageRecord>> {
        let images = self.images()?;
        images.damaged.into_iter().next().map_or(Ok(images.records), |damage| Err(damage.into()))
    }

    /// What the images of `records` need, and those of `keep_images`.
    pub(crate) fn needed(
        &self,
        records: &[ImageRecord],
        keep_images: &[ObjectId],
        objects_of: ObjectsOfImage<'_>,
        observer: &dyn Observer,
    ) -> Result<Needed> {
        let (mut needed, mut layers) = (Needed::default(), BTreeMap::<DiffId, LayerUse>::new());
        // Without its file nobody knows what a mounted image needs.
        let mut metadata: BTreeSet<_> = keep_images.iter().copied().collect();
        for record in records {
            for layer in &record.layers {
                let used = layers.entry(layer.diff_id).or_default();
                used.objects |= record.objects == ObjectForm::Files;
                used.pack |= record.objects == ObjectForm::Packs;
            }
            needed.files.extend(record.blobs().map(|digest| blob_path(&digest)));
            // A dry run leaves the seals of an old store where they are.
            let manifest = record.manifest;
            let names = [record.statement, None].map(|statement| SealName { manifest, statement });
            needed.files.extend(names.iter().map(SealName::path));
            needed.add_image(&record.metadata_image);
            // One that fsck has set aside: its layers say what is needed.
            if record.objects == ObjectForm::Files
                && self.metadata_image_path(&record.metadata_image).exists()
            {
                metadata.insert(record.metadata_image);
            }
            self.add_packs(record, &mut needed)?;
        }
        for (diff_id, used) in layers {
            if used.objects {
                self.for_each_object_of_layer(&diff_id, |id, _| {
                    needed.objects.push(id);
                    Ok(())
                })?;
                needed.merge_equal();
            }
            needed.files.extend([layer_path(&diff_id), pack_record_path(&diff_id)]);
            observer.event(&Event::Advanced { items: 1, bytes: 0 });
        }
        for id in metadata {
            needed.objects.extend(self.objects_of(&id, objects_of)?);
            needed.add_image(&id);
            needed.merge_equal();
            observer.event(&Event::Advanced { items: 1, bytes: 0 });
        }
        Ok(needed)
    }

    /// Adds the packs that the image needs.
    fn add_packs(&self, record: &ImageRecord, needed: &mut Needed) -> Result<()> {
        if record.objects == ObjectForm::Files {
            return Ok(());
        }
        for layer in &record.layers {
            match self.pack_record(&layer.diff_id)? {
                Some(known) => needed.files.extend(known.pack.map(|pack| pack_path(&pack.root_hash))),
                // One that fsck has set aside.
                None if self.metadata_image_path(&record.metadata_image).exists() => {
                    needed.in_unknown_packs.insert(record.metadata_image);
                }
                None => {}
            }
        }
        Ok(())
    }

    /// Adds the packs with any of the objects of `images`.
    pub(super) fn add_packs_with_objects(
        &self,
        images: impl IntoIterator<Item = ObjectId>,
        objects_of: ObjectsOfImage<'_>,
        needed: &mut Needed,
    ) -> Result<()> {
        let mut wanted = Vec::new();
        for id in images {
            wanted.extend(self.objects_of(&id, objects_of)?);
        }
        wanted.sort_unstable();
        let Some(directory) = self.root.try_sub(PACKS)?.filter(|_| !wanted.is_empty()) else {
            return Ok(());
        };
        for entry in directory.entries()? {
            let path = Path::new(PACKS).join(&entry.name);
            if needed.files.contains(&path) || !entry.kind.is_file() {
                continue;
            }
            let Some(file) = directory.read(&entry.name)? else { continue };
            // What cannot be read might be the one; fsck reports it.
            let has_any = PackReader::open(file).map_or(true, |pack| {
                pack.objects().iter().any(|object| wanted.binary_search(&object.id).is_ok())
            });
            if has_any {
                needed.files.insert(path);
            }
        }
        Ok(())
    }
}
