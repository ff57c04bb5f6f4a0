//! Removing what nothing needs.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use rustix::fs::Stat;
use sealpack_format::digest::{DiffId, ObjectId, RootHash};
use sealpack_format::pack::PackReader;

use crate::dir::Dir;
use crate::error::{Error, Result};
use crate::images::ObjectsOfImage;
use crate::lock::{Lock, LockKind};
use crate::observer::{Event, Observer, Phase};
use crate::places::{
    ALGORITHMS, BLOBS, IMAGES, LAYERS, PACKS, PARTIAL, SEALS, blob_path, hash_area_path, is_fan, layer_path,
    metadata_image_of_file_name, metadata_image_path, object_of, pack_of_file_name, pack_path,
    pack_record_path, seal_path,
};
use crate::refs::history::Trimmed;
use crate::refs::{ImageRecord, ObjectForm};
use crate::store::Store;
use crate::verified::Fingerprint;

/// How long an interrupted download is kept after its last byte.
pub const PARTIAL_KEPT: Duration = Duration::from_hours(7 * 24);

/// How many threads remove objects.
const REMOVERS: usize = 8;

/// What [`Store::gc`] does.
#[derive(Debug, Clone)]
pub struct GcOptions {
    /// Only report what would be removed.
    pub dry_run: bool,
    /// How many of the images that each name had before are kept, the newest ones. One, unless set.
    pub keep_previous: usize,
    /// Metadata images that are in use although they may have no name: the mounted ones. Their objects stay
    /// in whichever form they are there.
    pub keep_images: Vec<ObjectId>,
    /// Packs that are in use, such as those with a device.
    pub keep_packs: Vec<RootHash>,
    /// How long to wait for the exclusive lock.
    pub wait: Duration,
}

impl Default for GcOptions {
    fn default() -> Self {
        Self {
            dry_run: false,
            keep_previous: 1,
            keep_images: Vec::new(),
            keep_packs: Vec::new(),
            wait: Duration::ZERO,
        }
    }
}

/// How much of one kind was removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Removed {
    /// How many.
    pub count: u64,
    /// Their sizes in bytes.
    pub bytes: u64,
}

/// What [`Store::gc`] removed, or would remove.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct GcReport {
    /// Images in the histories of names, and the bytes by which the histories are shorter.
    pub earlier: Removed,
    /// Objects.
    pub objects: Removed,
    /// Packs.
    pub packs: Removed,
    /// Metadata images and their hash areas.
    pub images: Removed,
    /// Records of layers and of their packs.
    pub layers: Removed,
    /// Blobs.
    pub blobs: Removed,
    /// Seals.
    pub seals: Removed,
    /// Downloads interrupted longer than [`PARTIAL_KEPT`] ago.
    pub partials: Removed,
    /// What dead processes left in `tmp/`.
    pub temporaries: Removed,
}

impl GcReport {
    /// All kinds together.
    #[must_use]
    pub fn total(&self) -> Removed {
        let contents = [self.objects, self.packs, self.images, self.layers, self.blobs, self.seals];
        contents.iter().chain(&[self.earlier, self.partials, self.temporaries]).fold(
            Removed::default(),
            |sum, part| Removed { count: sum.count + part.count, bytes: sum.bytes + part.bytes },
        )
    }
}

impl Removed {
    fn add(&mut self, stat: &Stat) {
        self.merge(Self { count: 1, bytes: stat.st_size.unsigned_abs() });
    }

    pub(crate) const fn merge(&mut self, other: Self) {
        self.count += other.count;
        self.bytes += other.bytes;
    }
}

/// What must stay.
#[derive(Default)]
pub(crate) struct Needed {
    /// Sorted, each once.
    pub(crate) objects: Vec<ObjectId>,
    /// Paths from the root of the store.
    pub(crate) files: BTreeSet<PathBuf>,
    /// Images of which it is not known what packs they need.
    in_unknown_packs: BTreeSet<ObjectId>,
}

/// What named images need of a layer.
#[derive(Default)]
struct LayerUse {
    objects: bool,
    pack: bool,
}

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
        let lock = self.lock(LockKind::Exclusive, options.wait)?;
        self.gc_locked(&lock, options, objects_of, observer)
    }

    /// As [`gc`](Self::gc), with a lock taken before: what is mounted can then be asked for while nobody
    /// mounts anything. [`GcOptions::wait`] means nothing here.
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
        objects_of: ObjectsOfImage<'_>,
        observer: &dyn Observer,
    ) -> Result<GcReport> {
        assert_eq!(lock.kind(), LockKind::Exclusive, "gc needs the store for itself");
        observer.event(&Event::Began { phase: Phase::Scan, items: None });
        let (needed, histories) = self
            .needed_by_names_and_mounts(options, objects_of, observer)
            .map_err(|source| Error::RootUnreadable { source: Box::new(source) })?;
        let mut sweep = Sweep { dry_run: options.dry_run, report: GcReport::default(), observer };
        observer.event(&Event::Began { phase: Phase::Remove, items: None });
        self.sweep_tmp(&mut sweep)?;
        self.trim_histories(&histories, &mut sweep)?;
        // What refers to objects goes before them.
        self.sweep_files(&needed, &mut sweep)?;
        self.sweep_objects(&needed, &mut sweep)?;
        if !options.dry_run {
            self.forget_removed(&needed)?;
        }
        Ok(sweep.report)
    }

    fn needed_by_names_and_mounts(
        &self,
        options: &GcOptions,
        objects_of: ObjectsOfImage<'_>,
        observer: &dyn Observer,
    ) -> Result<(Needed, Vec<Trimmed>)> {
        let mut records = self.undamaged_images()?;
        let histories = self.histories_to_keep(&records, options.keep_previous)?;
        records.extend(histories.iter().flat_map(|history| history.kept.records.iter().cloned()));
        let mut needed = self.needed(&records, &options.keep_images, objects_of, observer)?;
        needed.files.extend(options.keep_packs.iter().map(pack_path));
        let images = std::mem::take(&mut needed.in_unknown_packs);
        let images = images.into_iter().chain(options.keep_images.iter().copied());
        self.add_packs_with_objects(images, objects_of, &mut needed)?;
        Ok((needed, histories))
    }

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
            needed.files.insert(seal_path(&record.manifest));
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
    fn add_packs_with_objects(
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

    fn sweep_files(&self, needed: &Needed, sweep: &mut Sweep<'_>) -> Result<()> {
        self.sweep_directory(needed, sweep, SEALS, |report| &mut report.seals)?;
        self.sweep_directory(needed, sweep, IMAGES, |report| &mut report.images)?;
        for algorithm in ALGORITHMS {
            self.sweep_directory(needed, sweep, &format!("{LAYERS}/{algorithm}"), |report| {
                &mut report.layers
            })?;
            self.sweep_directory(needed, sweep, &format!("{BLOBS}/{algorithm}"), |report| &mut report.blobs)?;
        }
        self.sweep_directory(needed, sweep, PACKS, |report| &mut report.packs)
    }

    fn sweep_directory(
        &self,
        needed: &Needed,
        sweep: &mut Sweep<'_>,
        path: &str,
        part: fn(&mut GcReport) -> &mut Removed,
    ) -> Result<()> {
        let Some(directory) = self.root.try_sub(path)? else { return Ok(()) };
        let before = *part(&mut sweep.report);
        for entry in directory.entries()? {
            // Whatever else is in there is fsck's to report.
            if entry.kind.is_file() && !needed.files.contains(&Path::new(path).join(&entry.name)) {
                sweep.remove(&directory, Path::new(&entry.name), part)?;
            }
        }
        if !sweep.dry_run && *part(&mut sweep.report) != before {
            directory.sync()?;
        }
        Ok(())
    }

    /// Removes the objects that are not needed; counts them. Several threads, as removing is mostly waiting
    /// for the filesystem: four times as fast on ext4.
    pub(crate) fn sweep_objects(&self, needed: &Needed, sweep: &mut Sweep<'_>) -> Result<()> {
        let mut fans = Vec::new();
        self.for_each_object_directory(|fan, _| {
            fans.push(fan.to_owned());
            Ok(())
        })?;
        let (next, dry_run, observer) = (AtomicUsize::new(0), sweep.dry_run, sweep.observer);
        let work = || {
            let mut mine = Sweep { dry_run, report: GcReport::default(), observer };
            while let Some(fan) = fans.get(next.fetch_add(1, Ordering::Relaxed)) {
                if let Err(error) = self.sweep_object_directory(fan, needed, &mut mine) {
                    // The others stop too.
                    next.store(fans.len(), Ordering::Relaxed);
                    return Err(error);
                }
            }
            Ok(mine.report.objects)
        };
        std::thread::scope(|scope| {
            let threads: Vec<_> = (1..REMOVERS.min(fans.len())).map(|_| scope.spawn(work)).collect();
            let mut result = work().map(|removed| sweep.report.objects.merge(removed));
            for thread in threads {
                let theirs = thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
                let merged = theirs.map(|removed| sweep.report.objects.merge(removed));
                result = result.and(merged);
            }
            result
        })
    }

    fn sweep_object_directory(&self, fan: &str, needed: &Needed, sweep: &mut Sweep<'_>) -> Result<()> {
        let Some(directory) = self.objects.try_sub(fan)? else { return Ok(()) };
        for entry in directory.entries()? {
            let id = object_of(fan, &entry.name).filter(|_| entry.kind.is_file());
            if id.is_some_and(|id| needed.objects.binary_search(&id).is_err()) {
                sweep.remove(&directory, Path::new(&entry.name), |report| &mut report.objects)?;
            }
        }
        if !sweep.dry_run {
            self.objects.remove_empty(fan)?;
        }
        Ok(())
    }

    fn sweep_tmp(&self, sweep: &mut Sweep<'_>) -> Result<()> {
        for (name, _lock) in self.dead_stagings()? {
            if let Some(directory) = self.tmp.try_sub(&name)? {
                for entry in directory.entries()? {
                    sweep.remove(&directory, Path::new(&entry.name), |report| &mut report.temporaries)?;
                }
            }
            if !sweep.dry_run {
                self.tmp.remove_all(&name)?;
            }
        }
        for entry in self.tmp.entries()? {
            // With the exclusive lock held, no living process has a file here.
            if entry.kind.is_file() {
                sweep.remove(&self.tmp, Path::new(&entry.name), |report| &mut report.temporaries)?;
            }
        }
        let Some(directory) = self.tmp.try_sub(PARTIAL)? else { return Ok(()) };
        for entry in directory.entries()? {
            let Some(stat) = directory.stat(&entry.name)? else { continue };
            if age(&stat) > PARTIAL_KEPT || stat.st_size == 0 {
                sweep.remove(&directory, Path::new(&entry.name), |report| &mut report.partials)?;
            }
        }
        Ok(())
    }

    /// Calls `each` with the two hex digits and the directory they name, for those there are.
    pub(crate) fn for_each_object_directory(
        &self,
        mut each: impl FnMut(&str, &Dir) -> Result<()>,
    ) -> Result<()> {
        for entry in self.objects.entries()? {
            let Some(fan) = entry.name.to_str().filter(|name| is_fan(name) && entry.kind.is_dir()) else {
                continue;
            };
            if let Some(directory) = self.objects.try_sub(fan)? {
                each(fan, &directory)?;
            }
        }
        Ok(())
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

pub(crate) struct Sweep<'a> {
    pub(crate) dry_run: bool,
    pub(crate) report: GcReport,
    pub(crate) observer: &'a dyn Observer,
}

impl Sweep<'_> {
    fn remove(
        &mut self,
        directory: &Dir,
        name: &Path,
        part: fn(&mut GcReport) -> &mut Removed,
    ) -> Result<()> {
        let Some(stat) = directory.stat(name)? else { return Ok(()) };
        if !self.dry_run {
            directory.unlink(name)?;
        }
        part(&mut self.report).add(&stat);
        self.observer.event(&Event::Advanced { items: 1, bytes: stat.st_size.unsigned_abs() });
        Ok(())
    }
}

fn age(stat: &Stat) -> Duration {
    let modified = SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(stat.st_mtime).unwrap_or(0));
    SystemTime::now().duration_since(modified).unwrap_or_default()
}
