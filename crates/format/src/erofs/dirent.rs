//! EROFS directory entries (`struct erofs_dirent`).
//!
//! A directory is a sequence of blocks. Each starts with its entries, whose number is told by
//! the first one's `nameoff`, and ends with their names, one behind the other; the last name
//! ends at a NUL or at the end of the block.

use zerocopy::little_endian::{U16, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Bytes of an entry without its name.
pub const DIRENT_BYTES: u64 = 12;

/// `struct erofs_dirent`, 12 bytes.
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct Dirent {
    pub(crate) nid: U64,
    pub(crate) nameoff: U16,
    pub(crate) file_type: u8,
    pub(crate) reserved: u8,
}
