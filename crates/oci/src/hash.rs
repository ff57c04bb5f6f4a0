//! The hashes that blob digests and diff_ids are made of.

use std::fmt;

use sealpack_format::{Algorithm, BlobDigest, DiffId};
use sha2::{Digest as _, Sha256, Sha512};

/// A running SHA-256 or SHA-512 over a blob or an uncompressed layer.
#[derive(Clone)]
pub struct BlobHasher(State);

#[derive(Clone)]
enum State {
    Sha256(Sha256),
    Sha512(Box<Sha512>),
}

impl BlobHasher {
    /// A hash over nothing yet.
    #[must_use]
    pub fn new(algorithm: Algorithm) -> Self {
        Self(match algorithm {
            Algorithm::Sha256 => State::Sha256(Sha256::new()),
            Algorithm::Sha512 => State::Sha512(Box::new(Sha512::new())),
        })
    }

    /// Adds the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.0 {
            State::Sha256(hash) => hash.update(bytes),
            State::Sha512(hash) => hash.update(bytes),
        }
    }

    /// The digest of all bytes, as that of a blob.
    #[must_use]
    pub fn finish_blob(self) -> BlobDigest {
        let (algorithm, bytes) = self.finish();
        BlobDigest::from_slice(algorithm, &bytes).expect("a hash has the length of its algorithm")
    }

    /// The digest of all bytes, as that of an uncompressed layer.
    #[must_use]
    pub fn finish_diff_id(self) -> DiffId {
        let (algorithm, bytes) = self.finish();
        DiffId::from_slice(algorithm, &bytes).expect("a hash has the length of its algorithm")
    }

    fn finish(self) -> (Algorithm, Vec<u8>) {
        match self.0 {
            State::Sha256(hash) => (Algorithm::Sha256, hash.finalize().to_vec()),
            State::Sha512(hash) => (Algorithm::Sha512, hash.finalize().to_vec()),
        }
    }
}

impl fmt::Debug for BlobHasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            State::Sha256(_) => "BlobHasher(sha256)",
            State::Sha512(_) => "BlobHasher(sha512)",
        })
    }
}

/// The digest of `bytes`.
#[must_use]
pub fn blob_digest(algorithm: Algorithm, bytes: &[u8]) -> BlobDigest {
    let mut hasher = BlobHasher::new(algorithm);
    hasher.update(bytes);
    hasher.finish_blob()
}
