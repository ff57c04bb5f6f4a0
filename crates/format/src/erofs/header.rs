//! The composefs header in front of the EROFS superblock (`struct lcfs_erofs_header_s`).

use std::fmt;

use zerocopy::little_endian::U32;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::tree::{Kind, Tree};

/// `LCFS_EROFS_MAGIC`, at offset 0.
pub const HEADER_MAGIC: u32 = 0xd078_629a;

/// The version of the header's own layout (`LCFS_EROFS_VERSION`).
pub const HEADER_VERSION: u32 = 1;

/// Header flag: some inode has a POSIX ACL (`LCFS_EROFS_FLAGS_HAS_ACL`).
pub const FLAG_HAS_ACL: u32 = 1;

/// The composefs format 1 family, as the header's `composefs_version` tells its members apart.
///
/// They differ in that field and in how a directory with whiteouts is marked; composefs's
/// `--min-version` and `--max-version` name them by these numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum FormatVersion {
    /// Version 0, which the C tool writes for trees without whiteouts.
    V0,
    /// Version 1: directories with whiteouts are also marked `opaque=x`. What Sealpack writes.
    #[default]
    V1,
}

impl FormatVersion {
    /// The version that `mkcomposefs` picks for `tree` when it is not told one: 0, or 1 as soon
    /// as the tree has a whiteout.
    #[must_use]
    pub fn lowest_for(tree: &Tree) -> Self {
        if tree.inodes().any(|(_, inode)| inode.kind == Kind::CharDevice(0)) { Self::V1 } else { Self::V0 }
    }

    /// The number in the header.
    #[must_use]
    pub const fn number(self) -> u32 {
        match self {
            Self::V0 => 0,
            Self::V1 => 1,
        }
    }

    /// The version with that number in the header.
    #[must_use]
    pub const fn from_number(number: u32) -> Option<Self> {
        match number {
            0 => Some(Self::V0),
            1 => Some(Self::V1),
            _ => None,
        }
    }
}

impl fmt::Display for FormatVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.number().fmt(f)
    }
}

/// `struct lcfs_erofs_header_s`, 32 bytes.
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct LcfsErofsHeader {
    pub(super) magic: U32,
    pub(super) version: U32,
    pub(super) flags: U32,
    pub(super) composefs_version: U32,
    pub(super) unused: [U32; 4],
}

/// What the composefs header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// The version of the image.
    pub version: FormatVersion,
    /// Whether some inode has a POSIX ACL; without it, mounting with `noacl` is cheaper.
    pub has_acl: bool,
}

/// Why a header is not one of a supported composefs image.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnsupportedHeader {
    /// Another magic number.
    #[error(
        "there is no composefs header at offset 0; a plain EROFS image, or none, is not a metadata image"
    )]
    Magic,
    /// A later layout of the header.
    #[error("its header has layout {0}; only layout 1 is supported")]
    Layout(u32),
    /// composefs-rs's own format 2.
    #[error(
        "it has composefs-rs's own format 2; only versions 0 and 1 are supported (make it again with format 1)"
    )]
    ComposefsRs,
    /// A later format.
    #[error("it has composefs format version {0}; only versions 0 and 1 are supported")]
    Version(u32),
    /// Flags that mean something unknown.
    #[error("its header has unknown flags {0:#x}")]
    Flags(u32),
}

impl Header {
    /// The header of the image that begins with `start`, of which 32 bytes are looked at.
    ///
    /// # Errors
    /// Bytes that are not the header of a composefs image of version 0 or 1.
    pub fn of(start: &[u8]) -> Result<Self, UnsupportedHeader> {
        let (header, _) = LcfsErofsHeader::ref_from_prefix(start).map_err(|_| UnsupportedHeader::Magic)?;
        Self::parse(header)
    }

    pub(super) fn parse(disk: &LcfsErofsHeader) -> Result<Self, UnsupportedHeader> {
        if disk.magic.get() != HEADER_MAGIC {
            return Err(UnsupportedHeader::Magic);
        }
        if disk.version.get() != HEADER_VERSION {
            return Err(UnsupportedHeader::Layout(disk.version.get()));
        }
        let version = match disk.composefs_version.get() {
            2 => return Err(UnsupportedHeader::ComposefsRs),
            number => FormatVersion::from_number(number).ok_or(UnsupportedHeader::Version(number))?,
        };
        let flags = disk.flags.get();
        if flags & !FLAG_HAS_ACL != 0 {
            return Err(UnsupportedHeader::Flags(flags));
        }
        Ok(Self { version, has_acl: flags & FLAG_HAS_ACL != 0 })
    }

    pub(super) fn to_disk(self) -> LcfsErofsHeader {
        LcfsErofsHeader {
            magic: HEADER_MAGIC.into(),
            version: HEADER_VERSION.into(),
            flags: if self.has_acl { FLAG_HAS_ACL } else { 0 }.into(),
            composefs_version: self.version.number().into(),
            unused: [U32::ZERO; 4],
        }
    }
}
