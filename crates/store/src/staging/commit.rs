//! From the staging directory into the store, in an order that a power cut cannot hurt.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use sealpack_format::digest::ObjectId;

use super::{Pending, Staging};
use crate::dir::{Dir, sync_file};
use crate::error::{Error, Result};
use crate::integrity::{Integrity, ObjectState};
use crate::meta::Feature;
use crate::places::{PACKS, blob_path, layer_path, metadata_image_path, pack_path, pack_record_path};
use crate::refs::{Accepted, ImageRecord, ObjectForm};
use crate::verified::Fingerprint;

/// Up to so many files are flushed one by one; more with one syncfs(2), which also waits for
/// whatever else is dirty on the filesystem.
const SINGLE_FLUSHES: usize = 8;

impl Staging<'_> {
    /// Makes everything that was finished before part of the store. Durable on return.
    ///
    /// Objects go first, then what refers to them. Objects of unfinished layers are taken along;
    /// nothing refers to them yet.
    ///
    /// # Errors
    /// [`Error::NoSpace`] and other failures of the system; [`Error::StagingFailed`] after one of those. What was
    /// committed before stays committed.
    pub fn commit(&self) -> Result<()> {
        let mut failed = self.committing.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if *failed {
            return Err(Error::StagingFailed);
        }
        // All kinds at once: the objects of a layer in here are in here too, or were committed before.
        let batch = std::mem::take(&mut *self.pending());
        let result = self.move_in(&batch);
        *failed = result.is_err();
        result
    }

    /// [Commits](Self::commit), then gives the image its name ([`Store::set_image`](crate::Store::set_image)) and
    /// ends the staging. An image in packs gets the [hash area](crate::Store::ensure_hash_area) of its metadata
    /// image, too.
    ///
    /// # Errors
    /// As both; [`Error::TooManyPacks`] and [`Error::PackUnknown`] for an image in packs, before anything is committed.
    pub fn publish(self, record: &ImageRecord) -> Result<()> {
        self.publish_with(record, &Accepted::default()).map(drop)
    }

    /// As [`publish`](Self::publish), and keeps what came with the image before that gets its name. Answers with the
    /// record that the name has then.
    ///
    /// # Errors
    /// As [`publish`](Self::publish) and [`Store::set_image_with`](crate::Store::set_image_with).
    pub fn publish_with(self, record: &ImageRecord, accepted: &Accepted) -> Result<ImageRecord> {
        self.commit_for(record)?;
        self.store.set_image_with(record, accepted)
    }

    /// As [`publish`](Self::publish), of an image that has its name already, for the form that it is to be kept in. Answers
    /// with the record that the name has then.
    ///
    /// # Errors
    /// As [`publish`](Self::publish); [`Error::NameChanged`].
    pub(crate) fn publish_form(self, record: &ImageRecord, objects: ObjectForm) -> Result<ImageRecord> {
        let mut converted = record.clone();
        converted.objects = objects;
        self.commit_for(&converted)?;
        self.store.set_form(record, objects)
    }

    /// Commits all that an image needs before it gets its name.
    fn commit_for(&self, record: &ImageRecord) -> Result<()> {
        if record.objects == ObjectForm::Packs {
            self.check_packs(record)?;
        }
        self.commit()?;
        if record.objects == ObjectForm::Packs && !self.has_hash_area(&record.metadata_image)? {
            self.store.ensure_hash_area(&record.metadata_image)?;
        }
        let figures = self.figures();
        if figures.existing_objects > 0 || figures.existing_packs > 0 {
            // Those may have been renamed to their places by a process that has not flushed that yet.
            self.store.objects.sync_filesystem()?;
        }
        Ok(())
    }

    /// Whether metadata image `id` and its hash area are known to be as they should be, without reading the image.
    fn has_hash_area(&self, id: &ObjectId) -> Result<bool> {
        let is_good = self.store.check_metadata_image(id)? == ObjectState::Good;
        Ok(is_good && self.store.proved_root_hash(id)?.is_some())
    }

    fn move_in(&self, batch: &Pending) -> Result<()> {
        if batch.is_empty() {
            return Ok(());
        }
        self.flush_contents(batch)?;
        self.move_objects(batch)?;
        self.move_packs(batch)?;
        let mut touched = BTreeSet::new();
        let places = batch.layers.iter().map(|(id, number)| (layer_path(id), number));
        let places = places.chain(batch.blobs.iter().map(|(id, number)| (blob_path(id), number)));
        let places = places.chain(batch.images.iter().map(|(id, number)| (metadata_image_path(id), number)));
        for (place, number) in places {
            self.dir.rename(number.to_string(), &self.store.root, &place)?;
            touched.extend(place.parent().map(Path::to_owned));
        }
        self.remember_images(batch)?;
        sync_directories(&self.store.root, &touched)
    }

    /// Remembers that the metadata images have the contents of their names.
    fn remember_images(&self, batch: &Pending) -> Result<()> {
        let store = self.store;
        if store.integrity() == Integrity::FsVerity {
            return Ok(());
        }
        for id in batch.images.keys() {
            // As with objects: the rename has changed the ctime.
            if let Some(stat) = store.root.stat(metadata_image_path(id))? {
                store.verified.remember(&store.root, Fingerprint::new(id.as_bytes(), &stat))?;
            }
        }
        store.verified.save(&store.root)
    }

    /// Makes the bytes of all files durable while they are still here.
    fn flush_contents(&self, batch: &Pending) -> Result<()> {
        if batch.len() > SINGLE_FLUSHES {
            return self.dir.sync_filesystem();
        }
        for name in batch.numbers().map(|number| number.to_string()) {
            let path = self.dir.at(&name);
            let file = self.dir.read(&name)?.ok_or_else(|| Error::io("open", &path, Errno::NOENT))?;
            sync_file(&file, &path)?;
        }
        Ok(())
    }

    fn move_objects(&self, batch: &Pending) -> Result<()> {
        if batch.objects.is_empty() {
            return Ok(());
        }
        let store = self.store;
        let mut touched = BTreeSet::new();
        // One directory after the other.
        let mut objects: Vec<_> = batch.objects.iter().collect();
        objects.sort_unstable();
        for (id, number) in objects {
            let (from, to) = (number.to_string(), id.object_path());
            let (fan, _) = to.split_at(2);
            match self.dir.rename(&from, &store.objects, &to) {
                Err(Error::Io { source, .. }) if Errno::from_io_error(&source) == Some(Errno::NOENT) => {
                    store.objects.make(fan)?;
                    touched.insert(PathBuf::new());
                    self.dir.rename(&from, &store.objects, &to)?;
                }
                other => other?,
            }
            touched.insert(PathBuf::from(fan));
            // The rename has changed the ctime: only now the status is the one to remember.
            if store.integrity() == Integrity::None
                && let Some(stat) = store.objects.stat(&to)?
            {
                store.verified.remember(&store.root, Fingerprint::new(id.as_bytes(), &stat))?;
            }
        }
        store.verified.save(&store.root)?;
        if batch.objects.len() > SINGLE_FLUSHES {
            return store.objects.sync_filesystem();
        }
        sync_directories(&store.objects, &touched)
    }

    fn move_packs(&self, batch: &Pending) -> Result<()> {
        let store = self.store;
        if !batch.packs.is_empty() || !batch.pack_records.is_empty() {
            store.enable_feature(Feature::Packs)?;
        }
        for (root_hash, number) in &batch.packs {
            let to = pack_path(root_hash);
            self.dir.rename(number.to_string(), &store.root, &to)?;
            if let Some(stat) = store.root.stat(&to)? {
                store.verified.remember(&store.root, Fingerprint::new(root_hash.as_bytes(), &stat))?;
            }
        }
        store.verified.save(&store.root)?;
        if !batch.packs.is_empty() {
            store.root.sub(PACKS)?.sync()?;
        }
        // Before the records of layers, which count on the packs.
        let mut touched = BTreeSet::new();
        for (diff_id, (number, _)) in &batch.pack_records {
            let to = pack_record_path(diff_id);
            self.dir.rename(number.to_string(), &store.root, &to)?;
            touched.extend(to.parent().map(Path::to_owned));
        }
        sync_directories(&store.root, &touched)
    }
}

/// Makes the entries of directories durable; an empty path is `base` itself.
fn sync_directories(base: &Dir, directories: &BTreeSet<PathBuf>) -> Result<()> {
    for path in directories {
        match path.to_str() {
            Some("") => base.sync()?,
            _ => {
                let missing = || Error::io("open", base.at(path), Errno::NOENT);
                base.try_sub(path)?.ok_or_else(missing)?.sync()?;
            }
        }
    }
    Ok(())
}

impl Pending {
    fn len(&self) -> usize {
        self.numbers().count()
    }

    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn numbers(&self) -> impl Iterator<Item = u64> {
        let objects = self.objects.values().chain(self.images.values());
        let packs = self.packs.values().chain(self.pack_records.values().map(|(number, _)| number));
        objects.chain(packs).chain(self.layers.values()).chain(self.blobs.values()).copied()
    }
}
