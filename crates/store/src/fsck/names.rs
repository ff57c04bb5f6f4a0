//! The names, and what is kept of each beside its image.

use super::report::FsckReport;
use crate::error::{RefDamage, Result};
use crate::problem::ProblemKind;
use crate::refs::ImageRecord;
use crate::store::Store;

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
            earlier.iter_mut().for_each(|record| record.name += " (earlier)");
            records.append(&mut earlier);
        }
        Ok(Self { earlier: records.len() - names, epochs: epochs.len(), records, damaged })
    }

    /// How many there are.
    pub(super) fn report(&self) -> FsckReport {
        let (names, earlier) = (self.records.len() - self.earlier, self.earlier);
        let [names, earlier, epochs] = [names, earlier, self.epochs].map(|count| count as u64);
        FsckReport { names, earlier, epochs, ..FsckReport::default() }
    }
}
