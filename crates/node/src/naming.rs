//! Names that images of the store get here, and what is remembered of the names: one that had an image with a seal gets
//! none without, nor an older one, whichever way.

use sealpack_format::BlobDigest;
use sealpack_format::reference::Reference;
use sealpack_store::{Accepted, AcceptedEpoch, Epoch, ImageRecord, Store};
use sealpack_trust::seal::{Seal, Statement};

use crate::Error;
use crate::seals;

/// Why an image does not get a name.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NamingError {
    /// It has no seal.
    #[error("{name} had an image with a seal of epoch {known}, and {manifest} has none here")]
    Unsealed {
        /// The name.
        name: String,
        /// The highest epoch of a seal that was accepted for it.
        known: u64,
        /// The image's manifest.
        manifest: BlobDigest,
    },
    /// Its seal is for other names than the seals before.
    #[error("{name} had an image with a seal for that name, and the seal of {manifest} is for {}", sealed.join(" and "))]
    OtherNames {
        /// The name.
        name: String,
        /// The image's manifest.
        manifest: BlobDigest,
        /// The names that the seal is for.
        sealed: Vec<String>,
    },
    /// Its seal is older.
    #[error(
        "{name} had an image with a seal of epoch {known}, and {manifest} is an older image, of epoch {epoch}"
    )]
    Older {
        /// The name.
        name: String,
        /// The highest epoch of a seal that was accepted for it.
        known: u64,
        /// The image's manifest.
        manifest: BlobDigest,
        /// The epoch of its seal.
        epoch: u64,
    },
    /// Its seal has the same epoch as that of another image of the platform, and was made no later.
    #[error(
        "{name} had {known}, whose seal has the same epoch, {epoch}, and was made no earlier than that of {manifest}"
    )]
    SameEpoch {
        /// The name.
        name: String,
        /// The epoch of both.
        epoch: u64,
        /// The manifest of the image before.
        known: BlobDigest,
        /// The image's manifest.
        manifest: BlobDigest,
    },
}

/// Gives an image of the store a further name, and its seal with that. Where `allow_rollback`, what is remembered of the name
/// does not matter; it stays, or rises. Answers with the record that the name has then.
///
/// # Errors
///
/// [`NamingError`]; of the store, and where the image's seal is none of it.
pub fn tag(
    store: &Store,
    record: &ImageRecord,
    name: &Reference,
    allow_rollback: bool,
) -> Result<ImageRecord, Error> {
    let mut named = record.clone();
    let before = std::mem::replace(&mut named.name, name.to_string());
    // Its seal goes on being for the name that it was pulled by.
    named.pulled_as = Some(named.pulled_as.unwrap_or(before)).filter(|name| *name != named.name);
    let now = store.image(&named.name)?.filter(|now| now.manifest == named.manifest);
    if let Some(statement) = now.as_ref().and_then(|now| now.statement) {
        // The name has a seal of its own for just this image.
        named.statement = Some(statement);
    }
    let seal = seals::checked(store, &named)?.transpose()?;
    let statement = seal.as_ref().map(Seal::statement);
    let mut accepted = Accepted { agreed: allow_rollback, ..Accepted::default() };
    if let Some(known) = store.epoch(&named.name)?.filter(|_| !allow_rollback && now.is_none()) {
        check(&known, &named, statement)?;
    }
    if let Some(statement) = statement.filter(|_| has_tag_only(name))
        && was_accepted(store, statement)?
    {
        accepted.epochs.push(epoch_of(&named, statement));
    }
    Ok(store.set_image_with(&named, &accepted)?)
}

/// Gives a name back to an image that had it before, whatever the epoch of its seal; but where the name had images with seals, it
/// must have one.
///
/// # Errors
///
/// [`NamingError::Unsealed`]; of the store, and where the image's seal is none of it.
pub fn go_back(store: &Store, record: &ImageRecord) -> Result<ImageRecord, Error> {
    let seal = seals::checked(store, record)?.transpose()?;
    if let Some(known) = store.epoch(&record.name)?.filter(|_| seal.is_none()) {
        let (name, manifest) = (record.name.clone(), record.manifest);
        return Err(NamingError::Unsealed { name, known: known.epoch, manifest }.into());
    }
    Ok(store.set_image_with(record, &Accepted { agreed: true, ..Accepted::default() })?)
}

/// Remembers of an image's name that it has a seal that counts here. What is remembered does not fall.
///
/// # Errors
///
/// Of the store.
pub(crate) fn remember(store: &Store, record: &ImageRecord, statement: &Statement) -> Result<(), Error> {
    if !record.name.parse::<Reference>().is_ok_and(|name| has_tag_only(&name)) {
        return Ok(());
    }
    match store.remember_epoch(&epoch_of(record, statement), record) {
        Err(sealpack_store::Error::EpochOlder { .. } | sealpack_store::Error::EpochSame { .. }) => Ok(()),
        other => Ok(other?),
    }
}

/// Whether a name can mean one image now, and another later.
fn has_tag_only(name: &Reference) -> bool {
    name.digest().is_none()
}

/// Whether a seal was accepted for any of its names: then one is remembered for it.
fn was_accepted(store: &Store, statement: &Statement) -> Result<bool, Error> {
    for name in statement.names() {
        if store.epoch(name.as_str())?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

fn epoch_of(record: &ImageRecord, statement: &Statement) -> AcceptedEpoch {
    AcceptedEpoch {
        name: record.name.clone(),
        epoch: statement.epoch(),
        created_unix_seconds: statement.created().unix_seconds(),
        given: !is_for(statement, &record.name),
    }
}

fn is_for(statement: &Statement, name: &str) -> bool {
    statement.names().iter().any(|sealed| sealed.as_str() == name)
}

/// That the image in `record` may come after what is known of its name.
fn check(known: &Epoch, record: &ImageRecord, statement: Option<&Statement>) -> Result<(), NamingError> {
    let (name, manifest) = (record.name.clone(), record.manifest);
    let Some(statement) = statement else {
        return Err(NamingError::Unsealed { name, known: known.epoch, manifest });
    };
    let epoch = statement.epoch();
    if !known.given && !is_for(statement, &name) {
        let sealed = statement.names().iter().map(ToString::to_string).collect();
        return Err(NamingError::OtherNames { name, manifest, sealed });
    }
    if epoch < known.epoch {
        return Err(NamingError::Older { name, known: known.epoch, manifest, epoch });
    }
    let image = known.platforms.get(&record.platform).filter(|_| epoch == known.epoch);
    let created = statement.created().unix_seconds();
    match image {
        Some(image) if image.manifest != manifest && created <= image.created_unix_seconds => {
            Err(NamingError::SameEpoch { name, epoch, known: image.manifest, manifest })
        }
        _ => Ok(()),
    }
}
