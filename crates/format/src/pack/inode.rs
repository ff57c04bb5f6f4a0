//! The inodes of packs.

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, IntoBytes};

use super::{BLOCK_BYTES, BLOCK_STEP, CHUNK_BLOCKS};
use crate::erofs::inode::{
    COMPACT_BYTES, DataLayout, EXTENDED_BYTES, FileType, Format, InodeCompact, InodeExtended,
};

/// The number of the first inode, the root directory: nids are counted from one block before the
/// first inode, so that none is 0.
pub(super) const FIRST_NID: u16 = 128;

/// `i_u` of files in chunks: log2 of [`CHUNK_BLOCKS`], and addresses of four bytes.
const CHUNK_FORMAT: u32 = 4;

/// The bit of a chunk format that says that the table has device numbers
/// (`EROFS_CHUNK_FORMAT_INDEXES`).
const CHUNK_FORMAT_INDEXES: u32 = 0x20;

/// The fixed part of an inode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Inode {
    /// `i_ino`: files are numbered from 1 on in the order of their first appearance, then the
    /// root directory and the others.
    pub(super) number: u32,
    pub(super) size_bytes: u64,
    pub(super) kind: InodeKind,
    pub(super) data: InodeData,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum InodeKind {
    File,
    Directory { links: u16 },
}

/// Where the data of an inode lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum InodeData {
    /// In blocks from this one on (0 without a block); what of it is in no block is the tail
    /// behind the inode.
    Flat { first_block: u32, has_tail: bool },
    /// In chunks, whose addresses are behind the inode.
    Chunks,
}

/// Why 32 bytes are not the start of a pack's inode.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadInode {
    /// The data is compressed, or laid out in an unknown way.
    #[error("its data is compressed or laid out in a way that packs do not have (layout {0})")]
    DataLayout(u16),
    /// Addresses with device numbers.
    #[error("its chunks are on numbered devices; data on other devices is refused")]
    Devices,
    /// Neither a regular file nor a directory.
    #[error("its mode {0:o} is that of neither a file nor a directory")]
    FileType(u16),
    /// Something else differs.
    #[error(
        "it is not as packs have it (one link, read-only, of user and group 0, without times and attributes)"
    )]
    Fields,
}

impl Inode {
    /// The number of blocks before the tail, and the bytes of the tail, of flat data: a tail that
    /// does not fit into a block behind the inode has a block.
    pub(super) fn split(size_bytes: u64) -> (u64, usize) {
        let tail = super::to_usize(size_bytes % BLOCK_STEP);
        if tail == 0 || Self::bytes_of(size_bytes).saturating_add(tail) > BLOCK_BYTES {
            (size_bytes.div_ceil(BLOCK_STEP), 0)
        } else {
            (size_bytes / BLOCK_STEP, tail)
        }
    }

    /// The number of chunks of a file of `size_bytes`.
    pub(super) const fn chunk_count(size_bytes: u64) -> u64 {
        size_bytes.div_ceil(BLOCK_STEP.saturating_mul(CHUNK_BLOCKS))
    }

    /// Bytes of the fixed part of an inode with `size_bytes` of data: extended where a compact
    /// one has no room for the size.
    pub(super) fn bytes_of(size_bytes: u64) -> usize {
        let compact = u32::try_from(size_bytes).is_ok();
        super::to_usize(if compact { COMPACT_BYTES } else { EXTENDED_BYTES })
    }

    /// The fixed part as it lies on disk.
    pub(super) fn to_disk(self) -> Vec<u8> {
        let (layout, i_u) = match self.data {
            InodeData::Flat { first_block, has_tail: false } => (DataLayout::FlatPlain, first_block),
            InodeData::Flat { first_block, has_tail: true } => (DataLayout::FlatInline, first_block),
            InodeData::Chunks => (DataLayout::ChunkBased, CHUNK_FORMAT),
        };
        let (mode, links) = match self.kind {
            InodeKind::File => (FileType::Regular.mode_bits() | 0o444, 1),
            InodeKind::Directory { links } => (FileType::Directory.mode_bits() | 0o555, links),
        };
        match u32::try_from(self.size_bytes) {
            Ok(size) => InodeCompact {
                i_format: Format { compact: true, layout }.to_disk().into(),
                i_xattr_icount: U16::ZERO,
                i_mode: mode.into(),
                i_nlink: links.into(),
                i_size: size.into(),
                i_reserved: U32::ZERO,
                i_u: i_u.into(),
                i_ino: self.number.into(),
                i_uid: U16::ZERO,
                i_gid: U16::ZERO,
                i_reserved2: U32::ZERO,
            }
            .as_bytes()
            .to_vec(),
            Err(_) => InodeExtended {
                i_format: Format { compact: false, layout }.to_disk().into(),
                i_xattr_icount: U16::ZERO,
                i_mode: mode.into(),
                i_reserved: U16::ZERO,
                i_size: self.size_bytes.into(),
                i_u: i_u.into(),
                i_ino: self.number.into(),
                i_uid: U32::ZERO,
                i_gid: U32::ZERO,
                i_mtime: U64::ZERO,
                i_mtime_nsec: U32::ZERO,
                i_nlink: u32::from(links).into(),
                i_reserved2: [0; 16],
            }
            .as_bytes()
            .to_vec(),
        }
    }

    /// Reads the inode at the start of `bytes`; any difference from what
    /// [`to_disk`](Self::to_disk) makes is an error.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, BadInode> {
        let (compact, _) = InodeCompact::ref_from_prefix(bytes).map_err(|_| BadInode::Fields)?;
        let format = Format::parse(compact.i_format.get()).map_err(BadInode::DataLayout)?;
        let (size_bytes, links) = if format.compact {
            (compact.i_size.get().into(), compact.i_nlink.get())
        } else {
            let (extended, _) = InodeExtended::ref_from_prefix(bytes).map_err(|_| BadInode::Fields)?;
            let links = u16::try_from(extended.i_nlink.get()).map_err(|_| BadInode::Fields)?;
            (extended.i_size.get(), links)
        };
        // Mode, `i_u` and `i_ino` lie in both forms at the same place.
        let mode = compact.i_mode.get();
        let kind = match FileType::from_mode(mode) {
            Some(FileType::Regular) => InodeKind::File,
            Some(FileType::Directory) => InodeKind::Directory { links },
            _ => return Err(BadInode::FileType(mode)),
        };
        let first_block = compact.i_u.get();
        let data = match format.layout {
            DataLayout::FlatPlain => InodeData::Flat { first_block, has_tail: false },
            DataLayout::FlatInline => InodeData::Flat { first_block, has_tail: true },
            DataLayout::ChunkBased if first_block & CHUNK_FORMAT_INDEXES != 0 => {
                return Err(BadInode::Devices);
            }
            DataLayout::ChunkBased => InodeData::Chunks,
        };
        let this = Self { number: compact.i_ino.get(), size_bytes, kind, data };
        let has_tail = Self::split(size_bytes).1 > 0;
        let is_right = match data {
            InodeData::Flat { has_tail: stated, .. } => stated == has_tail,
            InodeData::Chunks => kind == InodeKind::File,
        };
        if is_right && bytes.starts_with(&this.to_disk()) { Ok(this) } else { Err(BadInode::Fields) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tails_that_do_not_fit_behind_the_inode_get_a_block() {
        assert_eq!(Inode::split(0), (0, 0));
        assert_eq!(Inode::split(1), (0, 1));
        assert_eq!(Inode::split(4064), (0, 4064));
        assert_eq!(Inode::split(4065), (1, 0));
        assert_eq!(Inode::split(4096), (1, 0));
        assert_eq!(Inode::split(4096 + 4064), (1, 4064));
        assert_eq!(Inode::split((1 << 32) - 1), (1 << 20, 0));
        assert_eq!(Inode::split((1 << 32) + 4032), (1 << 20, 4032));
        assert_eq!(Inode::split((1 << 32) + 4033), ((1 << 20) + 1, 0));
    }

    #[test]
    fn inodes_survive_their_bytes_and_any_other_byte_is_refused_or_means_something() {
        for size_bytes in [100, 4096, 4096 + 100, 1 << 33] {
            for kind in [InodeKind::File, InodeKind::Directory { links: 3 }] {
                let has_tail = Inode::split(size_bytes).1 > 0;
                let data = InodeData::Flat { first_block: 7, has_tail };
                let inode = Inode { number: 5, size_bytes, kind, data };
                let bytes = inode.to_disk();
                assert_eq!(bytes.len(), Inode::bytes_of(size_bytes));
                assert_eq!(Inode::parse(&bytes), Ok(inode));
                for offset in 0..bytes.len() {
                    let mut bytes = bytes.clone();
                    bytes[offset] ^= 0x40;
                    assert_ne!(Inode::parse(&bytes), Ok(inode), "byte {offset}");
                }
                assert!(Inode::parse(&bytes[..bytes.len() - 1]).is_err());
            }
        }
    }

    #[test]
    fn compression_devices_and_other_types_are_refused_by_name() {
        let inode = Inode { number: 1, size_bytes: 1 << 20, kind: InodeKind::File, data: InodeData::Chunks };
        let message = |offset: usize, byte: u8| {
            let mut bytes = inode.to_disk();
            bytes[offset] = byte;
            Inode::parse(&bytes).unwrap_err().to_string()
        };
        assert!(message(0, 1 << 1).contains("compressed"));
        assert!(message(0, 3 << 1).contains("compressed"));
        assert!(message(16, 0x24).contains("devices"));
        assert!(message(5, 0o240).contains("neither a file nor a directory"));
        assert!(message(4, 0o555u16.to_le_bytes()[0]).contains("not as packs have it"));
        assert!(message(2, 1).contains("attributes"));
    }
}
