//! EROFS inodes as they lie on disk (`struct erofs_inode_compact` and `_extended`).

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::{BLOCK_BITS, CHUNKS_MAX};
use crate::tree::Kind;

/// Bytes of a compact inode.
pub const COMPACT_BYTES: u64 = 32;

/// Bytes of an extended inode.
pub const EXTENDED_BYTES: u64 = 64;

/// `EROFS_NULL_ADDR`: the address of a chunk that is a hole.
pub const NULL_ADDRESS: u32 = u32::MAX;

/// `EROFS_CHUNK_FORMAT_BLKBITS_MASK`.
const CHUNK_BLKBITS_MASK: u16 = 0x1f;

/// The type of a file: `S_IFMT` of its mode, `EROFS_FT_*` in directory entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FileType {
    /// A regular file.
    Regular,
    /// A directory.
    Directory,
    /// A character device.
    CharDevice,
    /// A block device.
    BlockDevice,
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
    /// A symbolic link.
    Symlink,
}

impl FileType {
    /// All of them.
    const ALL: [Self; 7] = [
        Self::Regular,
        Self::Directory,
        Self::CharDevice,
        Self::BlockDevice,
        Self::Fifo,
        Self::Socket,
        Self::Symlink,
    ];

    /// The type of what a tree has.
    #[must_use]
    pub const fn of(kind: &Kind) -> Self {
        match kind {
            Kind::Directory(_) => Self::Directory,
            Kind::Regular(_) => Self::Regular,
            Kind::Symlink(_) => Self::Symlink,
            Kind::CharDevice(_) => Self::CharDevice,
            Kind::BlockDevice(_) => Self::BlockDevice,
            Kind::Fifo => Self::Fifo,
            Kind::Socket => Self::Socket,
        }
    }

    /// The type's bits in a mode (`S_IF*`).
    #[must_use]
    pub const fn mode_bits(self) -> u16 {
        match self {
            Self::Fifo => 0o010_000,
            Self::CharDevice => 0o020_000,
            Self::Directory => 0o040_000,
            Self::BlockDevice => 0o060_000,
            Self::Regular => 0o100_000,
            Self::Symlink => 0o120_000,
            Self::Socket => 0o140_000,
        }
    }

    /// The type in the bits `S_IFMT` of `mode`.
    #[must_use]
    pub fn from_mode(mode: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.mode_bits() == mode & 0o170_000)
    }

    /// The number in directory entries (`EROFS_FT_*`).
    #[must_use]
    pub const fn entry_number(self) -> u8 {
        match self {
            Self::Regular => 1,
            Self::Directory => 2,
            Self::CharDevice => 3,
            Self::BlockDevice => 4,
            Self::Fifo => 5,
            Self::Socket => 6,
            Self::Symlink => 7,
        }
    }
}

/// Where the data of an inode lies (`EROFS_INODE_*` in `i_format`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DataLayout {
    /// In whole blocks.
    FlatPlain,
    /// In blocks, with the last, partial one behind the inode.
    FlatInline,
    /// In chunks whose addresses are behind the inode.
    ChunkBased,
}

impl DataLayout {
    /// The number in `i_format`.
    #[must_use]
    pub const fn number(self) -> u16 {
        match self {
            Self::FlatPlain => 0,
            Self::FlatInline => 2,
            Self::ChunkBased => 4,
        }
    }
}

/// `i_format`: whether the inode is compact, and its data layout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Format {
    pub(crate) compact: bool,
    pub(crate) layout: DataLayout,
}

impl Format {
    /// Fails with the number of a data layout that is not supported.
    pub(crate) fn parse(i_format: u16) -> Result<Self, u16> {
        let layout = match i_format >> 1 {
            0 => DataLayout::FlatPlain,
            2 => DataLayout::FlatInline,
            4 => DataLayout::ChunkBased,
            other => return Err(other),
        };
        Ok(Self { compact: i_format & 1 == 0, layout })
    }

    pub(crate) const fn to_disk(self) -> u16 {
        (self.layout.number() << 1) | if self.compact { 0 } else { 1 }
    }

    pub(crate) const fn inode_bytes(self) -> u64 {
        if self.compact { COMPACT_BYTES } else { EXTENDED_BYTES }
    }
}

/// How a file outside the image is cut into chunks: as few as possible, none larger than needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chunks {
    /// log2 of a chunk's bytes, 12 to 43.
    pub bits: u8,
    /// The number of chunks.
    pub count: u64,
}

impl Chunks {
    /// The chunks of a file of `size_bytes`, or `None` if they are more than [`CHUNKS_MAX`]
    /// (beyond 2^53 bytes).
    #[must_use]
    pub fn of(size_bytes: u64) -> Option<Self> {
        let significant = u64::BITS.saturating_sub(size_bytes.saturating_sub(1).leading_zeros());
        let highest = u32::from(CHUNK_BLKBITS_MASK).saturating_add(BLOCK_BITS.into());
        let bits = significant.clamp(BLOCK_BITS.into(), highest);
        let count = size_bytes.div_ceil(1 << bits);
        (count <= CHUNKS_MAX).then_some(Self { bits: u8::try_from(bits).unwrap_or(u8::MAX), count })
    }

    /// Bytes of the table of addresses behind the inode.
    #[must_use]
    pub const fn table_bytes(self) -> u64 {
        self.count.saturating_mul(4)
    }

    /// The chunk format in `i_u`.
    pub(crate) fn to_disk(self) -> u16 {
        self.bits.saturating_sub(BLOCK_BITS).into()
    }
}

/// `struct erofs_inode_compact`, 32 bytes.
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct InodeCompact {
    pub(crate) i_format: U16,
    pub(crate) i_xattr_icount: U16,
    pub(crate) i_mode: U16,
    pub(crate) i_nlink: U16,
    pub(crate) i_size: U32,
    pub(crate) i_reserved: U32,
    pub(crate) i_u: U32,
    pub(crate) i_ino: U32,
    pub(crate) i_uid: U16,
    pub(crate) i_gid: U16,
    pub(crate) i_reserved2: U32,
}

/// `struct erofs_inode_extended`, 64 bytes.
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct InodeExtended {
    pub(crate) i_format: U16,
    pub(crate) i_xattr_icount: U16,
    pub(crate) i_mode: U16,
    pub(crate) i_reserved: U16,
    pub(crate) i_size: U64,
    pub(crate) i_u: U32,
    pub(crate) i_ino: U32,
    pub(crate) i_uid: U32,
    pub(crate) i_gid: U32,
    pub(crate) i_mtime: U64,
    pub(crate) i_mtime_nsec: U32,
    pub(crate) i_nlink: U32,
    pub(crate) i_reserved2: [u8; 16],
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_as_few_as_possible_and_no_larger_than_needed() {
        let chunks = |size| Chunks::of(size).map(|chunks| (chunks.bits, chunks.count));
        assert_eq!(chunks(1), Some((12, 1)));
        assert_eq!(chunks(4096), Some((12, 1)));
        assert_eq!(chunks(4097), Some((13, 1)));
        assert_eq!(chunks(1 << 43), Some((43, 1)));
        assert_eq!(chunks((1 << 43) + 1), Some((43, 2)));
        assert_eq!(chunks(1 << 53), Some((43, 1024)));
        assert_eq!(chunks((1 << 53) + 1), None);
        assert_eq!(chunks(u64::MAX), None);
    }

    #[test]
    fn formats_and_types_survive_their_numbers() {
        for compact in [false, true] {
            for layout in [DataLayout::FlatPlain, DataLayout::FlatInline, DataLayout::ChunkBased] {
                let format = Format { compact, layout };
                assert_eq!(Format::parse(format.to_disk()), Ok(format));
            }
        }
        assert_eq!(Format::parse(0b11), Err(1));
        assert_eq!(Format::parse(0x10), Err(8));
        for kind in FileType::ALL {
            assert_eq!(FileType::from_mode(kind.mode_bits() | 0o7777), Some(kind));
        }
        assert_eq!(FileType::from_mode(0o777), None);
    }
}
