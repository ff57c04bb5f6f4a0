//! Manifests, configurations and other small documents, by their OCI digests.

use sealpack_format::digest::BlobDigest;

use crate::error::{Error, Result};
use crate::hash::blob_digest;
use crate::places::blob_path;
use crate::store::Store;

/// The largest blob that the store keeps. Registries limit manifests to 4 MiB
/// (distribution-spec, "Pushing Manifests"); configurations are smaller still.
pub const BLOB_MAX_BYTES: u64 = 16 * 1024 * 1024;

impl Store {
    /// The content of blob `digest`, checked against it.
    ///
    /// # Errors
    /// [`Error::BlobMissing`]; [`Error::BlobDamaged`]; failures of the system.
    pub fn blob(&self, digest: &BlobDigest) -> Result<Vec<u8>> {
        self.try_blob(digest)?.ok_or(Error::BlobMissing(*digest))
    }

    /// Whether the store has something under the name of blob `digest`; [`blob`](Self::blob) checks it.
    ///
    /// # Errors
    /// Failures of the system.
    pub fn has_blob(&self, digest: &BlobDigest) -> Result<bool> {
        Ok(self.root.stat(blob_path(digest))?.is_some())
    }

    pub(crate) fn try_blob(&self, digest: &BlobDigest) -> Result<Option<Vec<u8>>> {
        let name = blob_path(digest);
        let Some(bytes) = self.root.read_at_most(&name, BLOB_MAX_BYTES)? else { return Ok(None) };
        let found = blob_digest(digest.algorithm(), &bytes);
        if found != *digest {
            return Err(Error::BlobDamaged { path: self.root.at(name), found });
        }
        Ok(Some(bytes))
    }
}
