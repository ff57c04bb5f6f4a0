//! How long the histories of names stay.

use super::report::{GcOptions, Tally};
use super::sweep::Sweep;
use crate::error::Result;
use crate::places::HISTORY;
use crate::refs::{History, ImageRecord};
use crate::store::Store;

/// What a gc leaves of a history.
pub(crate) struct Trimmed {
    pub(crate) kept: History,
    /// How many images are left out.
    dropped: usize,
}

impl Store {
    /// Of each history the part that gc keeps: the newest images that are not the one with the name, as many as the options
    /// say, and those that are not old by them; none where no image has the name any more.
    pub(crate) fn histories_to_keep(
        &self,
        images: &[ImageRecord],
        options: &GcOptions,
    ) -> Result<Vec<Trimmed>> {
        let (histories, damaged) = self.histories()?;
        if let Some(damage) = damaged.into_iter().next() {
            return Err(damage.into());
        }
        let trim = |history: History| {
            let current = images.iter().find(|record| record.name == history.name);
            let mut kept = current.map(|current| history.earlier_than(Some(current))).unwrap_or_default();
            let mut place = 0..;
            kept.retain(|record| {
                let is_young =
                    options.keep_pulled_since.is_some_and(|since| record.pulled_unix_seconds >= since);
                place.next().is_some_and(|place| place < options.keep_previous) || is_young
            });
            Trimmed { dropped: history.records.len() - kept.len(), kept: History::new(history.name, kept) }
        };
        Ok(histories.into_iter().map(trim).collect())
    }

    /// Makes the histories so short. Durable on return.
    pub(crate) fn trim_histories(&self, trimmed: &[Trimmed], sweep: &mut Sweep<'_>) -> Result<()> {
        let changed = trimmed.iter().filter(|history| history.dropped > 0);
        for Trimmed { kept, dropped } in changed {
            let directory = self.root.sub(HISTORY)?;
            let before = directory.stat(kept.file_name())?.map_or(0, |stat| stat.st_size.unsigned_abs());
            let after = if kept.records.is_empty() { 0 } else { kept.to_json()?.len() as u64 };
            if !sweep.dry_run && kept.records.is_empty() {
                self.remove_history(&kept.name)?;
            } else if !sweep.dry_run {
                self.put_history(&directory, kept)?;
            }
            let removed = Tally { count: *dropped as u64, bytes: before.saturating_sub(after) };
            sweep.report.earlier.merge(removed);
        }
        Ok(())
    }
}
