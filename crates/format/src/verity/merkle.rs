//! Data to leaf hashes, leaf hashes to a root.

use sha2::{Digest, Sha256, Sha512};

use super::BLOCK_BYTES;
use crate::digest::Algorithm;
use crate::zeros::ZEROS;

/// The hash of one block: 32 bytes, or 64 with SHA-512.
type BlockDigest = [u8; 64];

/// Hashes blocks with SHA-256: the first argument holds as many whole blocks of
/// [`BLOCK_BYTES`] as the second has places.
///
/// Implementations may use the processor's own instructions; all give the same bytes.
pub type LeafHash = fn(&[u8], &mut [[u8; 32]]);

/// The [`LeafHash`] that runs everywhere.
pub fn hash_blocks_portably(blocks: &[u8], digests: &mut [[u8; 32]]) {
    for (block, digest) in blocks.chunks_exact(BLOCK_BYTES).zip(digests) {
        *digest = Sha256::digest(block).into();
    }
}

/// The most blocks that are given to a [`LeafHash`] at once.
pub(super) const BATCH_BLOCKS: usize = 16;

/// The SHA-256 of a block of zeros.
pub(crate) const ZERO_LEAF: [u8; 32] = [
    0xad, 0x7f, 0xac, 0xb2, 0x58, 0x6f, 0xc6, 0xe9, 0x66, 0xc0, 0x04, 0xd7, 0xd1, 0xd1, 0x6b, 0x02, 0x4f,
    0x58, 0x05, 0xff, 0x7c, 0xb4, 0x7c, 0x7a, 0x85, 0xda, 0xbd, 0x8b, 0x48, 0x89, 0x2c, 0xa7,
];

// No batch is longer than the zeros that it is compared with.
const _: () = assert!(BLOCK_BYTES * BATCH_BLOCKS <= ZEROS.len());

/// Hashes at most [`BATCH_BLOCKS`] blocks as [`LeafHash`] says, zeros without computing anything:
/// a few bytes can stand for a terabyte of holes, which must not cost the time of one.
pub(super) fn hash_batch(hash: LeafHash, blocks: &[u8], digests: &mut [[u8; 32]]) {
    if ZEROS.get(..blocks.len()) == Some(blocks) {
        digests.fill(ZERO_LEAF);
    } else {
        hash(blocks, digests);
    }
}

/// Cuts a stream of data into blocks and hashes them.
#[derive(Clone)]
pub struct Leaves {
    algorithm: Algorithm,
    hash: LeafHash,
    partial: Box<[u8; BLOCK_BYTES]>,
    filled: usize,
    size_bytes: u64,
}

impl Leaves {
    /// An empty stream, its SHA-256 blocks hashed by `hash`. (SHA-512 has one implementation.)
    #[must_use]
    pub fn new(algorithm: Algorithm, hash: LeafHash) -> Self {
        Self { algorithm, hash, partial: Box::new([0; BLOCK_BYTES]), filled: 0, size_bytes: 0 }
    }

    /// The number of bytes taken so far.
    #[must_use]
    pub const fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// Takes the next `data`; `leaf` is called with each block and its hash, in order.
    pub fn update(&mut self, mut data: &[u8], leaf: &mut impl FnMut(&[u8], &[u8])) {
        self.size_bytes = self.size_bytes.saturating_add(u64::try_from(data.len()).unwrap_or(u64::MAX));
        if self.filled > 0 {
            let room = BLOCK_BYTES.saturating_sub(self.filled);
            let (head, rest) = data.split_at(room.min(data.len()));
            self.keep(head);
            data = rest;
            if self.filled < BLOCK_BYTES {
                return;
            }
            self.filled = 0;
            hash_each(self.algorithm, self.hash, self.partial.as_slice(), leaf);
        }
        let whole = data.len().saturating_sub(data.len() % BLOCK_BYTES);
        let (blocks, rest) = data.split_at(whole);
        hash_each(self.algorithm, self.hash, blocks, leaf);
        self.keep(rest);
    }

    /// Ends the stream; a last incomplete block is filled up with zeros and given to `leaf`.
    pub fn finish(mut self, leaf: &mut impl FnMut(&[u8], &[u8])) {
        if self.filled > 0 {
            if let Some(rest) = self.partial.get_mut(self.filled..) {
                rest.fill(0);
            }
            hash_each(self.algorithm, self.hash, self.partial.as_slice(), leaf);
        }
    }

    fn keep(&mut self, bytes: &[u8]) {
        let end = self.filled.saturating_add(bytes.len());
        if let Some(place) = self.partial.get_mut(self.filled..end) {
            place.copy_from_slice(bytes);
            self.filled = end;
        }
    }
}

/// Hashes whole `blocks` and hands each with its hash to `leaf`.
fn hash_each(algorithm: Algorithm, hash: LeafHash, blocks: &[u8], leaf: &mut impl FnMut(&[u8], &[u8])) {
    match algorithm {
        Algorithm::Sha256 => {
            let mut digests = [[0; 32]; BATCH_BLOCKS];
            for batch in blocks.chunks(BLOCK_BYTES.saturating_mul(BATCH_BLOCKS)) {
                let digests = digests.get_mut(..batch.len() / BLOCK_BYTES).unwrap_or_default();
                hash_batch(hash, batch, digests);
                let blocks = batch.chunks_exact(BLOCK_BYTES);
                blocks.zip(digests).for_each(|(block, digest)| leaf(block, digest));
            }
        }
        Algorithm::Sha512 => {
            for block in blocks.chunks_exact(BLOCK_BYTES) {
                leaf(block, Sha512::digest(block).as_slice());
            }
        }
    }
}

/// Builds the root of a Merkle tree from its leaves, keeping one block for each level.
#[derive(Clone)]
pub struct MerkleRoot {
    algorithm: Algorithm,
    hash: LeafHash,
    /// The incomplete block of hashes at each level, leaves first.
    levels: Vec<Vec<u8>>,
}

impl MerkleRoot {
    /// A tree without leaves.
    #[must_use]
    pub const fn new(algorithm: Algorithm, hash: LeafHash) -> Self {
        Self { algorithm, hash, levels: Vec::new() }
    }

    /// Adds the hash of the next block of data.
    pub fn push(&mut self, leaf: &[u8]) {
        let mut digest: BlockDigest = [0; 64];
        let mut length = copy(&mut digest, leaf);
        for level in 0.. {
            if self.levels.len() <= level {
                self.levels.push(Vec::with_capacity(BLOCK_BYTES));
            }
            let Some(block) = self.levels.get_mut(level) else { return };
            block.extend_from_slice(digest.get(..length).unwrap_or_default());
            if block.len() < BLOCK_BYTES {
                return;
            }
            let full = std::mem::take(block);
            // The level above gets this block's hash; the buffer is used again below.
            length = hash_one(self.algorithm, self.hash, &full, &mut digest);
            if let Some(block) = self.levels.get_mut(level) {
                *block = full;
                block.clear();
            }
        }
    }

    /// The root hash: of no leaves all zeros, of one leaf the leaf itself
    /// (Documentation/filesystems/fsverity.rst, "Merkle tree").
    ///
    /// Returns 32 bytes, or 64 with SHA-512.
    #[must_use]
    pub fn finish(self) -> Vec<u8> {
        let digest_bytes = self.algorithm.digest_bytes();
        // What comes up from the level below; a lone hash on the top level is the root.
        let mut carried: Option<Vec<u8>> = None;
        let levels = self.levels.len();
        for (number, mut block) in self.levels.into_iter().enumerate() {
            if let Some(digest) = carried.take() {
                block.extend_from_slice(&digest);
            }
            let top = number.saturating_add(1) == levels;
            if top && block.len() == digest_bytes {
                return block;
            }
            if !block.is_empty() {
                block.resize(BLOCK_BYTES, 0);
                let mut digest: BlockDigest = [0; 64];
                let length = hash_one(self.algorithm, self.hash, &block, &mut digest);
                carried = Some(digest.get(..length).unwrap_or_default().to_vec());
            }
        }
        carried.unwrap_or_else(|| vec![0; digest_bytes])
    }
}

/// Hashes one block into the front of `digest`; returns the hash's length.
fn hash_one(algorithm: Algorithm, hash: LeafHash, block: &[u8], digest: &mut BlockDigest) -> usize {
    let mut length = 0;
    hash_each(algorithm, hash, block, &mut |_, leaf| length = copy(digest, leaf));
    length
}

fn copy(digest: &mut BlockDigest, leaf: &[u8]) -> usize {
    if let Some(place) = digest.get_mut(..leaf.len()) {
        place.copy_from_slice(leaf);
    }
    leaf.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeros_have_the_hash_that_is_not_computed() {
        let mut digests = [[1; 32]; 17];
        hash_blocks_portably(&[0; 17 * BLOCK_BYTES], &mut digests);
        assert_eq!(digests, [ZERO_LEAF; 17]);
        let mut data = vec![0; 5 * BLOCK_BYTES];
        for last in [0, 1] {
            data[5 * BLOCK_BYTES - 1] = last;
            let mut batch = [[1; 32]; 5];
            hash_batch(hash_blocks_portably, &data, &mut batch);
            let mut digests = [[2; 32]; 5];
            hash_blocks_portably(&data, &mut digests);
            assert_eq!(batch, digests);
        }
    }
}
