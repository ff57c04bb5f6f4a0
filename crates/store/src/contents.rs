//! The contents of an image's files, in whichever form they are kept.

use std::fs::File;
use std::io::{self, Write};

use sealpack_format::digest::ObjectId;
use sealpack_format::pack::{PackError, PackObject, PackReader};
use sealpack_kernel::sha256::leaf_hash;

use crate::error::{Error, Result};
use crate::integrity::ObjectState;
use crate::objects::is_unreadable;
use crate::refs::{ImageRecord, ObjectForm};
use crate::store::Store;

/// A content that was found to be the one of its name.
pub struct VerifiedObject {
    source: Source,
}

enum Source {
    File(File),
    Packed(Box<PackReader<File>>, PackObject),
}

impl Store {
    /// The content of object `id` of an image, hashed before it is handed out. `None` when the store
    /// does not have it in the image's form.
    ///
    /// # Errors
    /// [`Error::ObjectDamaged`]; [`Error::PackUnknown`]; [`Error::Algorithm`]; failures of the system.
    pub fn object_of_image(&self, image: &ImageRecord, id: &ObjectId) -> Result<Option<VerifiedObject>> {
        self.check_id(id)?;
        match image.objects {
            ObjectForm::Files => self.object_as_file(id),
            ObjectForm::Packs => self.object_in_packs(image, id),
        }
    }

    fn object_as_file(&self, id: &ObjectId) -> Result<Option<VerifiedObject>> {
        match (self.check_object(id)?, self.open_object(id)?) {
            (ObjectState::Good, Some(file)) => Ok(Some(VerifiedObject { source: Source::File(file) })),
            (ObjectState::Damaged, _) => Err(Error::ObjectDamaged { id: *id, path: self.object_path(id) }),
            _ => Ok(None),
        }
    }

    fn object_in_packs(&self, image: &ImageRecord, id: &ObjectId) -> Result<Option<VerifiedObject>> {
        for layer in self.image_packs(image)? {
            let path = self.pack_path(&layer.pack.root_hash);
            let Some(file) = self.open_pack(&layer.pack.root_hash)? else { continue };
            let sort = |error| match error {
                PackError::Source(error) if !is_unreadable(&error) => Error::io("read", &path, error),
                _ => Error::ObjectDamaged { id: *id, path: path.clone() },
            };
            let pack = PackReader::open(file).map_err(sort)?;
            let Some(object) = pack.objects().iter().find(|object| object.id == *id).copied() else {
                continue;
            };
            pack.read(&object, leaf_hash(), &mut io::sink()).map_err(sort)?;
            return Ok(Some(VerifiedObject { source: Source::Packed(Box::new(pack), object) }));
        }
        Ok(None)
    }
}

impl VerifiedObject {
    /// Writes the content to `out`.
    ///
    /// # Errors
    /// Those of reading and of writing.
    pub fn copy_to(self, out: &mut impl Write) -> io::Result<()> {
        match self.source {
            Source::File(mut file) => io::copy(&mut file, out).map(drop),
            Source::Packed(pack, object) => {
                pack.read(&object, leaf_hash(), out).map_err(|error| match error {
                    PackError::Output(error) | PackError::Source(error) => error,
                    other => io::Error::other(other.to_string()),
                })
            }
        }
    }
}
