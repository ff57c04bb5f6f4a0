//! EROFS extended attributes (`struct erofs_xattr_entry` and the header before them).

use xxhash_rust::xxh32::xxh32;
use zerocopy::little_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::{round_up, to_u64};

/// Bytes of `struct erofs_xattr_ibody_header`.
pub const XATTR_HEADER_BYTES: u64 = 12;

/// Bytes of `struct erofs_xattr_entry` without name and value, and what entries are aligned to.
pub const XATTR_ENTRY_BYTES: u64 = 4;

/// The most shared attributes that an inode refers to in composefs images.
pub const SHARED_MAX: usize = 128;

/// Prefixes by `e_name_index` (`EROFS_XATTR_INDEX_*`).
pub(super) const PREFIXES: [&[u8]; 7] = [
    b"",
    b"user.",
    b"system.posix_acl_access",
    b"system.posix_acl_default",
    b"trusted.",
    b"lustre.",
    b"security.",
];

/// The index that composefs never writes; such attributes have their whole name as suffix.
const LUSTRE: usize = 5;

/// `EROFS_XATTR_FILTER_SEED`.
const FILTER_SEED: u32 = 0x25BB_E08F;

/// `struct erofs_xattr_ibody_header`, 12 bytes.
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct XattrIbodyHeader {
    pub(super) h_name_filter: U32,
    pub(super) h_shared_count: u8,
    pub(super) h_reserved2: [u8; 7],
}

/// `struct erofs_xattr_entry` without name and value, 4 bytes.
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct XattrEntry {
    pub(super) e_name_len: u8,
    pub(super) e_name_index: u8,
    pub(super) e_value_size: U16,
}

/// Prefix index and suffix of the attribute called `key`. The ACL names are prefixes too:
/// whatever begins with one takes its index, as C composefs has it.
pub(super) fn split_key(key: &[u8]) -> (u8, &[u8]) {
    (0_u8..)
        .zip(PREFIXES)
        .skip(1)
        .filter(|(index, _)| usize::from(*index) != LUSTRE)
        .find_map(|(index, prefix)| Some((index, key.strip_prefix(prefix)?)))
        .unwrap_or((0, key))
}

/// The bit of an attribute in its inode's name filter. The filter is stored inverted.
pub(super) fn filter_bit(index: u8, suffix: &[u8]) -> u32 {
    1 << (xxh32(suffix, FILTER_SEED.wrapping_add(index.into())) & 31)
}

/// Bytes that an attribute takes as an entry, inline or in the shared table.
pub(super) fn entry_bytes(suffix: &[u8], value: &[u8]) -> u64 {
    let bytes = XATTR_ENTRY_BYTES.saturating_add(to_u64(suffix.len())).saturating_add(to_u64(value.len()));
    round_up(bytes, XATTR_ENTRY_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_split_as_the_c_tool_does() {
        assert_eq!(split_key(b"user.x"), (1, &b"x"[..]));
        assert_eq!(split_key(b"system.posix_acl_access"), (2, &b""[..]));
        assert_eq!(split_key(b"system.posix_acl_default.more"), (3, &b".more"[..]));
        assert_eq!(split_key(b"trusted.overlay.opaque"), (4, &b"overlay.opaque"[..]));
        assert_eq!(split_key(b"lustre.lov"), (0, &b"lustre.lov"[..]));
        assert_eq!(split_key(b"security.selinux"), (6, &b"selinux"[..]));
        assert_eq!(split_key(b"system.nfs4_acl"), (0, &b"system.nfs4_acl"[..]));
    }
}
