//! Manifests, configurations and other small documents, by their OCI digests.

use std::io::Read;

use sealpack_format::digest::BlobDigest;

use crate::backend::Dir;
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
        let Some(bytes) = read_at_most(&self.root, &name, BLOB_MAX_BYTES)? else { return Ok(None) };
        let found = blob_digest(digest.algorithm(), &bytes);
        if found != *digest {
            return Err(Error::BlobDamaged { path: self.root.at(name), found });
        }
        Ok(Some(bytes))
    }
}

/// The first `limit_bytes + 1` bytes of file `name`, if there is one: a longer one has another digest.
pub(crate) fn read_at_most(
    directory: &Dir,
    name: impl AsRef<std::path::Path>,
    limit_bytes: u64,
) -> Result<Option<Vec<u8>>> {
    let name = name.as_ref();
    let Some(file) = directory.read(name)? else { return Ok(None) };
    let mut bytes = Vec::new();
    let read = file.take(limit_bytes + 1).read_to_end(&mut bytes);
    read.map_err(|e| Error::io("read", directory.at(name), e))?;
    Ok(Some(bytes))
}
