//! Removing files, or counting what would be removed.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use rustix::fs::Stat;

use super::needed::Needed;
use super::report::{GcReport, PARTIAL_KEPT, Removed};
use crate::dir::Dir;
use crate::error::Result;
use crate::observer::{Event, Observer};
use crate::places::{ALGORITHMS, BLOBS, IMAGES, LAYERS, PACKS, PARTIAL, SEALS, object_of};
use crate::store::Store;

/// How many threads remove objects.
const REMOVERS: usize = 8;

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

impl Store {
    pub(super) fn sweep_files(&self, needed: &Needed, sweep: &mut Sweep<'_>) -> Result<()> {
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
            if id.is_some_and(|id| !needed.objects.contains(&id)) {
                sweep.remove(&directory, Path::new(&entry.name), |report| &mut report.objects)?;
            }
        }
        if !sweep.dry_run {
            self.objects.remove_empty(fan)?;
        }
        Ok(())
    }

    pub(super) fn sweep_tmp(&self, sweep: &mut Sweep<'_>) -> Result<()> {
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
}

fn age(stat: &Stat) -> Duration {
    let modified = SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(stat.st_mtime).unwrap_or(0));
    SystemTime::now().duration_since(modified).unwrap_or_default()
}
