//! Checking everything, and setting aside what is wrong.

mod follow;
mod names;
mod packs;
mod repair;
pub(crate) mod scan;
mod threads;

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use crate::error::Result;
use crate::images::ObjectsOfImage;
use crate::lock::LockKind;
use crate::observer::{Event, Observer, Phase};
use crate::store::Store;

/// What [`Store::fsck`] does.
#[derive(Debug, Clone, Default)]
pub struct FsckOptions {
    /// Move what is damaged to `quarantine/`, so that the next pull of the images that need it brings it back.
    pub repair: bool,
    /// How many threads hash; as many as the machine runs at once when `None`.
    pub threads: Option<NonZeroUsize>,
    /// How long to wait for the lock: an exclusive one to repair, a shared one otherwise.
    pub wait: Duration,
}

/// What [`Store::fsck`] found.
#[derive(Debug, Clone, Default)]
pub struct FsckReport {
    /// How many objects were hashed.
    pub objects: u64,
    /// Their bytes.
    pub object_bytes: u64,
    /// How many packs were verified.
    pub packs: u64,
    /// The bytes of the undamaged ones.
    pub pack_bytes: u64,
    /// How many metadata images were hashed and read.
    pub images: u64,
    /// How many records of layers were read.
    pub layers: u64,
    /// How many blobs were hashed.
    pub blobs: u64,
    /// How many seals were read.
    pub seals: u64,
    /// How many names were followed.
    pub names: u64,
    /// How many images that had a name before were followed.
    pub earlier: u64,
    /// How many remembered epochs were read.
    pub epochs: u64,
    /// What is wrong.
    pub problems: Vec<Problem>,
}

impl FsckReport {
    /// Whether nothing is wrong.
    #[must_use]
    pub const fn is_clean(&self) -> bool {
        self.problems.is_empty()
    }
}

/// Something wrong in a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// What kind of thing it is about.
    pub kind: ProblemKind,
    /// The file that is damaged, missing or superfluous.
    pub path: PathBuf,
    /// What is wrong with it.
    pub what: String,
    /// The names of the images that need it, sorted; with `(earlier)` behind it, that of an image that had the name
    /// before.
    pub images: Vec<String>,
    /// Where it was moved to.
    pub quarantined: Option<PathBuf>,
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.path.display(), self.what)?;
        if !self.images.is_empty() {
            write!(f, "; needed by {}", self.images.join(", "))?;
        }
        if let Some(path) = &self.quarantined {
            write!(f, "; moved to {}", path.display())?;
        }
        Ok(())
    }
}

/// The kinds of problems.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ProblemKind {
    /// The file of a name is not a record.
    DamagedName,
    /// The file of a name's history is none.
    DamagedHistory,
    /// The file of a name's epoch is none.
    DamagedEpoch,
    /// An object's content is not the one of its name.
    DamagedObject,
    /// A pack is not the one of its name, or no pack.
    DamagedPack,
    /// A metadata image's content is not the one of its name, or not a metadata image.
    DamagedImage,
    /// A layer's record is damaged.
    DamagedLayer,
    /// The record of a layer's pack is damaged, or wrong.
    DamagedPackRecord,
    /// A hash area is not that of its metadata image.
    DamagedImageTree,
    /// A blob's content is not the one of its name.
    DamagedBlob,
    /// A seal cannot be one.
    DamagedSeal,
    /// A layer's record names objects that are missing or damaged, and its pack does not have them either.
    IncompleteLayer,
    /// A metadata image refers to objects that are missing or damaged in the form that the image is kept in.
    IncompleteImage,
    /// A named image has no metadata image.
    MissingImage,
    /// A named image lacks the record of a layer.
    MissingLayer,
    /// An image in packs lacks the pack of a layer, or the record of it.
    MissingPack,
    /// A named image lacks a blob.
    MissingBlob,
    /// Something that no store has there.
    Stray,
}

impl Store {
    /// Hashes all that is there, on all processors, and follows every reference: name to blobs, layers, packs
    /// and metadata image, and from these to objects. Of packs every byte is checked, and that they are the
    /// packs of their layers.
    ///
    /// With `repair`, what is damaged goes to `quarantine/`, and records of incomplete layers with it; the
    /// next pull of the images named in the report brings back what they need.
    ///
    /// # Errors
    /// [`Error::Locked`](crate::Error::Locked); failures of the system. Damage is a problem in the report, not an error.
    pub fn fsck(
        &self,
        options: &FsckOptions,
        objects_of: ObjectsOfImage<'_>,
        observer: &dyn Observer,
    ) -> Result<FsckReport> {
        let kind = if options.repair { LockKind::Exclusive } else { LockKind::Shared };
        let _lock = self.lock(kind, options.wait)?;
        observer.event(&Event::Began { phase: Phase::Scan, items: None });
        // Names first: whatever is committed meanwhile was there before its name.
        let names = names::Names::read(self)?;
        let mut found = scan::scan(self)?;
        let mut report = names.report();
        observer.event(&Event::Began {
            phase: Phase::Hash,
            items: Some((found.objects.len() + found.packs.len()) as u64),
        });
        let threads = options.threads.or_else(|| std::thread::available_parallelism().ok());
        let threads = threads.map_or(1, NonZeroUsize::get);
        scan::hash_objects(self, &mut found, threads, observer, &mut report)?;
        let packs = packs::verify_packs(self, &found, threads, observer, &mut report)?;
        observer.event(&Event::Began { phase: Phase::Follow, items: None });
        report.problems = follow::follow(self, &names, (found, packs), objects_of, observer, &mut report)?;
        if options.repair {
            repair::quarantine(self, &mut report.problems)?;
        }
        self.save_memory()?;
        report.problems.iter().for_each(|problem| observer.event(&Event::Problem(problem)));
        Ok(report)
    }

    /// What was verified is worth remembering, but not an error where nothing can be written.
    fn save_memory(&self) -> Result<()> {
        match self.verified.save(&self.root) {
            Err(crate::Error::ReadOnly { .. } | crate::Error::Permission { .. }) => Ok(()),
            other => other,
        }
    }
}
