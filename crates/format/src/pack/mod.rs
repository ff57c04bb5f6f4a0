//! Packs: the objects of one layer as an EROFS filesystem on dm-verity, in one file whose bytes
//! follow from the layer alone.
//!
//! A mounted pack serves overlayfs as a data-only layer: its files are objects under their
//! [`object_path`](crate::ObjectId::object_path)s. The byte table and the exact rules are in
//! `docs/formats/pack.md`; a change of the bytes is a new version.
//!
//! - [`PackWriter`] writes one in a single pass over the contents, each block hashed once for both
//!   the object's fs-verity digest and the pack's dm-verity tree;
//! - [`PackReader`] walks one, refuses what is not one, and [verifies](PackReader::verify) that
//!   every byte is what the writer makes of the objects in it.

mod block0;
mod directory;
mod inode;
mod layout;
mod placement;
mod reader;
mod region;
mod writer;

pub use block0::NotAPack;
pub use inode::BadInode;
pub use reader::{PackError, PackObject, PackPart, PackReader, PackSuperblocks};
pub use writer::{
    AddedObject, ObjectWriter, Pack, PackLimit, PackOptions, PackOutput, PackWriteError, PackWriter,
};

/// The name of the version, at the start of every pack.
pub const VERSION_NAME: &str = "sealpack-pack-v1-sha256";

/// The largest object that a pack can have, holes included: 1 TiB.
pub const OBJECT_MAX_BYTES: u64 = 1 << 40;

/// The size of a chunk, in blocks: holes are whole chunks.
pub const CHUNK_BLOCKS: u64 = 16;

/// The inode blocks that are open at a time while inodes and tails are placed.
pub const OPEN_BLOCKS: usize = 1024;

/// Bytes of a block.
const BLOCK_BYTES: usize = crate::verity::BLOCK_BYTES;

/// [`BLOCK_BYTES`] as a number of bytes in a file.
const BLOCK_STEP: u64 = crate::erofs::BLOCK_BYTES;

/// `value` as a number of bytes in a file; all platforms with a standard library have at most 64 bits.
fn to_u64(value: usize) -> u64 {
    u64::try_from(value).unwrap_or(u64::MAX)
}

/// `value` as a length in memory; beyond the address space, a length that no slice has.
fn to_usize(value: u64) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}
