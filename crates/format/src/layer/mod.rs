//! The record of a layer: its entries in the order of the tar, contents replaced by objects.
//!
//! A record is what the store keeps of a layer, so that a known layer is neither
//! fetched nor read again. `docs/formats/layer.md` holds the byte table.

mod reader;
mod writer;

pub use reader::{LayerError, LayerReader};
pub use writer::LayerWriter;

use crate::tree::{Content, Metadata};

/// The first bytes of every record, the last of them the version.
const MAGIC: [u8; 8] = *b"SPLAYER\x01";

/// The longest path or link target in a record, in bytes (PATH_MAX of Linux without its NUL).
pub const PATH_MAX_BYTES: usize = 4095;

/// The longest value of an extended attribute, in bytes (XATTR_SIZE_MAX of Linux).
const XATTR_VALUE_MAX_BYTES: usize = 64 * 1024;

/// The longest name of an extended attribute, in bytes (XATTR_NAME_MAX of Linux).
const XATTR_NAME_MAX_BYTES: usize = 255;

/// The most extended attributes of one entry.
const XATTRS_MAX: usize = 1024;

/// One entry of a layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerEntry {
    /// Path from the root: names separated by single slashes, none at either end; empty for the root.
    /// Of a whiteout: the path that goes.
    pub path: Vec<u8>,
    /// What stands there, or happens there.
    pub item: LayerItem,
}

/// What a layer has at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LayerItem {
    /// An inode. Its metadata is as in the tar, all attributes included.
    Inode(Metadata, LayerKind),
    /// A further name for what stands at the path given here, written as [`LayerEntry::path`] is.
    HardLink(Vec<u8>),
    /// The path is removed from the layers below (image-spec, layer.md, "Whiteouts").
    Whiteout,
    /// What the layers below have in this directory is removed ("Opaque Whiteout").
    Opaque,
}

/// The type of an inode in a layer, with what belongs to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LayerKind {
    /// A directory.
    Directory,
    /// A regular file, its content inline or an object.
    Regular(Content),
    /// A symbolic link with its target.
    Symlink(Vec<u8>),
    /// A character device with its number in the kernel's 32-bit encoding.
    CharDevice(u32),
    /// A block device with its number in the kernel's 32-bit encoding.
    BlockDevice(u32),
    /// A named pipe.
    Fifo,
}

/// The byte before each entry.
mod tag {
    pub(super) const END: u8 = 0;
    pub(super) const DIRECTORY: u8 = 1;
    pub(super) const INLINE: u8 = 2;
    pub(super) const OBJECT: u8 = 3;
    pub(super) const SYMLINK: u8 = 4;
    pub(super) const CHAR_DEVICE: u8 = 5;
    pub(super) const BLOCK_DEVICE: u8 = 6;
    pub(super) const FIFO: u8 = 7;
    pub(super) const HARD_LINK: u8 = 8;
    pub(super) const WHITEOUT: u8 = 9;
    pub(super) const OPAQUE: u8 = 10;
}

#[cfg(test)]
mod tests;
