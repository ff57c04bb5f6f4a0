//! What a metadata image refers to, for those who must keep or check it.

use std::fs::File;
use std::io::{Read, Seek};

use sealpack_format::{ObjectId, erofs};
use sealpack_store::{ImageRecord, Integrity, Store};

use crate::error::CommandError;

/// The objects of the metadata image in `file`; an error says what is wrong with the image.
///
/// What counts is the path that overlayfs will look for.
pub(crate) fn objects_of(mut file: &File) -> Result<Vec<ObjectId>, String> {
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    let image = erofs::Image::open(&bytes).map_err(|error| error.to_string())?;
    let mut objects = Vec::new();
    for external in image.objects() {
        let external = external.map_err(|error| error.to_string())?;
        let id = ObjectId::from_object_path(external.path).ok_or_else(|| {
            format!("it refers to \"{}\", which is no object", external.path.escape_ascii())
        })?;
        objects.push(id);
    }
    Ok(objects)
}

/// Whether the kernel checks all objects of an image when they are read.
///
/// All must be there: overlayfs shows a file whose object is missing, and fails only when it is opened.
pub(crate) fn all_have_verity(store: &Store, record: &ImageRecord) -> Result<bool, CommandError> {
    let (file, _) = store.verify_image(&record.image)?;
    let objects = rewound(&file)
        .and_then(objects_of)
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
