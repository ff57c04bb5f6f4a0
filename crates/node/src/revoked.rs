//! Images with something in them that was revoked.

use sealpack_format::digest::RootHash;
use sealpack_store::{ImageRecord, ObjectForm, Store};
use sealpack_trust::anchors::Revocations;
use sealpack_trust::judge::Failure;

use crate::Error;

/// A root hash of an image was revoked.
#[derive(Debug, thiserror::Error)]
#[error("{name} must not be used: {failure}")]
pub struct RevokedImage {
    /// The image.
    pub name: String,
    /// Which root hash, and why.
    pub failure: Failure,
}

/// That no root hash of an image was revoked, neither of its metadata image nor of the packs that its layers have or would
/// have: whoever revoked one meant what is in it, in whichever form that is kept.
///
/// Where nothing was revoked this costs nothing. Where something was, and the image is kept as files, the root hashes are
/// computed once and remembered.
///
/// # Errors
///
/// [`RevokedImage`]; of the store, where a layer is not whole.
pub fn check(store: &Store, record: &ImageRecord, revocations: &Revocations) -> Result<(), Error> {
    match find(store, record, || store.remembered_root_hash(&record.metadata_image), revocations)? {
        None => Ok(()),
        Some(failure) => Err(RevokedImage { name: record.name.clone(), failure }.into()),
    }
}

/// What [`check`] looks for, of an image whose metadata image may not be in the store yet: `metadata` gives the root hash
/// of that, and is asked only where something was revoked.
///
/// # Errors
///
/// Of the store, where a layer is not whole; those of `metadata`.
pub fn find(
    store: &Store,
    record: &ImageRecord,
    metadata: impl FnOnce() -> Result<RootHash, sealpack_store::Error>,
    revocations: &Revocations,
) -> Result<Option<Failure>, sealpack_store::Error> {
    if revocations.root_hashes.is_empty() {
        return Ok(None);
    }
    let packs = match record.objects {
        ObjectForm::Files => store.derived_packs(record)?,
        ObjectForm::Packs => store.image_packs(record)?,
    };
    let mut root_hashes = std::iter::once(metadata()?).chain(packs.iter().map(|pack| pack.pack.root_hash));
    let revoked = root_hashes.find_map(|root_hash| revocations.root_hash(&root_hash));
    Ok(revoked.map(|revoked| Failure::RevokedRootHash {
        root_hash: revoked.root_hash,
        image: revoked.image.clone(),
        reason: revoked.reason.clone(),
    }))
}
