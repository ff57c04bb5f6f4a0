//! What a mount needs of the store.

use sealpack_store::{ImageRecord, Integrity, Store, objects_of_image};

use crate::error::CommandError;

/// Whether the kernel checks all objects of an image when they are read.
///
/// All must be there: overlayfs shows a file whose object is missing, and fails only when it is opened.
pub(crate) fn all_have_verity(store: &Store, record: &ImageRecord) -> Result<bool, CommandError> {
    let (file, _) = store.verify_metadata_image(&record.metadata_image)?;
    let objects = objects_of_image(&file).map_err(|error| {
        CommandError::failed(format_args!("metadata image {}: {error}", record.metadata_image))
    })?;
    let mut all = true;
    for id in objects {
        match store.object_integrity(&id)? {
            Some(integrity) => all &= integrity == Integrity::FsVerity,
            None => {
                return Err(CommandError::failed(format_args!(
                    "{} is incomplete: object {id} is missing",
                    record.name
                ))
                .hint("pull the image again"));
            }
        }
    }
    Ok(all)
}
