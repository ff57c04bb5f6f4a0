//! The first block: the name of the version and the EROFS superblock.

use zerocopy::little_endian::U16;
use zerocopy::{FromBytes, FromZeros, IntoBytes};

use super::inode::FIRST_NID;
use super::{BLOCK_BYTES, BLOCK_STEP, VERSION_NAME};
use crate::erofs::BLOCK_BITS;
use crate::erofs::superblock::{
    COMPAT_MTIME, INCOMPAT_CHUNKED_FILE, SUPER_MAGIC, SUPER_OFFSET, SuperBlock, Superblock,
    UnsupportedSuperblock,
};

/// What the first block of a pack says beyond what all of them have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Block0 {
    /// The number of inodes, directories included.
    pub(super) inodes: u64,
    /// The blocks of the filesystem; the dm-verity superblock is in the next one.
    pub(super) blocks: u32,
    /// The block that nids are counted from, one before the first inode.
    pub(super) meta_block: u32,
}

/// Why a block is not the first one of a pack.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotAPack {
    /// No name of a version that is known.
    #[error("it does not begin with {VERSION_NAME:?}")]
    Name,
    /// Not EROFS, or EROFS that asks for too much.
    #[error(transparent)]
    Superblock(#[from] UnsupportedSuperblock),
    /// A difference in what all packs have in common.
    #[error("its first block differs from that of a pack at offset {0}")]
    Bytes(usize),
}

impl Block0 {
    /// The whole block.
    pub(super) fn to_bytes(self) -> Vec<u8> {
        let disk = SuperBlock {
            magic: SUPER_MAGIC.into(),
            feature_compat: COMPAT_MTIME.into(),
            blkszbits: BLOCK_BITS,
            root_nid: U16::new(FIRST_NID),
            inos: self.inodes.into(),
            blocks: self.blocks.into(),
            meta_blkaddr: self.meta_block.into(),
            feature_incompat: INCOMPAT_CHUNKED_FILE.into(),
            ..SuperBlock::new_zeroed()
        };
        let mut block = VERSION_NAME.as_bytes().to_vec();
        block.resize(super::to_usize(SUPER_OFFSET), 0);
        block.extend_from_slice(disk.as_bytes());
        block.resize(BLOCK_BYTES, 0);
        block
    }

    /// Reads the block, any difference from what [`to_bytes`](Self::to_bytes) makes an error.
    pub(super) fn parse(block: &[u8]) -> Result<Self, NotAPack> {
        let rest = block.strip_prefix(VERSION_NAME.as_bytes()).ok_or(NotAPack::Name)?;
        if rest.first() != Some(&0) {
            return Err(NotAPack::Name);
        }
        let superblock = block.get(super::to_usize(SUPER_OFFSET)..).unwrap_or_default();
        let (disk, _) = SuperBlock::ref_from_prefix(superblock).map_err(|_| UnsupportedSuperblock::Magic)?;
        let superblock = Superblock::parse_with(disk, INCOMPAT_CHUNKED_FILE)?;
        let this = Self {
            inodes: superblock.inode_count,
            blocks: superblock.blocks,
            meta_block: superblock.meta_blkaddr,
        };
        let expected = this.to_bytes();
        match expected.iter().zip(block).position(|(ours, theirs)| ours != theirs) {
            Some(offset) => Err(NotAPack::Bytes(offset)),
            None if block.len() != expected.len() => Err(NotAPack::Bytes(block.len().min(expected.len()))),
            None => Ok(this),
        }
    }

    /// Bytes of the filesystem: where the hash area begins.
    pub(super) fn filesystem_bytes(self) -> u64 {
        u64::from(self.blocks).saturating_mul(BLOCK_STEP)
    }
}
