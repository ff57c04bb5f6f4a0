//! The devices of images, for policies that name them.

use sealpack_format::digest::RootHash;
use sealpack_store::{ImageRecord, ObjectForm, Store};

use super::PolicyError;
use crate::remark::{Remark, Remarks};
use crate::{Error, seals};

/// The root hashes of all dm-verity devices that a mount of an image has: its metadata image's first, then its packs'. A
/// remark tells of an image, `called` so, without a seal: nothing on its devices is executed before it has one.
///
/// # Errors
/// [`PolicyError::NoDevices`] for an image whose objects are files; what the store says.
pub fn devices_of(
    store: &Store,
    record: &ImageRecord,
    called: &str,
    remarks: Remarks<'_>,
) -> Result<Vec<RootHash>, Error> {
    let packs = match record.objects {
        ObjectForm::Packs => seals::packs_of(store, record)?,
        ObjectForm::Files => Vec::new(),
    };
    // An image without objects has no packs, and is not put on a device.
    if packs.is_empty() {
        return Err(PolicyError::NoDevices { image: called.to_owned() }.into());
    }
    if seals::read(store, record)?.is_none() {
        remarks(Remark::NotSealed { image: called.to_owned() });
    }
    let metadata = store.metadata_image_root_hash(&record.metadata_image)?;
    Ok(std::iter::once(metadata).chain(packs.iter().map(|pack| pack.sealed.root_hash)).collect())
}
