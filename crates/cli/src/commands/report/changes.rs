//! What became of the image that had a name before.

use sealpack_page::{Change, ChangedFile, Difference, Totals};
use sealpack_store::{ImageRecord, Store};

use super::{images::time, packages};
use crate::commands::diff::{compare, shared};
use crate::error::CommandError;
use crate::show::differences::{self, Objects};

/// What differs from the image before; in words why that is not known; nothing where there was none.
pub(super) fn since_before(
    store: &Store,
    record: &ImageRecord,
) -> Result<Option<Result<Change, String>>, CommandError> {
    let earlier = store.history(&record.name)?;
    let before = earlier.into_iter().find(|before| before.manifest != record.manifest);
    Ok(before.map(|before| change(store, &before, record).map_err(|error| error.to_string())))
}

fn change(
    store: &Store,
    before: &ImageRecord,
    record: &ImageRecord,
) -> Result<Change, sealpack_store::Error> {
    let (first, second) = (store.tree(before)?, store.tree(record)?);
    let objects = shared(&first, &second);
    let packages = packages::changes(store, [(before, &first), (record, &second)]);
    let packages = packages.map_err(|error| error.to_string()).transpose();
    let totals = |Objects { number, bytes }: Objects| Totals { number: number as u64, bytes };
    let file = |differences::Difference { path, change }| {
        let difference = match change {
            differences::Change::Added => Difference::Added,
            differences::Change::Removed => Difference::Removed,
            differences::Change::Changed(what) => Difference::Changed(what),
        };
        ChangedFile { path, difference }
    };
    Ok(Change {
        before: before.manifest.to_string(),
        pulled: time(before.pulled_unix_seconds),
        both: totals(objects.both),
        gone: totals(objects.only_first),
        new: totals(objects.only_second),
        packages,
        files: compare(&first, &second).into_iter().map(file).collect(),
    })
}
