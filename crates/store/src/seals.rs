//! The seals of images, by the digests of their manifests. What is in them is not the store's affair.

use std::path::{Path, PathBuf};

use sealpack_format::digest::BlobDigest;
use sealpack_format::limits::SEAL_MAX_BYTES;

use crate::error::{Error, Result};
use crate::meta::Feature;
use crate::places::{SEALS, seal_file_name, seal_path};
use crate::store::Store;

impl Store {
    /// The seal of the image with that manifest, if the store has one. It stays as long as a name
    /// has the manifest.
    ///
    /// # Errors
    /// [`Error::SealTooLarge`]; failures of the system.
    pub fn read_seal(&self, manifest: &BlobDigest) -> Result<Option<Vec<u8>>> {
        let Some(seal) = self.root.read_at_most(seal_path(manifest), SEAL_MAX_BYTES as u64)? else {
            return Ok(None);
        };
        self.check_seal_size(manifest, &seal)?;
        Ok(Some(seal))
    }

    /// Keeps `seal` as that of the image with that manifest, in the place of an earlier one. Durable
    /// on return.
    ///
    /// # Errors
    /// [`Error::SealTooLarge`]; [`Error::Locked`]; failures of the system.
    pub fn write_seal(&self, manifest: &BlobDigest, seal: &[u8]) -> Result<()> {
        self.check_seal_size(manifest, seal)?;
        let _lock = self.shared()?;
        self.enable_feature(Feature::Packs)?;
        let directory = self.root.sub(SEALS)?;
        self.put_file(&directory, Path::new(&seal_file_name(manifest)), seal, 0o644)
    }

    /// Where the seal of the image with that manifest is, or would be.
    #[must_use]
    pub fn seal_path(&self, manifest: &BlobDigest) -> PathBuf {
        self.root.at(seal_path(manifest))
    }

    fn check_seal_size(&self, manifest: &BlobDigest, seal: &[u8]) -> Result<()> {
        if seal.len() <= SEAL_MAX_BYTES {
            return Ok(());
        }
        Err(Error::SealTooLarge { path: self.seal_path(manifest), limit_bytes: SEAL_MAX_BYTES as u64 })
    }
}
