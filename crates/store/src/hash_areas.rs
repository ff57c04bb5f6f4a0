//! The dm-verity hash areas of metadata images. A file of its own beside each, as composefs's format
//! fixes the bytes of the image itself.

use std::fs::File;
use std::io::{Cursor, Read};
use std::path::{Path, PathBuf};

use sealpack_format::digest::{Algorithm, ObjectId, RootHash};
use sealpack_format::verity::dmverity::{DmVerityError, HashAreaWriter, TreeShape, verify_area};
use sealpack_format::verity::{BLOCK_BYTES, fsverity_digest_of_device};
use sealpack_kernel::sha256::leaf_hash;

use crate::error::{Error, Result};
use crate::meta::Feature;
use crate::places::{hash_area_file_name, metadata_image_file_name};
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
            self.put_hash_area(id, &area)?;
        }
        Ok(root_hash)
    }

    fn put_hash_area(&self, id: &ObjectId, area: &[u8]) -> Result<()> {
        let _lock = self.shared()?;
        self.enable_feature(Feature::Packs)?;
        self.put_file(&self.images, Path::new(&hash_area_file_name(id)), area, 0o444)
    }

    /// The root hash that metadata image `id` has as a dm-verity device: from its hash area where that
    /// [proves it](Self::proved_root_hash), else from the image. Nothing is written.
    ///
    /// # Errors
    /// [`Error::ImageMissing`]; [`Error::ImageDamaged`]; failures of the system.
    pub fn metadata_image_root_hash(&self, id: &ObjectId) -> Result<RootHash> {
        match self.proved_root_hash(id)? {
            Some(root_hash) => Ok(root_hash),
            None => Ok(self.hash_area_of(id)?.0),
        }
    }

    /// As [`metadata_image_root_hash`](Self::metadata_image_root_hash), and leaves a hash area that proves it the next time,
    /// where that can be written: whoever reads a store need not be able to.
    ///
    /// # Errors
    /// As [`metadata_image_root_hash`](Self::metadata_image_root_hash).
    pub fn remembered_root_hash(&self, id: &ObjectId) -> Result<RootHash> {
        if let Some(root_hash) = self.proved_root_hash(id)? {
            return Ok(root_hash);
        }
        let (root_hash, area) = self.hash_area_of(id)?;
        if id.algorithm() == Algorithm::Sha256 {
            // Without it the image is read the next time, too.
            _ = self.put_hash_area(id, &area);
        }
        Ok(root_hash)
    }

    /// The root hash that metadata image `id` has as a dm-verity device, if its hash area is there, every byte of it as it
    /// should be. The image itself is not read: its digest is one of its size and of that root hash.
    ///
    /// `None` also in stores with SHA-512, where digest and root hash have nothing in common.
    ///
    /// # Errors
    /// [`Error::ImageMissing`]; failures of the system.
    pub fn proved_root_hash(&self, id: &ObjectId) -> Result<Option<RootHash>> {
        let Some(stat) = self.images.stat(metadata_image_file_name(id))? else {
            return Err(Error::ImageMissing(*id));
        };
        let size_bytes = stat.st_size.unsigned_abs();
        let Ok(shape) = TreeShape::of(size_bytes / BLOCK_BYTES as u64) else { return Ok(None) };
        let area = self.images.read_at_most(hash_area_file_name(id), shape.area_bytes())?;
        let Some(area) = area.filter(|_| id.algorithm() == Algorithm::Sha256) else { return Ok(None) };
        // Of a single block there is no tree, and the superblock says nothing that could not be of another.
        let top = area.get(BLOCK_BYTES..2 * BLOCK_BYTES).filter(|_| !shape.levels().is_empty());
        let Some(top) = top else { return Ok(None) };
        let mut digest = [[0; 32]];
        leaf_hash()(top, &mut digest);
        let root_hash = RootHash::new(digest[0]);
        let is_its = fsverity_digest_of_device(size_bytes, &root_hash) == *id
            && verify_area(leaf_hash(), size_bytes, &area, &root_hash).is_ok();
        Ok(is_its.then_some(root_hash))
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
