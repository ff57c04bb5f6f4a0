//! dm-verity: the superblock and the hash tree that make a block device's bytes follow from one
//! root hash (Documentation/admin-guide/device-mapper/verity.rst), as `veritysetup` lays them out.
//!
//! Always SHA-256, 4 KiB blocks of data and of hashes, and no salt; see `docs/formats/dm-verity.md`.
//! The *hash area* is the superblock, alone in a block, and the tree behind it. It follows the
//! data in the same file (packs) or has a file of its own (metadata images).
//!
//! With these parameters the root hash is that of a [`MerkleRoot`](super::MerkleRoot) over the
//! same blocks, so whoever wants only the root hash needs nothing from here.

mod parallel;
mod shape;
mod superblock;
mod verify;
mod writer;

use std::io;

pub use parallel::{Hashing, ReadAt, VerifyError, verify_in_parallel, write_hash_area};
pub use shape::{DATA_BLOCKS_MAX, Level, TreeShape};
pub use superblock::{SUPERBLOCK_BYTES, Superblock, UnsupportedSuperblock, uuid_of};
pub use verify::{Damage, verify, verify_area};
pub use writer::{HashAreaWriter, TreeWriter};

/// Bytes of a block, as an offset.
const BLOCK_STEP: u64 = 4096;

/// What can be wrong with data that is to get a hash tree.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DmVerityError {
    /// The output failed.
    #[error("cannot write the dm-verity hash tree: {0}")]
    Io(#[from] io::Error),
    /// The data could not be read.
    #[error("cannot read the data for a dm-verity hash tree: {0}")]
    Data(#[source] io::Error),
    /// No blocks, or too many.
    #[error("{0} blocks of data cannot have a dm-verity hash tree; 1 to 2^40 can")]
    DataBlocks(u64),
    /// The last block is incomplete.
    #[error("{0} bytes of data cannot have a dm-verity hash tree; whole blocks of 4096 bytes can")]
    Incomplete(u64),
    /// Another amount of data than was announced.
    #[error("a dm-verity hash tree for {announced} blocks was begun, but {actual} were given")]
    Amount {
        /// The blocks that there should be.
        announced: u64,
        /// The blocks that there were.
        actual: u64,
    },
}

/// The blocks of `size_bytes` of data.
const fn blocks_of(size_bytes: u64) -> Result<u64, DmVerityError> {
    if size_bytes.is_multiple_of(BLOCK_STEP) {
        Ok(size_bytes / BLOCK_STEP)
    } else {
        Err(DmVerityError::Incomplete(size_bytes))
    }
}
