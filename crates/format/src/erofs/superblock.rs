//! The EROFS superblock (`struct erofs_super_block`).

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::BLOCK_BITS;
use crate::tree::Time;

/// Where the superblock lies (`EROFS_SUPER_OFFSET`).
pub const SUPER_OFFSET: u64 = 1024;

/// Bytes of the superblock without extension slots.
pub const SUPER_BYTES: u64 = 128;

/// `EROFS_SUPER_MAGIC_V1`.
pub const SUPER_MAGIC: u32 = 0xE0F5_E1E2;

/// `EROFS_FEATURE_COMPAT_MTIME`: inode times are modification times.
pub const COMPAT_MTIME: u32 = 0x2;

/// `EROFS_FEATURE_INCOMPAT_CHUNKED_FILE`: there are inodes whose data is cut into chunks.
/// Packs state it; composefs has such inodes too, and does not.
pub const INCOMPAT_CHUNKED_FILE: u32 = 0x4;

/// `EROFS_FEATURE_COMPAT_XATTR_FILTER`: attribute headers have a name filter.
pub const COMPAT_XATTR_FILTER: u32 = 0x4;

/// Names of the bits of `feature_incompat`, several features to some.
const INCOMPAT_NAMES: [(u32, &str); 9] = [
    (0x1, "zero padding (compression)"),
    (0x2, "compression configurations or big clusters"),
    (0x4, "chunks as a stated feature"),
    (0x8, "a device table or a second compression head"),
    (0x10, "packed compressed tails"),
    (0x20, "fragments or deduplication"),
    (0x40, "long attribute prefixes"),
    (0x80, "48-bit block addresses"),
    (0x100, "a metadata box"),
];

/// `struct erofs_super_block`, 128 bytes.
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct SuperBlock {
    pub(crate) magic: U32,
    pub(crate) checksum: U32,
    pub(crate) feature_compat: U32,
    pub(crate) blkszbits: u8,
    pub(crate) sb_extslots: u8,
    pub(crate) root_nid: U16,
    pub(crate) inos: U64,
    pub(crate) build_time: U64,
    pub(crate) build_time_nsec: U32,
    pub(crate) blocks: U32,
    pub(crate) meta_blkaddr: U32,
    pub(crate) xattr_blkaddr: U32,
    pub(crate) uuid: [u8; 16],
    pub(crate) volume_name: [u8; 16],
    pub(crate) feature_incompat: U32,
    pub(crate) available_compr_algs: U16,
    pub(crate) extra_devices: U16,
    pub(crate) devt_slotoff: U16,
    pub(crate) dirblkbits: u8,
    pub(crate) xattr_prefix_count: u8,
    pub(crate) xattr_prefix_start: U32,
    pub(crate) packed_nid: U64,
    pub(crate) xattr_filter_reserved: u8,
    pub(crate) reserved2: [u8; 23],
}

/// What of an EROFS superblock matters to us, once it is known to ask for nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Superblock {
    /// `feature_compat`: features that a reader may ignore.
    pub feature_compat: u32,
    /// The nid of the root directory.
    pub root_nid: u64,
    /// The number of inodes, as stated.
    pub inode_count: u64,
    /// The time of compact inodes.
    pub build_time: Time,
    /// The number of blocks, as stated.
    pub blocks: u32,
    /// The block that nids are counted from.
    pub meta_blkaddr: u32,
    /// The block that shared attributes are counted from.
    pub xattr_blkaddr: u32,
}

/// What an EROFS image asks for that is not supported.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnsupportedSuperblock {
    /// Another magic number.
    #[error("there is no EROFS superblock at offset 1024")]
    Magic,
    /// Not 4 KiB blocks.
    #[error("it has blocks of 2^{bits} bytes; only 4096 bytes are supported")]
    BlockSize {
        /// log2 of the block size.
        bits: u8,
    },
    /// Directory blocks of another size than blocks.
    #[error("it has directory blocks of another size than its blocks")]
    DirectoryBlockSize,
    /// A feature that changes how everything else is read.
    #[error("it uses {name}, which is not supported")]
    Feature {
        /// What the feature is.
        name: String,
    },
    /// Data on further devices, which nothing would verify.
    #[error("it has {count} extra device slots; data on other devices is refused, since nothing verifies it")]
    ExtraDevices {
        /// How many.
        count: u16,
    },
    /// Superblock extension slots.
    #[error("its superblock has extension slots, which are not supported")]
    Extensions,
}

impl Superblock {
    /// Refuses every incompatible feature, as no metadata image has any.
    pub(crate) fn parse(disk: &SuperBlock) -> Result<Self, UnsupportedSuperblock> {
        Self::parse_with(disk, 0)
    }

    /// Refuses every incompatible feature but those in `incompat`.
    pub(crate) fn parse_with(disk: &SuperBlock, incompat: u32) -> Result<Self, UnsupportedSuperblock> {
        use UnsupportedSuperblock as Unsupported;
        if disk.magic.get() != SUPER_MAGIC {
            return Err(Unsupported::Magic);
        }
        if disk.blkszbits != BLOCK_BITS {
            return Err(Unsupported::BlockSize { bits: disk.blkszbits });
        }
        if disk.dirblkbits != 0 {
            return Err(Unsupported::DirectoryBlockSize);
        }
        if disk.extra_devices.get() != 0 {
            return Err(Unsupported::ExtraDevices { count: disk.extra_devices.get() });
        }
        if let Some(name) = unsupported_feature(disk, incompat) {
            return Err(Unsupported::Feature { name });
        }
        if disk.sb_extslots != 0 {
            return Err(Unsupported::Extensions);
        }
        Ok(Self {
            feature_compat: disk.feature_compat.get(),
            root_nid: disk.root_nid.get().into(),
            inode_count: disk.inos.get(),
            build_time: Time {
                seconds: disk.build_time.get().cast_signed(),
                nanoseconds: disk.build_time_nsec.get(),
            },
            blocks: disk.blocks.get(),
            meta_blkaddr: disk.meta_blkaddr.get(),
            xattr_blkaddr: disk.xattr_blkaddr.get(),
        })
    }
}

fn unsupported_feature(disk: &SuperBlock, supported: u32) -> Option<String> {
    let incompat = disk.feature_incompat.get() & !supported;
    if incompat != 0 {
        let known = INCOMPAT_NAMES.iter().find(|(bit, _)| incompat & bit != 0);
        return Some(known.map_or_else(
            || format!("unknown features (feature_incompat {incompat:#x})"),
            |(_, name)| format!("{name} (feature_incompat {incompat:#x})"),
        ));
    }
    if disk.xattr_prefix_count != 0 {
        return Some("long attribute prefixes".into());
    }
    if disk.packed_nid.get() != 0 {
        return Some("a packed inode (fragments)".into());
    }
    (disk.available_compr_algs.get() != 0).then(|| "compression".into())
}
