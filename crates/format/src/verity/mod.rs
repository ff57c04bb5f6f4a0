//! Merkle trees over 4 KiB blocks, as fs-verity and dm-verity build them.
//!
//! With an empty salt the leaf hash of a full block is the same in both, so
//! [`Leaves`] computes it once and whoever needs it listens.

pub mod dmverity;
mod fsverity;
mod merkle;

pub use fsverity::{FsVerityHasher, fsverity_digest, fsverity_digest_of_device, signed_bytes};
pub(crate) use merkle::ZERO_LEAF;
pub use merkle::{LeafHash, Leaves, MerkleRoot, hash_blocks_portably};

/// The block size of every Merkle tree here, in bytes.
pub const BLOCK_BYTES: usize = 4096;
