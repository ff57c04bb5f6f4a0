//! What must stay.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use sealpack_format::digest::{DiffId, ObjectId};
use sealpack_format::pack::PackReader;

use super::object_set::ObjectSet;
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
    /// The objects.
    pub(crate) objects: ObjectSet,
    /// Paths from the root of the store.
    pub(crate) files: BTreeSet<PathBuf>,
    /// Images of which it is not known what packs they need.
    pub(super) in_unknown_packs: BTreeSet<ObjectId>,
}

/// What was found to be needed so far. What is in it is read once, however many images have it.
#[derive(Default)]
pub struct Marked {
    pub(super) needed: Needed,
    /// The layers whose objects are among the needed ones, and whether the store has their records.
    layers: BTreeMap<DiffId, bool>,
    /// The metadata images whose objects are.
    metadata_images: BTreeSet<ObjectId>,
    /// The objects that were there and not needed, sorted; nobody has looked where there are none. What has come since then is
    /// left to the next gc.
    pub(super) unneeded: Option<Vec<ObjectId>>,
}

impl Needed {
    fn add_image(&mut self, id: &ObjectId) {
        self.files.extend([metadata_image_path(id), hash_area_path(id)]);
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
        let mut marked = Marked::default();
        self.mark_images(&mut marked, records, keep_images, objects_of, observer)?;
        Ok(marked.needed)
    }

    /// Adds what the images of `records` need, and those of `keep_images`, to what is known to be needed.
    ///
    /// What a named image needs its layers say. Its metadata image is read only where the store lacks the record of one;
    /// of an image without a name, which is mounted, there is nothing else.
    pub(super) fn mark_images(
        &self,
        marked: &mut Marked,
        records: &[ImageRecord],
        keep_images: &[ObjectId],
        objects_of: ObjectsOfImage<'_>,
        observer: &dyn Observer,
    ) -> Result<()> {
        for record in records {
            let needed = &mut marked.needed;
            needed.files.extend(record.blobs().map(|digest| blob_path(&digest)));
            // A dry run leaves the seals of an old store where they are.
            let manifest = record.manifest;
            let names = [record.statement, None].map(|statement| SealName { manifest, statement });
            needed.files.extend(names.iter().map(SealName::path));
            needed.add_image(&record.metadata_image);
            let layers = record.layers.iter().map(|layer| &layer.diff_id);
            needed.files.extend(layers.flat_map(|id| [layer_path(id), pack_record_path(id)]));
            self.add_packs(record, needed)?;
            if record.objects == ObjectForm::Packs {
                continue;
            }
            let mut has_all_layers = true;
            for layer in &record.layers {
                has_all_layers &= self.mark_layer(marked, &layer.diff_id, observer)?;
            }
            // One that fsck has set aside: its layers say what is needed.
            if !has_all_layers && self.metadata_image_path(&record.metadata_image).exists() {
                self.mark_metadata_image(marked, &record.metadata_image, objects_of, observer)?;
            }
        }
        for id in keep_images {
            marked.needed.add_image(id);
            self.mark_metadata_image(marked, id, objects_of, observer)?;
        }
        marked.needed.objects.sort();
        Ok(())
    }

    /// Marks the objects of a layer. Answers whether the store has its record.
    fn mark_layer(&self, marked: &mut Marked, diff_id: &DiffId, observer: &dyn Observer) -> Result<bool> {
        if let Some(has_record) = marked.layers.get(diff_id) {
            return Ok(*has_record);
        }
        let has_record = self.for_each_object_of_layer(diff_id, |id, _| {
            marked.needed.objects.add(id);
            Ok(())
        })?;
        marked.layers.insert(*diff_id, has_record);
        observer.event(&Event::Advanced { items: 1, bytes: 0 });
        Ok(has_record)
    }

    fn mark_metadata_image(
        &self,
        marked: &mut Marked,
        id: &ObjectId,
        objects_of: ObjectsOfImage<'_>,
        observer: &dyn Observer,
    ) -> Result<()> {
        if marked.metadata_images.insert(*id) {
            self.objects_of(id, objects_of)?.into_iter().for_each(|id| marked.needed.objects.add(id));
            observer.event(&Event::Advanced { items: 1, bytes: 0 });
        }
        Ok(())
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
