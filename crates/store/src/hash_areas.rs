//! The dm-verity hash areas of metadata images. A file of its own beside each, as composefs's format
//! fixes the bytes of the image itself.

use std::fs::File;
use std::io::{Cursor, Read};
use std::path::{Path, PathBuf};

use sealpack_format::digest::{ObjectId, RootHash};
use sealpack_format::verity::dmverity::{DmVerityError, HashAreaWriter};
use sealpack_kernel::sha256::leaf_hash;

use crate::error::{Error, Result};
use crate::meta::Feature;
use crate::places::hash_area_file_name;
use crate::store::Store;

/// How much is read at once.
const CHUNK_BYTES: usize = 256 * 1024;

impl Store {
    /// Where the dm-verity hash area of metadata image `id` is, or would be.
    #[must_use]
    pub fn hash_area_path(&self, id: &ObjectId) -> PathBuf {
        self.images.at(hash_area_file_name(id))
    }

    /// Makes sure that the dm-verity hash area of metadata image `id` is at
    /// [`hash_area_path`](Self::hash_area_path), and returns its root hash: superblock and tree as
    /// `docs/formats/dm-verity.md` has them. Works in stores of either algorithm.
    ///
    /// Computed from the image every time, and compared with what is there: the answer is right
    /// whatever the file was. Nothing is written when it is as it should be. Durable on return.
    ///
    /// # Errors
    /// [`Error::ImageMissing`]; [`Error::ImageDamaged`]; [`Error::Locked`]; failures of the system.
    pub fn ensure_hash_area(&self, id: &ObjectId) -> Result<RootHash> {
        let (root_hash, area) = self.hash_area_of(id)?;
        if !self.is_hash_area(id, &area)? {
            let _lock = self.shared()?;
            self.enable_feature(Feature::Packs)?;
            self.put_file(&self.images, Path::new(&hash_area_file_name(id)), &area, 0o444)?;
        }
        Ok(root_hash)
    }

    /// The root hash that metadata image `id` has as a dm-verity device. Nothing is written.
    ///
    /// # Errors
    /// As [`ensure_hash_area`](Self::ensure_hash_area).
    pub fn metadata_image_root_hash(&self, id: &ObjectId) -> Result<RootHash> {
        Ok(self.hash_area_of(id)?.0)
    }

    /// The root hash that metadata image `id` has as a dm-verity device, and whether the hash area that the store has is
    /// its, every byte; `None` where it has none yet.
    ///
    /// # Errors
    /// As [`ensure_hash_area`](Self::ensure_hash_area).
    pub fn check_hash_area(&self, id: &ObjectId) -> Result<(RootHash, Option<bool>)> {
        let (root_hash, area) = self.hash_area_of(id)?;
        let is_there = self.images.stat(hash_area_file_name(id))?.is_some();
        Ok((root_hash, if is_there { Some(self.is_hash_area(id, &area)?) } else { None }))
    }

    /// The root hash and the hash area of metadata image `id`, after its content was verified.
    pub(crate) fn hash_area_of(&self, id: &ObjectId) -> Result<(RootHash, Vec<u8>)> {
        let (file, _) = self.verify_metadata_image(id)?;
        hash_area(&file).map_err(|error| hash_area_failed(self.metadata_image_path(id), error))
    }

    /// Whether `area` is what the store has as the hash area of metadata image `id`.
    pub(crate) fn is_hash_area(&self, id: &ObjectId, area: &[u8]) -> Result<bool> {
        let found = self.images.read_at_most(hash_area_file_name(id), area.len() as u64)?;
        Ok(found.is_some_and(|found| found == area))
    }
}

/// Why the metadata image at `path` has no hash area.
pub(crate) fn hash_area_failed(path: PathBuf, error: DmVerityError) -> Error {
    match error {
        DmVerityError::Io(error) => Error::io("read", path, error),
        // A composefs image consists of whole blocks; this has its own digest all the same.
        error => Error::ImageUnreadable { path, what: error.to_string() },
    }
}

/// Root hash and hash area of what is in `file`, from where it is read on.
pub(crate) fn hash_area(mut file: &File) -> std::result::Result<(RootHash, Vec<u8>), DmVerityError> {
    let size_bytes = file.metadata()?.len();
    let mut writer = HashAreaWriter::new(Cursor::new(Vec::new()), size_bytes, leaf_hash())?;
    let mut buffer = vec![0; CHUNK_BYTES];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => writer.update(&buffer[..read])?,
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e.into()),
        }
    }
    let (root_hash, area) = writer.finish()?;
    Ok((root_hash, area.into_inner()))
}
