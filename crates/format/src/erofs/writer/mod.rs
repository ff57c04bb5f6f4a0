//! Writes a [`Tree`] as a composefs metadata image, bit for bit as C `mkcomposefs` does
//! (`libcomposefs/lcfs-writer-erofs.c`), and with SHA-512 digests as composefs-rs does.
//!
//! Two passes: [`Layout::of`] finds out where everything will lie, in a table of 24 bytes for
//! each inode, and [`Layout::write`] then writes from the first byte to the last. Neither
//! the image nor a rewritten copy of the tree is ever held in memory, and nothing recurses.

mod emit;
mod layout;
mod order;
mod rewrite;
mod shared;

use std::io::{self, Write};

pub use layout::Layout;

use super::FormatVersion;
use crate::tree::Tree;

/// Writes the metadata image of `tree` to `out` and returns its size in bytes.
///
/// # Errors
/// Something in the tree that an image cannot have, or a failing `out`. Nothing is written
/// in the first case.
pub fn write_metadata_image(
    tree: &Tree,
    version: FormatVersion,
    out: &mut impl Write,
) -> Result<u64, WriteError> {
    let layout = Layout::of(tree, version)?;
    layout.write(out)?;
    Ok(layout.size_bytes())
}

/// Why a tree cannot be written as a metadata image.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// The output failed.
    #[error("cannot write the metadata image: {0}")]
    Io(#[from] io::Error),
    /// An inode has something that an image cannot have.
    #[error("{path}: {what}")]
    Inode {
        /// Its path, with odd bytes escaped; a long one is cut in the middle.
        path: String,
        /// What is wrong.
        what: InodeError,
    },
    /// There are too many inodes, or they take too much room.
    #[error("the tree does not fit into a metadata image: {0}")]
    TooLarge(&'static str),
}

/// What an inode has that an image cannot have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InodeError {
    /// An inline content beyond [`INLINE_CONTENT_MAX_BYTES`](super::INLINE_CONTENT_MAX_BYTES).
    #[error("its inline content has {0} bytes; at most 5000 can be inline")]
    InlineContent(usize),
    /// A file outside the image that is too large for its table of chunks.
    #[error("it has {0} bytes; files of more than 2^53 bytes cannot be described")]
    FileSize(u64),
    /// The path of a file outside the image is too long, or has a NUL byte.
    #[error("the path of its content must have fewer than 4096 bytes and no NUL")]
    ContentPath,
    /// A symbolic link's target that is empty, too long, or has a NUL byte.
    #[error("its target must have 1 to 4095 bytes and no NUL")]
    SymlinkTarget,
    /// An attribute's name that is empty, too long, or has a NUL byte.
    #[error("the name of attribute {name:?} must have 1 to 255 bytes after its prefix and no NUL")]
    XattrName {
        /// The name, with odd bytes escaped.
        name: String,
    },
    /// An attribute's value that is too long.
    #[error("the value of attribute {name:?} has {bytes} bytes; at most 65535 are possible")]
    XattrValue {
        /// The name, with odd bytes escaped.
        name: String,
        /// The bytes of the value.
        bytes: usize,
    },
    /// Attributes that take too much room together.
    #[error("its attributes take {0} bytes; at most 262148 are possible")]
    Xattrs(u64),
}
