//! What can be wrong with a pack.

use std::{fmt, io};

use super::super::PackWriteError;
use super::super::block0::NotAPack;
use super::super::inode::BadInode;
use crate::digest::{ObjectId, RootHash};
use crate::verity::dmverity::UnsupportedSuperblock;

/// Why a pack cannot be read, or is none.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PackError {
    /// The file fails.
    #[error("cannot read the pack: {0}")]
    Source(#[source] io::Error),
    /// Where a content is to go fails.
    #[error("cannot pass an object of the pack on: {0}")]
    Output(#[source] io::Error),
    /// The first block is not that of a pack.
    #[error("this is not a pack that can be read: {0}")]
    Block0(#[from] NotAPack),
    /// The hash area does not begin as a pack's does.
    #[error("this is not a pack that can be read: {0}")]
    DmVerity(#[from] UnsupportedSuperblock),
    /// The two superblocks disagree.
    #[error("this is not a pack: its hash tree is for {stated} blocks, its filesystem has {filesystem}")]
    DataBlocks {
        /// The blocks that the dm-verity superblock states.
        stated: u64,
        /// The blocks of the filesystem.
        filesystem: u64,
    },
    /// Bytes are missing, or there are more.
    #[error("the pack should have {needed} bytes, but there are {actual}")]
    Size {
        /// The bytes it should have.
        needed: u64,
        /// The bytes there are.
        actual: u64,
    },
    /// Something is said to lie outside of the filesystem.
    #[error(
        "the pack is damaged: it refers to {length} bytes at offset {offset}, but its filesystem ends at {limit}"
    )]
    Beyond {
        /// Where.
        offset: u64,
        /// How many bytes.
        length: usize,
        /// The bytes of the filesystem, or of the whole file.
        limit: u64,
    },
    /// An inode that no pack has.
    #[error("this is not a pack: inode of {path}: {problem}")]
    Inode {
        /// The object, or the directory.
        path: String,
        /// What is wrong.
        problem: BadInode,
    },
    /// A directory that no pack has.
    #[error("this is not a pack: its directory {path} is malformed, unsorted or not where it belongs")]
    Directory {
        /// The directory.
        path: String,
    },
    /// A name that no pack has.
    #[error("this is not a pack: its directory {path} has {name:?}, which is not part of a digest")]
    Name {
        /// The directory.
        path: String,
        /// The name, with odd bytes escaped.
        name: String,
    },
    /// The inodes do not tell the order of the objects.
    #[error("this is not a pack: the inode numbers of its files are not 1, 2, 3 and so on")]
    Numbers,
    /// Another number of inodes than stated.
    #[error("this is not a pack: its superblock states {stated} inodes, but there are {actual}")]
    InodeCount {
        /// How many it states.
        stated: u64,
        /// How many there are.
        actual: u64,
    },
    /// An object that no pack has.
    #[error("this is not a pack: its object {id} has {size_bytes} bytes; objects have 65 bytes to 1 TiB")]
    ObjectSize {
        /// The object.
        id: ObjectId,
        /// Its size.
        size_bytes: u64,
    },
    /// A content with another digest than its name says.
    #[error("the pack is damaged: the content of its object {id} has the fs-verity digest {actual}")]
    Content {
        /// The object.
        id: ObjectId,
        /// The digest of what is there.
        actual: ObjectId,
    },
    /// The root hash is another one.
    #[error("the pack has the root hash {actual} instead of {expected}")]
    RootHash {
        /// What it should be.
        expected: RootHash,
        /// What it is.
        actual: RootHash,
    },
    /// Bytes differ from what its objects make.
    #[error("the pack is damaged: {part}, at offset {offset}, is not what its objects make")]
    Differs {
        /// The offset of the first byte that differs.
        offset: u64,
        /// What is there.
        part: PackPart,
    },
    /// The pack could not be made again to compare it.
    #[error("cannot verify the pack: {0}")]
    Rebuild(#[source] PackWriteError),
}

/// A part of a pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PackPart {
    /// The first block.
    FirstBlock,
    /// Blocks of contents, and those of directories.
    Data,
    /// Inodes and tails.
    Inodes,
    /// The dm-verity superblock and the hash tree.
    HashArea,
}

impl fmt::Display for PackPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::FirstBlock => "its first block",
            Self::Data => "its data",
            Self::Inodes => "an inode or a tail",
            Self::HashArea => "its dm-verity superblock or hash tree",
        })
    }
}
