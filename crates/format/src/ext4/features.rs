//! What a filesystem uses, which a kernel has to know to mount it.

/// The three sets of features. A kernel mounts a filesystem with unknown ones of the first set; with unknown ones of the
/// last, read-only; with unknown ones of the second, not at all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Features {
    /// `s_feature_compat`
    pub compatible: u32,
    /// `s_feature_incompat`
    pub incompatible: u32,
    /// `s_feature_ro_compat`
    pub read_only: u32,
}

/// `EXT4_FEATURE_INCOMPAT_RECOVER`
const RECOVER: u32 = 0x4;
/// `EXT4_FEATURE_INCOMPAT_JOURNAL_DEV`
const JOURNAL_DEVICE: u32 = 0x8;
/// `EXT4_FEATURE_INCOMPAT_EXTENTS`
const EXTENTS: u32 = 0x40;
/// `EXT4_FEATURE_RO_COMPAT_VERITY`
const VERITY: u32 = 0x8000;

/// Those of the second set that Linux 6.12 mounts: filetype, recover, meta_bg, extents, 64bit, mmp, flex_bg, ea_inode,
/// csum_seed, largedir, inline_data, encrypt, casefold (`EXT4_FEATURE_INCOMPAT_SUPP`).
const INCOMPATIBLE_KNOWN: u32 =
    0x2 | 0x4 | 0x10 | 0x40 | 0x80 | 0x100 | 0x200 | 0x400 | 0x2000 | 0x4000 | 0x8000 | 0x10000 | 0x20000;
/// Those of the third that it mounts to be written: sparse_super, large_file, btree_dir, huge_file, gdt_csum, dir_nlink,
/// extra_isize, quota, bigalloc, metadata_csum, readonly, project, verity, orphan_present (`EXT4_FEATURE_RO_COMPAT_SUPP`).
const READ_ONLY_KNOWN: u32 =
    0x1 | 0x2 | 0x4 | 0x8 | 0x10 | 0x20 | 0x40 | 0x100 | 0x200 | 0x400 | 0x1000 | 0x2000 | 0x8000 | 0x10000;

impl Features {
    /// Whether files can have fs-verity.
    #[must_use]
    pub const fn has_verity(self) -> bool {
        self.read_only & VERITY != 0
    }

    /// Whether the journal has to be replayed.
    #[must_use]
    pub const fn needs_recovery(self) -> bool {
        self.incompatible & RECOVER != 0
    }

    /// What a kernel must know to mount it for writing, and Linux 6.12 does not: of the second set and of the third.
    /// `None` where it knows all.
    #[must_use]
    pub const fn unknown(self) -> Option<(u32, u32)> {
        match (self.incompatible & !INCOMPATIBLE_KNOWN, self.read_only & !READ_ONLY_KNOWN) {
            (0, 0) => None,
            unknown => Some(unknown),
        }
    }

    pub(super) const fn is_journal(self) -> bool {
        self.incompatible & JOURNAL_DEVICE != 0
    }

    /// By which ext4 is told from what was before it, as `mkfs.ext4` makes it.
    pub(super) const fn has_extents(self) -> bool {
        self.incompatible & EXTENTS != 0
    }
}
