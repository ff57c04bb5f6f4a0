//! Inodes of an image.

use std::borrow::Cow;

use zerocopy::FromBytes;

use super::entries::Entries;
use super::error::{Damage, ImageError};
use super::xattrs::{XattrIter, area_bytes};
use super::{Image, Superblock};
use crate::digest::ObjectId;
use crate::erofs::inode::{
    COMPACT_BYTES, Chunks, DataLayout, EXTENDED_BYTES, FileType, Format, InodeCompact, InodeExtended,
    NULL_ADDRESS,
};
use crate::erofs::{BLOCK_BYTES, INLINE_CONTENT_MAX_BYTES, SLOT_BYTES, overlay, slice, to_u64};
use crate::tree::{Content, SYMLINK_MAX_BYTES, Time};

/// An inode of an image, with what its 32 or 64 bytes say.
#[derive(Debug, Clone, Copy)]
pub struct ImageInode<'a> {
    image: Image<'a>,
    nid: u64,
    raw: Raw,
    file_type: FileType,
    format: Format,
    /// Header and entries of the attributes.
    xattr_area: &'a [u8],
    /// Where the area lies in the image.
    xattr_offset: u64,
}

/// The fields that both forms of inodes have.
#[derive(Debug, Clone, Copy)]
struct Raw {
    i_format: u16,
    xattr_count: u16,
    mode: u16,
    number: u32,
    links: u32,
    uid: u32,
    gid: u32,
    mtime: Time,
    size: u64,
    i_u: u32,
}

/// The content of a regular file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileContent<'a> {
    /// The bytes.
    Inline(Cow<'a, [u8]>),
    /// Something outside the image.
    External(External<'a>),
}

/// A content outside the image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct External<'a> {
    /// The path in the data-only layers without its leading slash; empty if none is stated.
    pub path: &'a [u8],
    /// The fs-verity digest that the content must have, if one is stated.
    pub digest: Option<ObjectId>,
    /// The size of the content.
    pub size_bytes: u64,
}

impl From<External<'_>> for Content {
    fn from(external: External<'_>) -> Self {
        Self::outside(external.size_bytes, external.path.into(), external.digest)
    }
}

impl<'a> ImageInode<'a> {
    pub(super) fn read(image: Image<'a>, nid: u64) -> Result<Self, ImageError> {
        let damaged = |damage| ImageError::Inode { nid, damage };
        let start = u64::from(image.superblock.meta_blkaddr).saturating_mul(BLOCK_BYTES);
        let offset = nid.checked_mul(SLOT_BYTES).and_then(|offset| offset.checked_add(start));
        let offset = offset.ok_or_else(|| damaged(Damage::Place))?;
        let raw = raw(&image, offset).ok_or_else(|| damaged(Damage::Place))?;
        let format = Format::parse(raw.i_format).map_err(|layout| damaged(Damage::DataLayout(layout)))?;
        let file_type = FileType::from_mode(raw.mode).ok_or_else(|| damaged(Damage::FileType(raw.mode)))?;
        if raw.mtime.nanoseconds > 999_999_999 {
            return Err(damaged(Damage::Time(raw.mtime.nanoseconds)));
        }
        let xattr_offset = offset.saturating_add(format.inode_bytes());
        let xattr_area = slice(image.bytes, xattr_offset, area_bytes(raw.xattr_count))
            .ok_or_else(|| damaged(Damage::Xattrs("they lie beyond the end of the image")))?;
        Ok(Self { image, nid, raw, file_type, format, xattr_area, xattr_offset })
    }

    /// Its number: its offset in 32-byte slots.
    #[must_use]
    pub const fn nid(&self) -> u64 {
        self.nid
    }

    /// `i_ino`: in composefs images, its rank in breadth-first order.
    #[must_use]
    pub const fn number(&self) -> u32 {
        self.raw.number
    }

    /// Its type.
    #[must_use]
    pub const fn file_type(&self) -> FileType {
        self.file_type
    }

    /// Permission bits with setuid, setgid and sticky.
    #[must_use]
    pub const fn permissions(&self) -> u16 {
        self.raw.mode & 0o7777
    }

    /// The stated link count.
    #[must_use]
    pub const fn links(&self) -> u32 {
        self.raw.links
    }

    /// Owner.
    #[must_use]
    pub const fn uid(&self) -> u32 {
        self.raw.uid
    }

    /// Group.
    #[must_use]
    pub const fn gid(&self) -> u32 {
        self.raw.gid
    }

    /// Time of last modification.
    #[must_use]
    pub const fn mtime(&self) -> Time {
        self.raw.mtime
    }

    /// The stated size, of a directory that of its entries.
    #[must_use]
    pub const fn size_bytes(&self) -> u64 {
        self.raw.size
    }

    /// Where its data lies.
    #[must_use]
    pub const fn data_layout(&self) -> DataLayout {
        self.format.layout
    }

    /// The number of a device, in the kernel's encoding; 0 of anything else.
    #[must_use]
    pub const fn device_number(&self) -> u32 {
        match self.file_type {
            FileType::CharDevice | FileType::BlockDevice => self.raw.i_u,
            _ => 0,
        }
    }

    /// Its attributes as they are in the image, those for overlayfs included.
    ///
    /// # Errors
    /// A malformed area; malformed entries come as errors of the iterator.
    pub fn xattrs(&self) -> Result<XattrIter<'a>, ImageError> {
        let Superblock { xattr_blkaddr, .. } = self.image.superblock;
        let table_offset = u64::from(xattr_blkaddr).saturating_mul(BLOCK_BYTES);
        XattrIter::new(self.nid, self.xattr_area, self.image.bytes, table_offset)
    }

    /// The entries of a directory, `.` and `..` among them.
    ///
    /// # Errors
    /// Not a directory, or data beyond the image; malformed blocks come as errors of the iterator.
    pub fn entries(&self) -> Result<Entries<'a>, ImageError> {
        if self.file_type != FileType::Directory {
            return Err(self.damaged(Damage::Data));
        }
        let (blocks, tail) = self.flat_data()?;
        Ok(Entries::new(self.nid, blocks, tail))
    }

    /// The target of a symbolic link.
    ///
    /// # Errors
    /// Not a symbolic link, or one with an impossible target.
    pub fn symlink_target(&self) -> Result<&'a [u8], ImageError> {
        if self.file_type != FileType::Symlink {
            return Err(self.damaged(Damage::Data));
        }
        let (blocks, tail) = self.flat_data()?;
        // One of the two is empty: there is less than a block.
        let target = if blocks.is_empty() { tail } else { blocks };
        if !(1..=SYMLINK_MAX_BYTES).contains(&target.len()) || target.contains(&0) {
            return Err(self.damaged(Damage::SymlinkTarget));
        }
        Ok(target)
    }

    /// Whether it is a file whose content is outside the image.
    #[must_use]
    pub fn is_external(&self) -> bool {
        self.file_type == FileType::Regular && self.format.layout == DataLayout::ChunkBased
    }

    /// The content of a regular file.
    ///
    /// # Errors
    /// Not a regular file, or one whose content is not as composefs has it.
    pub fn content(&self) -> Result<FileContent<'a>, ImageError> {
        if self.file_type != FileType::Regular {
            return Err(self.damaged(Damage::Data));
        }
        if self.is_external() {
            return self.external().map(FileContent::External);
        }
        if self.raw.size > to_u64(INLINE_CONTENT_MAX_BYTES) {
            return Err(self.damaged(Damage::InlineContent(self.raw.size)));
        }
        Ok(FileContent::Inline(match self.flat_data()? {
            (blocks, []) => blocks.into(),
            ([], tail) => tail.into(),
            (blocks, tail) => [blocks, tail].concat().into(),
        }))
    }

    /// The content of a file for which [`is_external`](Self::is_external).
    pub(super) fn external(&self) -> Result<External<'a>, ImageError> {
        self.check_chunks()?;
        let (mut metacopy, mut redirect) = (None, None);
        for xattr in self.xattrs()? {
            let xattr = xattr?;
            if xattr.is(overlay::METACOPY) {
                metacopy = Some(xattr.value);
            } else if xattr.is(overlay::REDIRECT) {
                redirect = Some(xattr.value);
            }
        }
        let metacopy = metacopy.ok_or_else(|| self.damaged(Damage::Metacopy("it is missing")))?;
        let digest =
            overlay::parse_metacopy(metacopy).map_err(|what| self.damaged(Damage::Metacopy(what)))?;
        let path = match redirect {
            None => b"".as_slice(),
            Some([b'/', path @ ..]) if (1..=4095).contains(&path.len()) && !path.contains(&0) => path,
            Some(_) => return Err(self.damaged(Damage::Redirect)),
        };
        Ok(External { path, digest, size_bytes: self.raw.size })
    }

    /// Checks that the chunks are as many as the size asks for, and all of them holes.
    fn check_chunks(&self) -> Result<(), ImageError> {
        let chunks = Chunks::of(self.raw.size).filter(|chunks| chunks.count > 0);
        let chunks = chunks.ok_or_else(|| self.damaged(Damage::Chunks))?;
        if self.raw.i_u & 0xffff != u32::from(chunks.to_disk()) {
            return Err(self.damaged(Damage::Chunks));
        }
        let (offset, bytes) = (self.tail_offset(), chunks.table_bytes());
        // A table that would cross a block is in a block of its own, which nothing reads.
        if crosses_block(offset, bytes) {
            return Ok(());
        }
        let table = slice(self.image.bytes, offset, bytes).ok_or_else(|| self.damaged(Damage::DataPlace))?;
        if table.chunks_exact(4).any(|address| address != NULL_ADDRESS.to_le_bytes()) {
            return Err(self.damaged(Damage::ChunkAddress));
        }
        Ok(())
    }

    /// Data in whole blocks (the last perhaps in part), and the tail behind the inode.
    fn flat_data(&self) -> Result<(&'a [u8], &'a [u8]), ImageError> {
        let (size, bytes) = (self.raw.size, self.image.bytes);
        let tail_bytes = match self.format.layout {
            DataLayout::FlatPlain => 0,
            DataLayout::FlatInline => size % BLOCK_BYTES,
            DataLayout::ChunkBased => return Err(self.damaged(Damage::Data)),
        };
        let has_tail = self.format.layout == DataLayout::FlatInline && size > 0;
        let offset = self.tail_offset();
        if has_tail && (tail_bytes == 0 || crosses_block(offset, tail_bytes)) {
            return Err(self.damaged(Damage::Tail));
        }
        let blocks_bytes = size.saturating_sub(tail_bytes);
        let blocks = if blocks_bytes == 0 {
            Some(&b""[..])
        } else {
            slice(bytes, u64::from(self.raw.i_u).saturating_mul(BLOCK_BYTES), blocks_bytes)
        };
        let tail = if tail_bytes == 0 { Some(&b""[..]) } else { slice(bytes, offset, tail_bytes) };
        blocks.zip(tail).ok_or_else(|| self.damaged(Damage::DataPlace))
    }

    /// Where the tail would be.
    fn tail_offset(&self) -> u64 {
        self.xattr_offset.saturating_add(to_u64(self.xattr_area.len()))
    }

    /// Bytes of the image that are this inode's alone in an image without overlaps.
    pub(super) fn own_bytes(&self) -> u64 {
        let data = match self.file_type {
            FileType::Directory | FileType::Symlink => self.raw.size,
            FileType::Regular if !self.is_external() => self.raw.size,
            _ => 0,
        };
        let head = self.format.inode_bytes().saturating_add(to_u64(self.xattr_area.len()));
        head.saturating_add(data)
    }

    pub(super) const fn image(&self) -> &Image<'a> {
        &self.image
    }

    pub(super) const fn damaged(&self, damage: Damage) -> ImageError {
        ImageError::Inode { nid: self.nid, damage }
    }
}

const fn crosses_block(offset: u64, bytes: u64) -> bool {
    (offset % BLOCK_BYTES).saturating_add(bytes) > BLOCK_BYTES
}

/// The fields of the inode at `offset`.
fn raw(image: &Image<'_>, offset: u64) -> Option<Raw> {
    let compact = slice(image.bytes, offset, COMPACT_BYTES)?;
    let compact = InodeCompact::ref_from_bytes(compact).ok()?;
    if compact.i_format.get() & 1 == 0 {
        let Superblock { build_time, .. } = image.superblock;
        return Some(Raw {
            i_format: compact.i_format.get(),
            xattr_count: compact.i_xattr_icount.get(),
            mode: compact.i_mode.get(),
            number: compact.i_ino.get(),
            links: compact.i_nlink.get().into(),
            uid: compact.i_uid.get().into(),
            gid: compact.i_gid.get().into(),
            mtime: build_time,
            size: compact.i_size.get().into(),
            i_u: compact.i_u.get(),
        });
    }
    let extended = slice(image.bytes, offset, EXTENDED_BYTES)?;
    let extended = InodeExtended::ref_from_bytes(extended).ok()?;
    Some(Raw {
        i_format: extended.i_format.get(),
        xattr_count: extended.i_xattr_icount.get(),
        mode: extended.i_mode.get(),
        number: extended.i_ino.get(),
        links: extended.i_nlink.get(),
        uid: extended.i_uid.get(),
        gid: extended.i_gid.get(),
        mtime: Time {
            seconds: extended.i_mtime.get().cast_signed(),
            nanoseconds: extended.i_mtime_nsec.get(),
        },
        size: extended.i_size.get(),
        i_u: extended.i_u.get(),
    })
}
