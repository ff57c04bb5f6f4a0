//! The images that have names.

use std::ffi::OsStr;

use super::record::ImageRecord;
use super::{file, name};
use crate::error::{Error, RefDamage, Result};
use crate::store::Store;

/// All named images, and the files in `refs/` that cannot be used.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Images {
    /// The records, sorted by name.
    pub records: Vec<ImageRecord>,
    /// One for each file that is not a record.
    pub damaged: Vec<RefDamage>,
}

impl Store {
    /// When names were given or taken away last, as the filesystem tells: as long as it is the same, and some time ago, so
    /// are the images.
    ///
    /// # Errors
    /// Failures of the system.
    pub fn names_changed(&self) -> Result<std::time::SystemTime> {
        let changed = std::fs::metadata(self.refs.path()).and_then(|status| status.modified());
        changed.map_err(|e| Error::io("look at", self.refs.path(), e))
    }

    /// The image called `name`, if there is one.
    ///
    /// # Errors
    /// [`Error::Name`](crate::Error::Name) for what cannot be a name; [`Error::RefDamaged`](crate::Error::RefDamaged); failures of the system.
    pub fn image(&self, name: &str) -> Result<Option<ImageRecord>> {
        name::check(name)?;
        // Before the record: what is moved meanwhile is in one of them.
        let old = self.old_seals()?;
        let record = file::read::<ImageRecord>(self, &self.refs, OsStr::new(&name::file_name(name)))?;
        Ok(record.map(|record| old.name_in(record)))
    }

    /// All named images, sorted by name. A damaged file does not hide the others.
    ///
    /// # Errors
    /// Failures of the system.
    pub fn images(&self) -> Result<Images> {
        let old = self.old_seals()?;
        let (records, damaged) = file::read_all::<ImageRecord>(self, &self.refs)?;
        let mut records: Vec<_> = records.into_iter().map(|record| old.name_in(record)).collect();
        records.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(Images { records, damaged })
    }
}
