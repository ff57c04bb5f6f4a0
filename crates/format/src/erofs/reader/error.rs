//! What can be wrong with an image.

use crate::erofs::header::UnsupportedHeader;
use crate::erofs::superblock::UnsupportedSuperblock;
use crate::tree::TreeError;

/// Why an image cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ImageError {
    /// Not a composefs image of a version that is supported.
    #[error("this is not a metadata image that can be read: {0}")]
    Header(#[from] UnsupportedHeader),
    /// Not an EROFS image, or one with features that composefs images do not have.
    #[error("this is not a metadata image that can be read: {0}")]
    Superblock(#[from] UnsupportedSuperblock),
    /// Bytes are missing.
    #[error("the metadata image is cut off: it should have {needed} bytes, but there are {actual}")]
    Truncated {
        /// The bytes it should have.
        needed: u64,
        /// The bytes there are.
        actual: u64,
    },
    /// Something is wrong with an inode.
    #[error("the metadata image is damaged: inode {nid}: {damage}")]
    Inode {
        /// The number of the inode.
        nid: u64,
        /// What is wrong with it.
        damage: Damage,
    },
}

/// What is wrong with an inode of an image.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// It lies outside the image.
    #[error("it lies beyond the end of the image")]
    Place,
    /// Its data layout is unknown or compressed.
    #[error("its data layout {0} is not supported; metadata images have no compressed data")]
    DataLayout(u16),
    /// Its mode has no known file type.
    #[error("its mode {0:o} has no known file type")]
    FileType(u16),
    /// The root is something else than a directory.
    #[error("the root is not a directory")]
    RootType,
    /// Its time cannot be.
    #[error("its time has {0} nanoseconds")]
    Time(u32),
    /// Its data lies outside the image.
    #[error("its data lies beyond the end of the image")]
    DataPlace,
    /// Its inline tail crosses a block.
    #[error("the tail of its data crosses a block or is missing")]
    Tail,
    /// Its type cannot have that data layout or size.
    #[error("its type does not go with its data")]
    Data,
    /// The chunks of a file outside the image are not as its size says.
    #[error("its chunks do not fit its size")]
    Chunks,
    /// A chunk lies in the image.
    #[error("its content lies in blocks of the image; only files of up to 5000 bytes can")]
    ChunkAddress,
    /// An inline content beyond the format's limit.
    #[error("its inline content has {0} bytes; at most 5000 can be inline")]
    InlineContent(u64),
    /// A symbolic link with an impossible target.
    #[error("its target must have 1 to 4095 bytes and no NUL")]
    SymlinkTarget,
    /// A directory block that cannot be understood.
    #[error("its directory block {0} is malformed")]
    DirectoryBlock(u64),
    /// A name that cannot be in a directory.
    #[error("its directory has the impossible name {0:?}")]
    Name(String),
    /// Names out of order, or twice.
    #[error("its directory has the name {0:?} out of order or twice")]
    NameOrder(String),
    /// `.` or `..` leading elsewhere.
    #[error("its entry {0:?} leads elsewhere")]
    Dots(String),
    /// An entry whose type is not that of its inode.
    #[error("its entry {0:?} states another file type than the inode has")]
    EntryType(String),
    /// A directory that is found in two places, perhaps within itself.
    #[error("it is a directory that is in two places")]
    DirectoryTwice,
    /// Inodes or attributes overlap.
    #[error("it, its data or its attributes lie over others; together they are more than the image")]
    Overlap,
    /// Attributes that cannot be understood.
    #[error("its attributes are malformed: {0}")]
    Xattrs(&'static str),
    /// An overlayfs attribute where composefs has none.
    #[error("its attribute {0:?} is overlayfs's own, and not one that composefs would set here")]
    BareOverlay(String),
    /// A bad metacopy attribute.
    #[error("its attribute trusted.overlay.metacopy is bad: {0}")]
    Metacopy(&'static str),
    /// A bad redirect attribute.
    #[error("its attribute trusted.overlay.redirect is not an absolute path")]
    Redirect,
    /// A whiteout that is not escaped, where it is no stub.
    #[error("it is an unescaped whiteout, which composefs has for stubs in the root only")]
    BareWhiteout,
    /// Something that no tree can have.
    #[error(transparent)]
    Tree(#[from] TreeError),
}

/// Bytes for an error message: odd ones escaped, cut after 64.
pub(super) fn shown(bytes: &[u8]) -> String {
    bytes.get(..64).unwrap_or(bytes).escape_ascii().to_string()
}
