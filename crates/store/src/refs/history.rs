//! Which images had a name before.

use std::ffi::OsStr;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::file::{self, OfName};
use super::name;
use super::record::ImageRecord;
use crate::dir::Dir;
use crate::documents::to_json;
use crate::error::{Error, RefDamage, Result};
use crate::meta::Feature;
use crate::places::HISTORY;
use crate::seals::OldSeals;
use crate::store::Store;

/// The most earlier images that are known of one name.
pub const HISTORY_MAX: usize = 8;

/// The content of a file in `history/`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct History {
    version: u64,
    pub(crate) name: String,
    /// The newest first.
    pub(crate) records: Vec<ImageRecord>,
}

impl OfName for History {
    const WHAT: &'static str = "the history of a name";
    const VERSION: u64 = 1;

    fn name(&self) -> &str {
        &self.name
    }

    fn problem(&self, store: &Store) -> Option<String> {
        if self.records.len() > HISTORY_MAX {
            return Some(format!("it has {} images, more than {HISTORY_MAX}", self.records.len()));
        }
        self.records.iter().find_map(|record| {
            if record.name != self.name {
                return Some(format!("an image in it is called {:?}", record.name));
            }
            record.problem(store)
        })
    }
}

impl Store {
    /// The images that had the name `name` before the one that has it, the newest first. None of them has the
    /// manifest of that one, nor of another of them.
    ///
    /// # Errors
    /// [`Error::Name`]; [`Error::RefDamaged`]; failures of the system.
    pub fn history(&self, name: &str) -> Result<Vec<ImageRecord>> {
        name::check(name)?;
        let Some(directory) = self.root.try_sub(HISTORY)? else { return Ok(Vec::new()) };
        let (old, file_name) = (self.old_seals()?, name::file_name(name));
        let Some(history) = file::read::<History>(self, &directory, OsStr::new(&file_name))? else {
            return Ok(Vec::new());
        };
        Ok(history.with_seals(&old).earlier_than(self.image(name)?.as_ref()))
    }

    /// All histories, and the files that are none.
    pub(crate) fn histories(&self) -> Result<(Vec<History>, Vec<RefDamage>)> {
        match self.root.try_sub(HISTORY)? {
            Some(directory) => {
                let old = self.old_seals()?;
                let (histories, damaged) = file::read_all::<History>(self, &directory)?;
                Ok((histories.into_iter().map(|history| history.with_seals(&old)).collect(), damaged))
            }
            None => Ok((Vec::new(), Vec::new())),
        }
    }

    /// Puts `record`, which is about to lose its name, at the front of the name's history. Durable on return.
    ///
    /// Interrupted before the name changes, this leaves the image that has the name in its history too, which
    /// means nothing.
    pub(super) fn push_history(&self, record: &ImageRecord) -> Result<()> {
        self.enable_feature(Feature::History)?;
        let directory = self.root.sub(HISTORY)?;
        let file_name = name::file_name(&record.name);
        let history = file::read::<History>(self, &directory, OsStr::new(&file_name))?;
        let mut records = vec![record.clone()];
        let others = history.map(|history| history.records).unwrap_or_default();
        records.extend(others.into_iter().filter(|other| other.manifest != record.manifest));
        records.truncate(HISTORY_MAX);
        self.put_history(&directory, &History::new(record.name.clone(), records))
    }

    pub(crate) fn put_history(&self, directory: &Dir, history: &History) -> Result<()> {
        self.put_file(directory, Path::new(&history.file_name()), &history.to_json()?, 0o644)
    }

    /// Removes the history of `name`, a damaged one too.
    pub(crate) fn remove_history(&self, name: &str) -> Result<()> {
        let Some(directory) = self.root.try_sub(HISTORY)? else { return Ok(()) };
        if directory.unlink(name::file_name(name))? { directory.sync() } else { Ok(()) }
    }
}

impl History {
    pub(crate) const fn new(name: String, records: Vec<ImageRecord>) -> Self {
        Self { version: Self::VERSION, name, records }
    }

    fn with_seals(mut self, old: &OldSeals) -> Self {
        self.records = self.records.into_iter().map(|record| old.name_in(record)).collect();
        self
    }

    /// Its file in `history/`.
    pub(crate) fn file_name(&self) -> String {
        name::file_name(&self.name)
    }

    pub(crate) fn to_json(&self) -> Result<Vec<u8>> {
        to_json(self).map_err(|e| Error::io("write", HISTORY, e))
    }

    /// The images in it without `current`, which has the name.
    pub(crate) fn earlier_than(&self, current: Option<&ImageRecord>) -> Vec<ImageRecord> {
        let is_current = |record: &ImageRecord| current.is_some_and(|it| it.manifest == record.manifest);
        self.records.iter().filter(|record| !is_current(record)).cloned().collect()
    }
}
