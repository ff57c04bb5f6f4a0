//! The digest of a blob.

use sealpack_format::digest::{Algorithm, BlobDigest};
use sha2::{Digest, Sha256, Sha512};

/// The digest of a blob.
pub(crate) fn blob_digest(algorithm: Algorithm, bytes: &[u8]) -> BlobDigest {
    let digest = match algorithm {
        Algorithm::Sha256 => Sha256::digest(bytes).to_vec(),
        Algorithm::Sha512 => Sha512::digest(bytes).to_vec(),
    };
    BlobDigest::from_slice(algorithm, &digest).expect("a hash function's output has its length")
}
