//! Reads metadata images, whatever bytes they have.
//!
//! Everything is checked where it is used: a bad image gives an error that names the inode and
//! what is wrong with it. Nothing recurses, and what is read of an image is at most as much as
//! its bytes: inodes that overlap to seem more are refused.
//!
//! Format versions 0 and 1 of composefs are understood. What they never have is refused by its
//! name: compression, other devices, other block sizes, contents in the image's own blocks,
//! and composefs-rs's format 2.

mod depth;
mod entries;
mod error;
mod inode;
mod to_tree;
mod walk;
mod xattrs;

use zerocopy::FromBytes;

pub use depth::DepthFirst;
pub use entries::{Entries, Entry};
pub use error::{Damage, ImageError};
pub use inode::{External, FileContent, ImageInode};
pub use walk::{NamedInode, Walk};
pub use xattrs::{Xattr, XattrIter};

use super::header::{Header, LcfsErofsHeader};
use super::superblock::{SUPER_BYTES, SUPER_OFFSET, SuperBlock, Superblock};
use super::{BLOCK_BYTES, slice, to_u64, to_usize};

/// What an image of `actual` bytes says at its start of itself, and how many bytes it must have.
fn start(bytes: &[u8], actual: u64) -> Result<(Header, Superblock, u64), ImageError> {
    let truncated = |needed| ImageError::Truncated { needed, actual };
    let (header, _) = LcfsErofsHeader::ref_from_prefix(bytes)
        .map_err(|_| truncated(SUPER_OFFSET.saturating_add(SUPER_BYTES)))?;
    let header = Header::parse(header)?;
    let superblock = slice(bytes, SUPER_OFFSET, SUPER_BYTES)
        .and_then(|bytes| SuperBlock::ref_from_bytes(bytes).ok())
        .ok_or(truncated(SUPER_OFFSET.saturating_add(SUPER_BYTES)))?;
    let superblock = Superblock::parse(superblock)?;
    let needed = u64::from(superblock.blocks).saturating_mul(BLOCK_BYTES);
    if needed > actual { Err(truncated(needed)) } else { Ok((header, superblock, needed)) }
}

/// A composefs metadata image in memory.
#[derive(Debug, Clone, Copy)]
pub struct Image<'a> {
    /// As many bytes as the superblock states.
    bytes: &'a [u8],
    header: Header,
    superblock: Superblock,
}

impl<'a> Image<'a> {
    /// The image at the start of `bytes`; something else, such as a hash tree, may follow it.
    ///
    /// # Errors
    /// Bytes that are not a composefs metadata image of version 0 or 1, or not all of it.
    pub fn open(bytes: &'a [u8]) -> Result<Self, ImageError> {
        let actual = to_u64(bytes.len());
        let (header, superblock, needed) = start(bytes, actual)?;
        let bytes = bytes.get(..to_usize(needed)).ok_or(ImageError::Truncated { needed, actual })?;
        Ok(Self { bytes, header, superblock })
    }

    /// Checks what [`open`](Self::open) checks of an image of `size_bytes`, whose first bytes, a block of them, are `bytes`.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn check_start(bytes: &[u8], size_bytes: u64) -> Result<(), ImageError> {
        start(bytes, size_bytes).map(drop)
    }

    /// What the composefs header says.
    #[must_use]
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// What the EROFS superblock says.
    #[must_use]
    pub const fn superblock(&self) -> &Superblock {
        &self.superblock
    }

    /// Bytes of the image, without what may follow it.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        to_u64(self.bytes.len())
    }

    /// The root directory.
    ///
    /// # Errors
    /// A bad inode, or one that is not a directory.
    pub fn root(&self) -> Result<ImageInode<'a>, ImageError> {
        let root = self.inode(self.superblock.root_nid)?;
        if root.file_type() != super::inode::FileType::Directory {
            return Err(root.damaged(Damage::RootType));
        }
        Ok(root)
    }

    /// The inode with number `nid`, which is its offset in 32-byte slots.
    ///
    /// # Errors
    /// A bad inode, or none there.
    pub fn inode(&self, nid: u64) -> Result<ImageInode<'a>, ImageError> {
        ImageInode::read(*self, nid)
    }

    /// What is at `path`: names separated by slashes, empty ones and `.` skipped; symbolic links
    /// and `..` are not followed.
    ///
    /// # Errors
    /// A bad directory or inode on the way.
    pub fn lookup(&self, path: &[u8]) -> Result<Option<ImageInode<'a>>, ImageError> {
        let mut inode = self.root()?;
        for name in path.split(|byte| *byte == b'/').filter(|name| !name.is_empty() && *name != b".") {
            if name == b".." || inode.file_type() != super::inode::FileType::Directory {
                return Ok(None);
            }
            let mut found = None;
            for entry in inode.entries()? {
                let entry = entry?;
                if entry.name == name {
                    found = Some(entry.nid);
                    break;
                }
            }
            let Some(nid) = found else { return Ok(None) };
            inode = self.inode(nid)?;
        }
        Ok(Some(inode))
    }

    /// All names of the image but `.` and `..`, directory by directory.
    #[must_use]
    pub fn walk(&self) -> Walk<'a> {
        Walk::new(*self)
    }

    /// All names of the image but `.` and `..`, each directory right before what is in it. With
    /// `only`, of the root's entries those with these names.
    #[must_use]
    pub fn walk_depth_first(&self, only: Option<&[&[u8]]>) -> DepthFirst<'a> {
        DepthFirst::new(*self, only)
    }

    /// The contents outside the image, one for each file (not for each name of it). Equal
    /// files have equal contents, so the same may come more than once.
    pub fn objects(&self) -> impl Iterator<Item = Result<External<'a>, ImageError>> {
        self.walk().filter_map(|found| {
            let is_external = |found: &NamedInode<'_>| !found.again && found.inode.is_external();
            match found {
                Ok(found) if is_external(&found) => Some(found.inode.external()),
                Ok(_) => None,
                Err(error) => Some(Err(error)),
            }
        })
    }
}
