//! The digest of what a file contains.

use std::fs::File;
use std::io::{self, Read};

use rustix::fs::{Advice, fadvise};
use sealpack_format::digest::{Algorithm, BlobDigest, ObjectId};
use sealpack_format::verity::FsVerityHasher;
use sha2::{Digest, Sha256, Sha512};

/// How much is read at once: large enough for the hasher's fast path, small enough for the cache.
const CHUNK_BYTES: usize = 256 * 1024;

/// A hasher with the processor's fastest code.
pub(crate) fn hasher(algorithm: Algorithm) -> FsVerityHasher {
    FsVerityHasher::with_leaf_hash(algorithm, sealpack_kernel::sha256::leaf_hash())
}

/// Computes the fs-verity digests of files, one after the other, with one buffer.
pub(crate) struct FileHasher {
    buffer: Vec<u8>,
    algorithm: Algorithm,
}

impl FileHasher {
    pub(crate) fn new(algorithm: Algorithm) -> Self {
        Self { buffer: vec![0; CHUNK_BYTES], algorithm }
    }

    /// The digest of the rest of `file`, and its size in bytes.
    pub(crate) fn hash(&mut self, mut file: &File) -> io::Result<(ObjectId, u64)> {
        // Only a hint: the file is read as well without it.
        let _ = fadvise(file, 0, None, Advice::Sequential);
        let mut hasher = hasher(self.algorithm);
        loop {
            match file.read(&mut self.buffer) {
                Ok(0) => break,
                Ok(read) => hasher.update(&self.buffer[..read]),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        let size_bytes = hasher.size_bytes();
        Ok((hasher.finish(), size_bytes))
    }
}

/// The digest of a blob.
pub(crate) fn blob_digest(algorithm: Algorithm, bytes: &[u8]) -> BlobDigest {
    let digest = match algorithm {
        Algorithm::Sha256 => Sha256::digest(bytes).to_vec(),
        Algorithm::Sha512 => Sha512::digest(bytes).to_vec(),
    };
    BlobDigest::from_slice(algorithm, &digest).expect("a hash function's output has its length")
}
