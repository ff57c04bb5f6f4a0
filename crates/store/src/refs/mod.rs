//! Names, and the images they stand for.

mod name;
mod record;

use std::ffi::OsStr;
use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};

pub use name::REF_NAME_MAX_BYTES;
pub use record::{ImageRecord, LayerDescriptor};

use crate::backend::sync_file;
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
        let temporary = temporary_name();
        let path = self.tmp.at(&temporary);
        let written = self.tmp.create(&temporary, 0o644).and_then(|mut file| {
            file.write_all(&json).map_err(|e| Error::io("write", &path, e))?;
            sync_file(&file, &path)?;
            self.tmp.rename(&temporary, &self.refs, name::file_name(&record.name))
        });
        if written.is_err() {
            // The first error is the one to tell; gc removes what this leaves.
            let _ = self.tmp.unlink(&temporary);
        }
        written?;
        self.refs.sync()
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

/// A name that no other file in `tmp/` has: gc removes leftovers under the exclusive lock,
/// so those of dead processes with the same number are the only others; create refuses to reuse them.
fn temporary_name() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let next = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("ref-{}-{}-{next}", std::process::id(), now.as_nanos())
}
