//! Removing what nothing needs.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use rustix::fs::Stat;
use sealpack_format::digest::{Algorithm, ObjectId};

use crate::backend::Dir;
use crate::blobs::blob_path;
use crate::error::{Error, Result};
use crate::images::{ObjectsOfImage, image_file_name};
use crate::layers::layer_path;
use crate::lock::{Lock, LockKind};
use crate::objects::Integrity;
use crate::observer::{Observer, Phase};
use crate::partial;
use crate::store::Store;
use crate::verified::Fingerprint;

/// How long an interrupted download is kept after its last byte.
pub const PARTIAL_KEPT: Duration = Duration::from_hours(7 * 24);

/// How many threads remove objects.
const REMOVERS: usize = 8;

/// What [`Store::gc`] does.
#[derive(Debug, Clone, Default)]
pub struct GcOptions {
    /// Only report what would be removed.
    pub dry_run: bool,
    /// Metadata images that are in use although they may have no name: the mounted ones.
    pub keep_images: Vec<ObjectId>,
    /// How long to wait for the exclusive lock.
    pub wait: Duration,
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
    /// Objects.
    pub objects: Removed,
    /// Metadata images.
    pub images: Removed,
    /// Records of layers.
    pub layers: Removed,
    /// Blobs.
    pub blobs: Removed,
    /// Downloads interrupted longer than [`PARTIAL_KEPT`] ago.
    pub partials: Removed,
    /// What dead processes left in `tmp/`.
    pub temporaries: Removed,
}

impl GcReport {
    /// All kinds together.
    #[must_use]
    pub fn total(&self) -> Removed {
        [self.objects, self.images, self.layers, self.blobs, self.partials, self.temporaries].iter().fold(
            Removed::default(),
            |sum, part| Removed { count: sum.count + part.count, bytes: sum.bytes + part.bytes },
        )
    }
}

impl Removed {
    fn add(&mut self, stat: &Stat) {
        self.merge(Self { count: 1, bytes: stat.st_size.unsigned_abs() });
    }

    const fn merge(&mut self, other: Self) {
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
}

impl Store {
    /// Removes what no named image and none of `keep_images` needs: objects, metadata images, layers, blobs,
    /// what dead processes left behind, and downloads that were given up.
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
        observer.begin(Phase::Scan, None, None);
        let needed = self
            .needed(&options.keep_images, objects_of, observer)
            .map_err(|source| Error::RootUnreadable { source: Box::new(source) })?;
        let mut sweep = Sweep { dry_run: options.dry_run, report: GcReport::default(), observer };
        observer.begin(Phase::Remove, None, None);
        self.sweep_tmp(&mut sweep)?;
        // What refers to objects goes before them.
        self.sweep_files(&needed, &mut sweep)?;
        self.sweep_objects(&needed, &mut sweep)?;
        if !options.dry_run && self.integrity() == Integrity::None {
            self.forget_removed(&needed)?;
        }
        Ok(sweep.report)
    }

    pub(crate) fn needed(
        &self,
        keep_images: &[ObjectId],
        objects_of: ObjectsOfImage<'_>,
        observer: &dyn Observer,
    ) -> Result<Needed> {
        let images = self.images()?;
        if let Some(damage) = images.damaged.into_iter().next() {
            return Err(damage.into());
        }
        let (mut needed, mut layers, mut metadata) = (Needed::default(), BTreeSet::new(), BTreeSet::new());
        for record in &images.records {
            layers.extend(record.layers.iter().map(|layer| layer.diff_id));
            needed.files.extend(record.blobs().map(|digest| blob_path(&digest)));
            // One that fsck has set aside: its layers say what is needed.
            if self.image_path(&record.image).exists() {
                metadata.insert(record.image);
            }
        }
        // Without its file nobody knows what a mounted image needs.
        metadata.extend(keep_images);
        for diff_id in layers {
            self.for_each_object_of_layer(&diff_id, |id, _| {
                needed.objects.push(id);
                Ok(())
            })?;
            needed.files.insert(layer_path(&diff_id));
            needed.merge_equal();
            observer.advance(1, 0);
        }
        for id in metadata {
            needed.objects.extend(self.objects_of(&id, objects_of)?);
            needed.files.insert(Path::new("images").join(image_file_name(&id)));
            needed.merge_equal();
            observer.advance(1, 0);
        }
        Ok(needed)
    }

    fn sweep_files(&self, needed: &Needed, sweep: &mut Sweep<'_>) -> Result<()> {
        self.sweep_directory(needed, sweep, "images", |report| &mut report.images)?;
        for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
            self.sweep_directory(needed, sweep, &format!("layers/{algorithm}"), |report| &mut report.layers)?;
            self.sweep_directory(needed, sweep, &format!("blobs/{algorithm}"), |report| &mut report.blobs)?;
        }
        Ok(())
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
        let Some(directory) = self.tmp.try_sub(partial::DIRECTORY)? else { return Ok(()) };
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
        let objects = needed.objects.iter().map(|id| (&self.objects, PathBuf::from(id.object_path()), *id));
        let images = needed.files.iter().filter_map(|path| {
            let name = path.strip_prefix("images").ok()?.to_str()?;
            Some((&self.images, PathBuf::from(name), crate::images::image_of_file_name(name)?))
        });
        let current = objects.chain(images).filter_map(|(directory, name, id)| match directory.stat(name) {
            Ok(stat) => stat.map(|stat| Ok(Fingerprint::new(&id, &stat))),
            Err(error) => Some(Err(error)),
        });
        self.verified.compact(&self.root, &self.tmp, current)
    }
}

impl Needed {
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
        self.observer.advance(1, stat.st_size.unsigned_abs());
        Ok(())
    }
}

/// The object that a file in `objects/FAN/` is named for.
pub(crate) fn object_of(fan: &str, name: &std::ffi::OsStr) -> Option<ObjectId> {
    [fan, name.to_str()?].concat().parse().ok()
}

fn is_fan(name: &str) -> bool {
    name.len() == 2 && name.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

fn age(stat: &Stat) -> Duration {
    let modified = SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(stat.st_mtime).unwrap_or(0));
    SystemTime::now().duration_since(modified).unwrap_or_default()
}
