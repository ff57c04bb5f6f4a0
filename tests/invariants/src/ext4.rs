//! The superblock of ext4.

use sealpack_format::ext4::{SIZE_BYTES, Superblock};

/// What is accepted is a whole superblock, and nothing behind it matters; its label is within 16 bytes and shown in
/// printable ASCII.
pub(crate) fn check(bytes: &[u8]) {
    let Ok(superblock) = Superblock::parse(bytes) else { return };
    let own = bytes.get(..SIZE_BYTES).expect("a superblock that is accepted is whole");
    assert_eq!(Superblock::parse(own).as_ref(), Ok(&superblock));
    assert!(superblock.label.as_bytes().len() <= 16);
    assert!(superblock.label.to_string().bytes().all(|byte| byte.is_ascii_graphic() || byte == b' '));
    assert!(!(superblock.is_clean && superblock.features.needs_recovery()));
}
