//! The images that have names.

use std::ffi::OsStr;

use super::record::ImageRecord;
use super::{file, name};
use crate::error::{RefDamage, Result};
use crate::store::Store;

/// All named images, and the files in `refs/` that cannot be used.
#[derive(Debug, Default)]
pub struct Images {
    /// The records, sorted by name.
    pub records: Vec<ImageRecord>,
    /// One for each file that is not a record.
    pub damaged: Vec<RefDamage>,
}

impl Store {
    /// The image called `name`, if there is one.
    ///
    /// # Errors
    /// [`Error::Name`](crate::Error::Name) for what cannot be a name; [`Error::RefDamaged`](crate::Error::RefDamaged); failures of the system.
    pub fn image(&self, name: &str) -> Result<Option<ImageRecord>> {
        name::check(name)?;
        file::read(self, &self.refs, OsStr::new(&name::file_name(name)))
    }

    /// All named images, sorted by name. A damaged file does not hide the others.
    ///
    /// # Errors
    /// Failures of the system.
    pub fn images(&self) -> Result<Images> {
        let (mut records, damaged) = file::read_all::<ImageRecord>(self, &self.refs)?;
        records.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(Images { records, damaged })
    }
}
