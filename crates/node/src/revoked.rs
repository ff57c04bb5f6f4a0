//! Images with something in them that was revoked.

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
    if revocations.root_hashes.is_empty() {
        return Ok(());
    }
    let packs = match record.objects {
        ObjectForm::Files => store.derived_packs(record)?,
        ObjectForm::Packs => store.image_packs(record)?,
    };
    let metadata = store.metadata_image_root_hash(&record.metadata_image)?;
    let mut root_hashes = std::iter::once(metadata).chain(packs.iter().map(|pack| pack.pack.root_hash));
    match root_hashes.find_map(|root_hash| revocations.root_hash(&root_hash)) {
        None => Ok(()),
        Some(revoked) => {
            let failure = Failure::RevokedRootHash {
                root_hash: revoked.root_hash,
                image: revoked.image.clone(),
                reason: revoked.reason.clone(),
            };
            Err(RevokedImage { name: record.name.clone(), failure }.into())
        }
    }
}
