//! Why layers do not make an image.

use sealpack_format::layer::LayerError;
use sealpack_format::tree::TreeError;

use crate::budget::OverLimit;

/// The most bytes of extended attributes of an image. A tar can give millions of entries the
/// same ones at no cost of its own.
pub(super) const XATTRS_MAX_BYTES: usize = 256 * 1024 * 1024;

/// Why layers do not make an image.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MergeError {
    /// An entry has no place in the tree.
    #[error("layer {layer}: entry \"{}\": {problem}", path.escape_ascii())]
    Entry {
        /// The layer's number, counted from 1 at the bottom.
        layer: usize,
        /// The entry's path, cut after 255 bytes.
        path: Vec<u8>,
        /// What is wrong with it.
        problem: EntryProblem,
    },
    /// A layer's record cannot be read.
    #[error("layer {layer}: {source}")]
    Record {
        /// The layer's number, counted from 1 at the bottom.
        layer: usize,
        /// What is wrong.
        source: LayerError,
    },
    /// The image wants more than it may have.
    #[error("layer {layer}: {source}")]
    OverLimit {
        /// The layer's number, counted from 1 at the bottom.
        layer: usize,
        /// What it wants too much of.
        source: OverLimit,
    },
}

/// What is wrong with a layer's entry.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EntryProblem {
    /// It is below something that has no entries.
    #[error("\"{}\" is not a directory, so nothing can be below it", cut(.0))]
    BelowFile(Vec<u8>),
    /// It is below a symbolic link that leads nowhere, or in circles.
    #[error("the symbolic link \"{}\" above it does not lead to a directory", cut(.0))]
    BelowDanglingLink(Vec<u8>),
    /// It is a hard link to nothing.
    #[error("it is a hard link to \"{}\", which is not in the image", cut(.0))]
    LinkToNothing(Vec<u8>),
    /// It is a hard link to a directory.
    #[error("it is a hard link to \"{}\", which is a directory", cut(.0))]
    LinkToDirectory(Vec<u8>),
    /// The ways to it and to the entries before it are too long together.
    #[error("the ways to the image's entries, links followed, are too long")]
    TooManySteps,
    /// The attributes of the entries so far are too large together.
    #[error("the image has more than {} MiB of extended attributes", XATTRS_MAX_BYTES / 1024 / 1024)]
    TooManyXattrs,
    /// The root is not a directory.
    #[error("the root of an image must be a directory")]
    Root,
    /// The tree does not take it.
    #[error(transparent)]
    Tree(#[from] TreeError),
}

/// The beginning of a path, for a message.
fn cut(path: &[u8]) -> impl std::fmt::Display {
    path[..path.len().min(255)].escape_ascii()
}
