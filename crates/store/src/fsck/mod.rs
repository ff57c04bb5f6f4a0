//! Checking everything, and setting aside what is wrong.

mod follow;
mod names;
mod objects;
mod packs;
mod repair;
mod report;

use std::num::NonZeroUsize;

pub use objects::ObjectFault;
pub use report::{FsckOptions, FsckReport};

use crate::error::Result;
use crate::images::ObjectsOfImage;
use crate::inventory;
use crate::lock::LockKind;
use crate::modes;
use crate::observer::{Event, Observer, Phase};
use crate::problem::{MisfitsOf, Problem, ProblemKind};
use crate::store::Store;

impl Store {
    /// Hashes all that is there, on all processors, and follows every reference: name to blobs, layers, packs
    /// and metadata image, and from these to objects. Of packs every byte is checked, and that they are the
    /// packs of their layers. Whether the parts of an image belong together, `misfits_of` says.
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
        misfits_of: MisfitsOf<'_>,
        observer: &dyn Observer,
    ) -> Result<FsckReport> {
        let kind = if options.repair { LockKind::Exclusive } else { LockKind::Shared };
        let _lock = self.lock(kind, options.wait)?;
        observer.event(&Event::Began { phase: Phase::Scan, items: None });
        // Names first: whatever is committed meanwhile was there before its name.
        let names = names::Names::read(self)?;
        let inventory = inventory::take(self)?;
        let mut report = names.report();
        observer.event(&Event::Began {
            phase: Phase::Hash,
            items: Some((inventory.objects.len() + inventory.packs.len()) as u64),
        });
        let threads = options.threads.or_else(|| std::thread::available_parallelism().ok());
        let threads = threads.map_or(1, NonZeroUsize::get);
        let damaged = objects::hash_objects(self, &inventory.objects, threads, observer, &mut report)?;
        let packs = packs::verify_packs(self, &inventory, threads, observer, &mut report)?;
        observer.event(&Event::Began { phase: Phase::Follow, items: None });
        report.problems = follow::follow(
            self,
            &names,
            (inventory, damaged, packs),
            (objects_of, misfits_of),
            (threads, observer),
            &mut report,
        )?;
        if let Some(mode) = self.found_loose {
            report.problems.push(Problem {
                kind: ProblemKind::LooseMode,
                path: self.path().to_owned(),
                what: modes::what(mode, modes::of(&self.root)?),
                images: Vec::new(),
                quarantined: None,
            });
        }
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
