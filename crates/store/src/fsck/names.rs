//! The names, and what is kept of each beside its image.

use std::path::PathBuf;

use super::report::FsckReport;
use crate::error::{RefDamage, Result};
use crate::places::{HISTORY, REFS};
use crate::problem::ProblemKind;
use crate::refs::{ImageRecord, file_name};
use crate::store::Store;

/// What is behind the name of an image that had it before.
const EARLIER: &str = " (earlier)";

/// The names, what had them before, and what is remembered of them.
pub(super) struct Names {
    /// Earlier images have names that say so.
    pub(super) records: Vec<ImageRecord>,
    earlier: usize,
    epochs: usize,
    /// The files that are not what they should be.
    pub(super) damaged: Vec<(ProblemKind, RefDamage)>,
}

impl Names {
    pub(super) fn read(store: &Store) -> Result<Self> {
        let images = store.images()?;
        let (histories, damaged_histories) = store.histories()?;
        let (epochs, damaged_epochs) = store.epochs()?;
        let mut damaged = Vec::new();
        for (kind, of_kind) in [
            (ProblemKind::DamagedName, images.damaged),
            (ProblemKind::DamagedHistory, damaged_histories),
            (ProblemKind::DamagedEpoch, damaged_epochs),
        ] {
            damaged.extend(of_kind.into_iter().map(|damage| (kind, damage)));
        }
        let mut records = images.records;
        let names = records.len();
        for history in &histories {
            let current = records[..names].iter().find(|record| record.name == history.name);
            // Without the name, the next gc drops the history.
            let mut earlier = current.map(|current| history.earlier_than(Some(current))).unwrap_or_default();
            earlier.iter_mut().for_each(|record| record.name += EARLIER);
            records.append(&mut earlier);
        }
        Ok(Self { earlier: records.len() - names, epochs: epochs.len(), records, damaged })
    }

    /// The file that has a record, by its place among [`records`](Self::records).
    pub(super) fn file_of(&self, store: &Store, place: usize) -> PathBuf {
        let directory = if place < self.records.len() - self.earlier { REFS } else { HISTORY };
        let name = self.records[place].name.trim_end_matches(EARLIER);
        store.root.at(directory).join(file_name(name))
    }

    /// How many there are.
    pub(super) fn report(&self) -> FsckReport {
        let (names, earlier) = (self.records.len() - self.earlier, self.earlier);
        let [names, earlier, epochs] = [names, earlier, self.epochs].map(|count| count as u64);
        FsckReport { names, earlier, epochs, ..FsckReport::default() }
    }
}
