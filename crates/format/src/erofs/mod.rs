//! EROFS, the filesystem of metadata images: its structures as they lie on disk, a writer
//! of composefs images and a reader that is safe on any bytes.
//!
//! Names at the byte boundary are those of the kernel's `fs/erofs/erofs_fs.h`. The byte
//! table is in `docs/formats/metadata-image.md`.
//!
//! - [`superblock`], [`inode`], [`dirent`], [`xattr`]: what any EROFS has;
//! - [`header`], [`overlay`]: what makes one a composefs image;
//! - [`writer`]: [`Tree`](crate::tree::Tree) to bytes; [`reader`]: bytes to
//!   [`Tree`](crate::tree::Tree).

pub mod dirent;
pub mod header;
pub mod inode;
pub mod overlay;
pub mod reader;
pub mod superblock;
pub mod writer;
pub mod xattr;

pub use header::FormatVersion;
pub use reader::{Image, ImageError};
pub use writer::{Layout, WriteError, write_metadata_image};

/// Bytes of a block; the only size that composefs and packs use.
pub const BLOCK_BYTES: u64 = 4096;

/// log2 of [`BLOCK_BYTES`].
pub const BLOCK_BITS: u8 = 12;

/// Bytes of an inode slot: inodes start at multiples of it, and a nid counts them.
pub const SLOT_BYTES: u64 = 32;

/// The largest content of a file that an image holds itself, in bytes (`LCFS_INLINE_CONTENT_MAX`).
pub const INLINE_CONTENT_MAX_BYTES: usize = 5000;

/// The most chunks that a file outside the image may have: one block of addresses.
pub const CHUNKS_MAX: u64 = 1024;

/// `value` rounded up to a multiple of `step`, which is a power of two.
const fn round_up(value: u64, step: u64) -> u64 {
    let mask = step.saturating_sub(1);
    value.saturating_add(mask) & !mask
}

/// `value` as a 64-bit number; all platforms with a standard library have at most 64 bits.
fn to_u64(value: usize) -> u64 {
    u64::try_from(value).unwrap_or(u64::MAX)
}

/// `value` as a length in memory; beyond the address space, a length that no slice has.
fn to_usize(value: u64) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}

/// The place of `length` bytes at `offset` of `bytes`, if they are there.
fn slice(bytes: &[u8], offset: u64, length: u64) -> Option<&[u8]> {
    let end = offset.checked_add(length)?;
    bytes.get(to_usize(offset)..to_usize(end))
}
