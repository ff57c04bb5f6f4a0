//! The superblock of ext4, as far as it takes to find a filesystem and to say why it cannot be mounted
//! (Documentation/filesystems/ext4/super.rst; fs/ext4/ext4.h, `struct ext4_super_block`).

mod features;

use std::fmt;

pub use features::Features;

/// Where it begins on the device, in bytes.
pub const OFFSET_BYTES: u64 = 1024;
/// What it takes, in bytes.
pub const SIZE_BYTES: usize = 1024;

/// `EXT4_SUPER_MAGIC`, which ext2 and ext3 have too.
const MAGIC: u16 = 0xef53;
/// `s_rev_level` from which on there are features.
const DYNAMIC_REVISION: u32 = 1;
/// `s_state`
const CLEANLY_UNMOUNTED: u16 = 1;
/// `s_state`
const HAS_ERRORS: u16 = 2;

/// Where fields are, from the superblock's beginning: `s_magic`, `s_state`, `s_rev_level`, the three of `s_feature_*`,
/// `s_volume_name`.
mod at {
    pub(super) const MAGIC: usize = 0x38;
    pub(super) const STATE: usize = 0x3a;
    pub(super) const REVISION: usize = 0x4c;
    pub(super) const COMPATIBLE: usize = 0x5c;
    pub(super) const INCOMPATIBLE: usize = 0x60;
    pub(super) const READ_ONLY: usize = 0x64;
    pub(super) const LABEL: usize = 0x78;
}

/// What of the superblock matters to who looks for a filesystem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Superblock {
    /// The label.
    pub label: Label,
    /// What the filesystem uses.
    pub features: Features,
    /// Whether it was unmounted properly, or its journal has to be replayed.
    pub is_clean: bool,
    /// Whether the kernel met something on it that is not as it should be, and nobody repaired that since.
    pub has_errors: bool,
}

/// Why bytes are no superblock of an ext4 filesystem.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotExt4 {
    /// The device is too small.
    #[error("it is too small for a filesystem")]
    Short,
    /// Something else is there, or nothing.
    #[error("it has no ext4 filesystem")]
    Magic,
    /// It is ext2 or ext3.
    #[error("it has an older filesystem than ext4, without extents")]
    Older,
    /// It is a part of another filesystem.
    #[error("it is the journal of a filesystem on another device")]
    Journal,
}

impl Superblock {
    /// Reads what is at [`OFFSET_BYTES`] of a device, [`SIZE_BYTES`] bytes.
    ///
    /// # Errors
    /// See [`NotExt4`].
    pub fn parse(bytes: &[u8]) -> Result<Self, NotExt4> {
        if bytes.len() < SIZE_BYTES {
            return Err(NotExt4::Short);
        }
        let half = |at| bytes.get(at..).and_then(<[u8]>::first_chunk).map(|field| u16::from_le_bytes(*field));
        let word = |at| bytes.get(at..).and_then(<[u8]>::first_chunk).map(|field| u32::from_le_bytes(*field));
        if half(at::MAGIC) != Some(MAGIC) {
            return Err(NotExt4::Magic);
        }
        let has_features = word(at::REVISION) >= Some(DYNAMIC_REVISION);
        let bits = |at| word(at).filter(|_| has_features).unwrap_or_default();
        let features = Features {
            compatible: bits(at::COMPATIBLE),
            incompatible: bits(at::INCOMPATIBLE),
            read_only: bits(at::READ_ONLY),
        };
        if features.is_journal() {
            return Err(NotExt4::Journal);
        }
        if !features.has_extents() {
            return Err(NotExt4::Older);
        }
        let state = half(at::STATE).ok_or(NotExt4::Short)?;
        Ok(Self {
            label: Label(*bytes.get(at::LABEL..).and_then(<[u8]>::first_chunk).ok_or(NotExt4::Short)?),
            is_clean: state & CLEANLY_UNMOUNTED != 0 && !features.needs_recovery(),
            has_errors: state & HAS_ERRORS != 0,
            features,
        })
    }
}

/// A filesystem's label: up to 16 bytes, and nothing says that they are text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Label([u8; 16]);

impl Label {
    /// The bytes before the first zero.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.0.split(|byte| *byte == 0).next().unwrap_or_default()
    }
}

/// As text, other bytes than printable ASCII escaped.
impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.as_bytes().escape_ascii())
    }
}

#[cfg(test)]
mod tests;
