//! What a mount needs of the store.

use std::fs::File;
use std::io::Seek;

use sealpack_store::{ImageRecord, Integrity, Store, objects_of_image};

use crate::error::CommandError;

/// Whether the kernel checks all objects of an image when they are read.
///
/// All must be there: overlayfs shows a file whose object is missing, and fails only when it is opened.
pub(crate) fn all_have_verity(store: &Store, record: &ImageRecord) -> Result<bool, CommandError> {
    let (file, _) = store.verify_image(&record.image)?;
    let objects = rewound(&file)
        .and_then(objects_of_image)
        .map_err(|error| CommandError::failed(format_args!("metadata image {}: {error}", record.image)))?;
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

fn rewound(mut file: &File) -> Result<&File, String> {
    file.rewind().map_err(|error| error.to_string())?;
    Ok(file)
}
