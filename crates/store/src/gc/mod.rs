//! Removing what nothing needs.

mod discard;
mod histories;
mod needed;
mod object_set;
mod report;
mod sweep;

use std::path::Path;

pub use discard::Discard;
pub use needed::Marked;
pub use report::{GcOptions, GcReport, Kept, PARTIAL_KEPT, Tally};

use sealpack_format::digest::ObjectId;

use crate::dir::Dir;
use crate::error::{Error, Result};
use crate::images::ObjectsOfImage;
use crate::lock::{Lock, LockKind};
use crate::observer::{Event, Observer, Phase};
use crate::places::{IMAGES, PACKS, metadata_image_of_file_name, pack_of_file_name, pack_path};
use crate::store::Store;
use crate::verified::Fingerprint;
use histories::Trimmed;
use needed::Needed;
use sweep::Sweep;

impl Store {
    /// Removes what no named image, none that had a name right before, and none of `keep_images` needs: objects,
    /// metadata images, layers, blobs, what dead processes left behind, and downloads that were given up.
    ///
    /// Layers of named images are kept whole, also files that a higher layer hides: the next image on the
    /// same layer needs them. Quarantined files are left alone.
    ///
    /// # Errors
    /// [`Error::Locked`] while anything is pulled or mounted; [`Error::RootUnreadable`], and nothing
    /// is removed, when it cannot be found out what is needed; failures of the system.
    pub fn gc(
        &self,
        options: &GcOptions,
        objects_of: ObjectsOfImage<'_>,
        observer: &dyn Observer,
    ) -> Result<GcReport> {
        let marked = self.mark(options, objects_of, observer)?;
        let lock = self.lock(LockKind::Exclusive, options.wait)?;
        self.gc_locked(&lock, options, marked, objects_of, observer)
    }

    /// Finds out what named images need, beside others that use the store: what takes long of a
    /// [`gc`](Self::gc) is done before it has the store to itself. What has come since then it adds.
    ///
    /// # Errors
    /// As [`gc`](Self::gc).
    pub fn mark(
        &self,
        options: &GcOptions,
        objects_of: ObjectsOfImage<'_>,
        observer: &dyn Observer,
    ) -> Result<Marked> {
        let _lock = self.lock(LockKind::Shared, options.wait)?;
        observer.event(&Event::Began { phase: Phase::Scan, items: None });
        let mut marked = Marked::default();
        let marking = self.mark_names(&mut marked, options, &[], objects_of, observer);
        marking.map_err(|source| Error::RootUnreadable { source: Box::new(source) })?;
        marked.unneeded = Some(self.unneeded_objects(&marked.needed)?);
        Ok(marked)
    }

    /// As [`gc`](Self::gc), with a lock taken before: what is mounted can then be asked for while nobody
    /// mounts anything. [`GcOptions::wait`] means nothing here. `marked` is what was found before.
    ///
    /// # Errors
    /// As [`gc`](Self::gc).
    ///
    /// # Panics
    /// When `lock` is a shared one, a mistake of the caller's.
    pub fn gc_locked(
        &self,
        lock: &Lock,
        options: &GcOptions,
        marked: Marked,
        objects_of: ObjectsOfImage<'_>,
        observer: &dyn Observer,
    ) -> Result<GcReport> {
        assert_eq!(lock.kind(), LockKind::Exclusive, "gc needs the store for itself");
        observer.event(&Event::Began { phase: Phase::Scan, items: None });
        if !options.dry_run {
            self.settle_seals()?;
        }
        let mut marked = marked;
        let unneeded = marked.unneeded.take();
        let (needed, histories) = self
            .needed_by_names_and_mounts(marked, options, objects_of, observer)
            .map_err(|source| Error::RootUnreadable { source: Box::new(source) })?;
        let mut sweep = Sweep { dry_run: options.dry_run, report: GcReport::default(), observer };
        sweep.report.kept = Kept {
            earlier: histories.iter().map(|history| history.kept.records.len() as u64).sum(),
            in_use: options.keep_images.len() as u64,
            held: self.held_chains()?.len() as u64,
        };
        observer.event(&Event::Began { phase: Phase::Remove, items: None });
        self.sweep_tmp(&mut sweep)?;
        self.trim_histories(&histories, &mut sweep)?;
        // What refers to objects goes before them.
        self.sweep_files(&needed, &mut sweep)?;
        match unneeded {
            Some(objects) => self.sweep_some_objects(&objects, &needed, &mut sweep)?,
            None => self.sweep_objects(&needed, &mut sweep)?,
        }
        if !options.dry_run && sweep.report.has_removed_verified() {
            self.forget_removed(&needed)?;
        }
        Ok(sweep.report)
    }

    fn needed_by_names_and_mounts(
        &self,
        mut marked: Marked,
        options: &GcOptions,
        objects_of: ObjectsOfImage<'_>,
        observer: &dyn Observer,
    ) -> Result<(Needed, Vec<Trimmed>)> {
        let histories = self.mark_names(&mut marked, options, &options.keep_images, objects_of, observer)?;
        let mut needed = marked.needed;
        needed.files.extend(options.keep_packs.iter().map(pack_path));
        let images = std::mem::take(&mut needed.in_unknown_packs);
        let images = images.into_iter().chain(options.keep_images.iter().copied());
        self.add_packs_with_objects(images, objects_of, &mut needed)?;
        Ok((needed, histories))
    }

    /// Marks what all names have, and the histories that stay.
    fn mark_names(
        &self,
        marked: &mut Marked,
        options: &GcOptions,
        keep_images: &[ObjectId],
        objects_of: ObjectsOfImage<'_>,
        observer: &dyn Observer,
    ) -> Result<Vec<Trimmed>> {
        let mut records = self.undamaged_images()?;
        let histories = self.histories_to_keep(&records, options)?;
        records.extend(self.held_as_images()?);
        records.extend(histories.iter().flat_map(|history| history.kept.records.iter().cloned()));
        self.mark_images(marked, &records, keep_images, objects_of, observer)?;
        Ok(histories)
    }

    fn forget_removed(&self, needed: &Needed) -> Result<()> {
        if self.verified.is_empty(&self.root)? {
            return Ok(());
        }
        let fingerprint = |directory: &Dir, name: &Path, digest: &[u8]| match directory.stat(name) {
            Ok(stat) => stat.map(|stat| Ok(Fingerprint::new(digest, &stat))),
            Err(error) => Some(Err(error)),
        };
        let objects = needed
            .objects
            .as_slice()
            .iter()
            .filter_map(|id| fingerprint(&self.objects, Path::new(&id.object_path()), id.as_bytes()));
        let files = needed.files.iter().filter_map(|path| {
            let name = path.file_name()?.to_str()?;
            match path.parent()?.to_str()? {
                IMAGES => fingerprint(&self.root, path, metadata_image_of_file_name(name)?.as_bytes()),
                PACKS => fingerprint(&self.root, path, pack_of_file_name(name)?.as_bytes()),
                _ => None,
            }
        });
        let current = objects.chain(files);
        self.verified.compact(&self.root, &self.tmp, current)
    }
}
