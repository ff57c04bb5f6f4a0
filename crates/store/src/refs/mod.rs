//! Names, and the images they stand for.

mod name;
mod record;

use std::ffi::OsStr;
use std::path::Path;

pub use name::REF_NAME_MAX_BYTES;
pub use record::{ImageRecord, LayerDescriptor, ObjectForm, ObjectFormParseError};

use crate::blobs::read_at_most;
use crate::error::{Error, RefDamage, Result};
use crate::store::Store;

/// More bytes than the record of any image has: 500 layers (overlayfs's limit) take 150 KiB.
const RECORD_MAX_BYTES: u64 = 16 * 1024 * 1024;

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
    /// [`Error::Name`] for what cannot be a name; [`Error::RefDamaged`]; failures of the system.
    pub fn image(&self, name: &str) -> Result<Option<ImageRecord>> {
        name::check(name)?;
        self.read_ref(OsStr::new(&name::file_name(name)))
    }

    /// All named images, sorted by name. A damaged file does not hide the others.
    ///
    /// # Errors
    /// Failures of the system.
    pub fn images(&self) -> Result<Images> {
        let mut images = Images::default();
        for entry in self.refs.entries()? {
            match self.read_ref(&entry.name) {
                Ok(Some(record)) => images.records.push(record),
                // Removed since the directory was read.
                Ok(None) => {}
                Err(Error::RefDamaged(damage)) => images.damaged.push(damage),
                Err(error) => return Err(error),
            }
        }
        images.records.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(images)
    }

    /// Gives the image in `record` the name in it; what had the name before loses it. Durable on return.
    ///
    /// What the record refers to must be committed.
    ///
    /// # Errors
    /// [`Error::Name`]; [`Error::Locked`]; [`Error::Algorithm`]; failures of the system.
    pub fn set_image(&self, record: &ImageRecord) -> Result<()> {
        name::check(&record.name)?;
        self.check_id(&record.image)?;
        let _lock = self.shared()?;
        let mut json =
            serde_json::to_vec_pretty(record).map_err(|e| Error::io("write", self.refs.path(), e))?;
        json.push(b'\n');
        self.put_file(&self.refs, Path::new(&name::file_name(&record.name)), &json, 0o644)
    }

    /// Takes the name `name` away. The image's contents stay until [`gc`](Self::gc). Answers whether there
    /// was such a name. A damaged file goes too.
    ///
    /// # Errors
    /// [`Error::Name`]; [`Error::Locked`]; failures of the system.
    pub fn remove_image(&self, name: &str) -> Result<bool> {
        name::check(name)?;
        let _lock = self.shared()?;
        let removed = self.refs.unlink(name::file_name(name))?;
        self.refs.sync()?;
        Ok(removed)
    }

    fn read_ref(&self, file_name: &OsStr) -> Result<Option<ImageRecord>> {
        let damage = |what: String| Error::from(RefDamage { path: self.refs.at(file_name), what });
        let json = match read_at_most(&self.refs, file_name, RECORD_MAX_BYTES) {
            Err(Error::Io { source, .. }) => return Err(damage(source.to_string())),
            other => other?,
        };
        let Some(json) = json else { return Ok(None) };
        let record = ImageRecord::parse(&json).map_err(damage)?;
        if *name::file_name(&record.name) != *file_name {
            return Err(damage(format!("it is about {:?}, which has another file name", record.name)));
        }
        if name::check(&record.name).is_err() {
            return Err(damage("the name in it cannot be a name".to_owned()));
        }
        if record.image.algorithm() != self.algorithm() {
            return Err(damage(format!("its image is not named by {}", self.algorithm())));
        }
        Ok(Some(record))
    }
}
