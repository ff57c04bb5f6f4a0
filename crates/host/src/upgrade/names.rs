//! Names in the store by which the images stay that UKIs start.
//!
//! The first process takes an image that has a name, and gc keeps those. A name that an upgrade gives to the new image is
//! the old one's no more; therefore each image that a UKI on the ESP starts gets a name of its own that means no other:
//! that of its manifest's digest.

use std::collections::BTreeSet;

use sealpack_format::ObjectId;
use sealpack_format::reference::Reference;
use sealpack_store::{ImageRecord, Store};
use serde_json::Value;

use super::error::UpgradeError;

/// The field of a record by which such a name is known.
const MARK: &str = "kept_for_boot";

/// Gives each of the images a name that stays, as far as the store knows them, under some name or in the history of one.
/// Answers with those that it does not know.
///
/// # Errors
/// Of the store.
pub fn keep_names(store: &Store, images: &BTreeSet<ObjectId>) -> Result<Vec<ObjectId>, UpgradeError> {
    let named = store.images()?.records;
    let mut unknown = Vec::new();
    for image in images {
        let is_it = |record: &&ImageRecord| record.metadata_image == *image;
        // One that was pulled by its digest, or has such a name from before.
        if named.iter().filter(is_it).any(|record| is_by_digest(&record.name)) {
            continue;
        }
        let record = match named.iter().find(is_it) {
            Some(record) => Some(record.clone()),
            None => in_histories(store, &named, image)?,
        };
        match record.as_ref().and_then(by_digest) {
            Some(record) => store.set_image(&record)?,
            None => unknown.push(*image),
        }
    }
    Ok(unknown)
}

fn in_histories(
    store: &Store,
    named: &[ImageRecord],
    image: &ObjectId,
) -> Result<Option<ImageRecord>, UpgradeError> {
    for record in named {
        let before = store.history(&record.name)?;
        if let Some(found) = before.into_iter().find(|record| record.metadata_image == *image) {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

/// Takes away the names that [`keep_names`] gave to others than these images. Answers with them.
///
/// # Errors
/// Of the store.
pub fn let_go_names(store: &Store, images: &BTreeSet<ObjectId>) -> Result<Vec<String>, UpgradeError> {
    let mut gone = Vec::new();
    for record in store.images()?.records {
        if record.other.contains_key(MARK) && !images.contains(&record.metadata_image) {
            store.remove_image(&record.name)?;
            gone.push(record.name);
        }
    }
    Ok(gone)
}

fn is_by_digest(name: &str) -> bool {
    name.parse::<Reference>().is_ok_and(|name| name.digest().is_some())
}

/// The record of the same image by its digest.
fn by_digest(record: &ImageRecord) -> Option<ImageRecord> {
    let name: Reference = record.name.parse().ok()?;
    let mut kept = record.clone();
    kept.name = format!("{}@{}", name.name(), record.manifest).parse::<Reference>().ok()?.to_string();
    kept.pulled_as = Some(record.pulled_as.clone().unwrap_or_else(|| record.name.clone()));
    kept.other.insert(MARK.to_owned(), Value::Bool(true));
    Some(kept)
}
