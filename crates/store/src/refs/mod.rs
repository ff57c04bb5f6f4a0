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

pub use accepted::{Accepted, AcceptedEpoch, KeptSeal};
pub use epoch::{Epoch, EpochImage};
pub use history::HISTORY_MAX;
pub(crate) use history::History;
pub use name::REF_NAME_MAX_BYTES;
pub(crate) use name::file_name;
pub use named::Images;
pub use record::{ImageRecord, LayerDescriptor, ObjectForm, ObjectFormParseError, SeenAttestation};

use crate::documents::to_json;
use crate::error::{Error, Result};
use crate::store::Store;

impl Store {
    /// Gives the image in `record` the name in it; another image that had the name before goes into its
    /// [history](Self::history). Durable on return.
    ///
    /// What the record refers to must be committed. A record that is there and differs in the time only stays: it is the time
    /// when the name got the image.
    ///
    /// # Errors
    /// [`Error::EpochUnsealed`] when the name is remembered to have had a sealed image, and this is another one;
    /// [`Error::Name`]; [`Error::NameDigest`]; [`Error::Locked`]; [`Error::Algorithm`]; [`Error::RefDamaged`] when the
    /// history or epoch is damaged; failures of the system.
    pub fn set_image(&self, record: &ImageRecord) -> Result<()> {
        self.set_image_with(record, &Accepted::default()).map(drop)
    }

    /// As [`set_image`](Self::set_image), with what is known of the image's seal: that is kept, and [remembered](Self::remember_epoch)
    /// before the image gets the name. Nobody gets a name between these. Answers with the record that the name has then.
    ///
    /// # Errors
    /// As [`set_image`](Self::set_image), [`remember_epoch`](Self::remember_epoch); [`Error::SealTooLarge`].
    pub fn set_image_with(&self, record: &ImageRecord, accepted: &Accepted) -> Result<ImageRecord> {
        name::check(&record.name)?;
        check_digest(record)?;
        self.check_id(&record.metadata_image)?;
        let _lock = self.shared()?;
        if let Some(seal) = &accepted.seal {
            self.put_seal(&record.manifest, seal)?;
        }
        let _names = self.lock_names()?;
        self.settle_seals()?;
        let before = match self.image(&record.name) {
            // Nobody knows what it was.
            Err(Error::RefDamaged(_)) => None,
            other => other?,
        };
        let (same, before): (Vec<_>, Vec<_>) =
            before.into_iter().partition(|before| before.manifest == record.manifest);
        self.check_promise(record, accepted, same.is_empty())?;
        for epoch in &accepted.epochs {
            match self.remember_epoch_locked(epoch, record) {
                Err(Error::EpochOlder { .. } | Error::EpochSame { .. }) if accepted.agreed => {}
                other => other?,
            }
        }
        before.iter().try_for_each(|before| self.push_history(before))?;
        let kept = match same.first() {
            // One that was set aside, and did not come again, is nobody's any more.
            Some(same) if self.read_seal(same)?.is_some() => same.statement,
            _ => None,
        };
        let kept = record.statement.or(kept);
        let statement = accepted.seal.as_ref().map(|seal| seal.statement).or(kept);
        let mut record = record.clone().with_statement(statement);
        let seen_before = same.iter().flat_map(|same| &same.attestations);
        record.attestations.extend(seen_before.chain(&accepted.attestations).cloned());
        record.attestations.sort_unstable();
        record.attestations.dedup();
        match same.into_iter().next() {
            Some(same) if same.is_as(&record) => {
                // Whoever wrote it may have been interrupted before this.
                self.refs.sync()?;
                Ok(same)
            }
            _ => {
                self.put_record(&record)?;
                Ok(record)
            }
        }
    }

    /// Has the image in `record` kept in that form under its name. Durable on return. Answers with the record that the name
    /// has then.
    ///
    /// # Errors
    /// As [`check_same`](Self::check_same); [`Error::Locked`]; failures of the system.
    pub(crate) fn set_form(&self, record: &ImageRecord, objects: ObjectForm) -> Result<ImageRecord> {
        let _lock = self.shared()?;
        let _names = self.lock_names()?;
        self.settle_seals()?;
        let mut now = self.check_same(record)?;
        now.objects = objects;
        self.put_record(&now)?;
        Ok(now)
    }

    /// The record that the name in `record` has now, which must be the same. A seal that the name got meanwhile is no other
    /// image.
    ///
    /// # Errors
    /// [`Error::NameChanged`], also when the name is gone; [`Error::RefDamaged`]; failures of the system.
    pub(crate) fn check_same(&self, record: &ImageRecord) -> Result<ImageRecord> {
        let now = self.image(&record.name)?;
        let now = now.filter(|now| now.clone().without_words() == record.clone().without_words());
        now.ok_or_else(|| Error::NameChanged(record.name.clone()))
    }

    /// That no image without a seal gets a name that had one with a seal.
    fn check_promise(&self, record: &ImageRecord, accepted: &Accepted, is_other: bool) -> Result<()> {
        if accepted.agreed {
            return Ok(());
        }
        let is_sealed = accepted.epochs.iter().any(|epoch| epoch.name == record.name);
        let own = (is_other && !is_sealed).then_some(&record.name);
        for name in accepted.unsealed.iter().chain(own) {
            if let Some(known) = self.epoch(name)? {
                return Err(Error::EpochUnsealed { name: known.name, known: known.epoch });
            }
        }
        Ok(())
    }

    /// Puts the record of a name into its place.
    pub(crate) fn put_record(&self, record: &ImageRecord) -> Result<()> {
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
