//! Names, and the images they stand for.

mod accepted;
mod epoch;
mod file;
mod history;
mod name;
mod named;
mod record;

use std::path::Path;

use sealpack_format::reference::Reference;

pub use accepted::Accepted;
pub use epoch::Epoch;
pub use history::HISTORY_MAX;
pub(crate) use history::History;
pub use name::REF_NAME_MAX_BYTES;
pub use named::Images;
pub use record::{ImageRecord, LayerDescriptor, ObjectForm, ObjectFormParseError};

use crate::documents::to_json;
use crate::error::{Error, Result};
use crate::store::Store;

impl Store {
    /// Gives the image in `record` the name in it; another image that had the name before goes into its
    /// [history](Self::history). Durable on return.
    ///
    /// What the record refers to must be committed.
    ///
    /// # Errors
    /// [`Error::Name`]; [`Error::NameDigest`]; [`Error::Locked`]; [`Error::Algorithm`]; [`Error::RefDamaged`] when the
    /// history is damaged; failures of the system.
    pub fn set_image(&self, record: &ImageRecord) -> Result<()> {
        self.set_image_of_epochs(record, &Accepted::default())
    }

    /// As [`set_image`](Self::set_image), after it has [remembered](Self::remember_epoch) the epochs of what was accepted, and
    /// looked for those that must not be there. Nobody gets a name between these.
    pub(crate) fn set_image_of_epochs(&self, record: &ImageRecord, accepted: &Accepted) -> Result<()> {
        name::check(&record.name)?;
        check_digest(record)?;
        self.check_id(&record.metadata_image)?;
        let _lock = self.shared()?;
        let _names = self.lock_names()?;
        for name in &accepted.unsealed {
            if let Some(known) = self.epoch(name)? {
                return Err(Error::EpochUnsealed { name: known.name, known: known.epoch });
            }
        }
        for (name, epoch) in &accepted.epochs {
            self.remember_epoch_locked(name, *epoch, &record.manifest)?;
        }
        let before = match self.image(&record.name) {
            // Nobody knows what it was.
            Err(Error::RefDamaged(_)) => None,
            other => other?,
        };
        if let Some(before) = before.filter(|before| before.manifest != record.manifest) {
            self.push_history(&before)?;
        }
        let json = to_json(record).map_err(|e| Error::io("write", self.refs.path(), e))?;
        self.put_file(&self.refs, Path::new(&name::file_name(&record.name)), &json, 0o644)
    }

    /// Takes the name `name` away, and its history. The images' contents stay until [`gc`](Self::gc). Answers
    /// whether there was such a name. Damaged files go too.
    ///
    /// # Errors
    /// [`Error::Name`]; [`Error::Locked`]; failures of the system.
    pub fn remove_image(&self, name: &str) -> Result<bool> {
        name::check(name)?;
        let _lock = self.shared()?;
        let _names = self.lock_names()?;
        // First: whoever has the name next does not inherit it.
        self.remove_history(name)?;
        let removed = self.refs.unlink(name::file_name(name))?;
        self.refs.sync()?;
        Ok(removed)
    }
}

/// A name with a digest is that of one image: of the manifest, or of one from the index, that has the digest.
fn check_digest(record: &ImageRecord) -> Result<()> {
    let reference = record.name.parse::<Reference>().ok();
    let Some(digest) = reference.as_ref().and_then(Reference::digest) else { return Ok(()) };
    if *digest == record.manifest || Some(digest) == record.index.as_ref() {
        return Ok(());
    }
    Err(Error::NameDigest { name: record.name.clone(), manifest: record.manifest })
}
