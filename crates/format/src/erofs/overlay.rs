//! What composefs says to overlayfs by extended attributes, and how it escapes what is
//! overlayfs's own in the tree (kernel: `fs/overlayfs/overlayfs.h`, `struct ovl_metacopy`).

use crate::digest::{Algorithm, ObjectId};

/// What overlayfs takes for itself.
pub(super) const PREFIX: &[u8] = b"trusted.overlay.";
/// What the tree's own [`PREFIX`] becomes; overlayfs shows it unescaped.
pub(super) const ESCAPED_PREFIX: &[u8] = b"trusted.overlay.overlay.";
/// On a file outside the image: its digest.
pub(super) const METACOPY: &[u8] = b"trusted.overlay.metacopy";
/// On a file outside the image: its absolute path in the data-only layers.
pub(super) const REDIRECT: &[u8] = b"trusted.overlay.redirect";
/// On the root: nothing of lower layers shows through.
pub(super) const OPAQUE: &[u8] = b"trusted.overlay.opaque";
/// The value of [`OPAQUE`] on the root.
pub(super) const OPAQUE_VALUE: &[u8] = b"y";
/// The value that says: this directory has whiteouts in the form of attributes.
pub(super) const XWHITEOUTS_VALUE: &[u8] = b"x";
/// Copied from the root to the stubs.
pub(super) const SELINUX: &[u8] = b"security.selinux";

/// What an empty file that stands for a whiteout has.
pub(super) const WHITEOUT_MARKS: [(&[u8], &[u8]); 2] =
    [(b"trusted.overlay.overlay.whiteout", b""), (b"user.overlay.whiteout", b"")];

/// What a directory with such files has, the last two from format version 1 on.
pub(super) const PARENT_MARKS: [(&[u8], &[u8]); 4] = [
    (b"trusted.overlay.overlay.whiteouts", b""),
    (b"user.overlay.whiteouts", b""),
    (b"trusted.overlay.overlay.opaque", XWHITEOUTS_VALUE),
    (b"user.overlay.opaque", XWHITEOUTS_VALUE),
];

/// Attributes that make an image one with ACLs.
pub(super) const ACLS: [&[u8]; 2] = [b"system.posix_acl_access", b"system.posix_acl_default"];

/// The names of the stubs in the root: `00` to `ff`, in order. They hide the directories of
/// objects, which overlayfs would otherwise show.
pub(super) const STUB_NAMES: [[u8; 2]; 256] = stub_names();

/// The permissions of a stub.
pub(super) const STUB_PERMISSIONS: u16 = 0o644;

const fn stub_names() -> [[u8; 2]; 256] {
    const HEX: [u8; 16] = *b"0123456789abcdef";
    let mut names = [[0; 2]; 256];
    let mut rest: &mut [[u8; 2]] = &mut names;
    let mut index: usize = 0;
    while let [first, tail @ ..] = rest {
        *first = [HEX[(index >> 4) & 15], HEX[index & 15]];
        index = index.wrapping_add(1);
        rest = tail;
    }
    names
}

/// Whether `name` is that of a stub.
pub(super) fn is_stub_name(name: &[u8]) -> bool {
    matches!(name, [high, low] if [high, low].iter().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f')))
}

/// The value of the metacopy attribute for `digest`: version 0, length, no flags, algorithm, digest.
pub(super) fn metacopy(digest: &ObjectId) -> Vec<u8> {
    let bytes = digest.as_bytes();
    let length = u8::try_from(bytes.len().saturating_add(4)).unwrap_or(u8::MAX);
    let mut value = vec![0, length, 0, digest.algorithm().fsverity_number()];
    value.extend_from_slice(bytes);
    value
}

/// The digest in a metacopy attribute, `None` where it states none.
///
/// # Errors
/// What is wrong with it.
pub(super) fn parse_metacopy(value: &[u8]) -> Result<Option<ObjectId>, &'static str> {
    let (version, length, flags, algorithm, digest) = match value {
        [] => return Ok(None),
        [version, length, flags, algorithm, digest @ ..] => (*version, *length, *flags, *algorithm, digest),
        _ => return Err("it is shorter than its header"),
    };
    if version != 0 || flags != 0 {
        return Err("its version or flags are not zero");
    }
    if usize::from(length) != value.len() {
        return Err("its length is not the stated one");
    }
    if digest.is_empty() && algorithm == 0 {
        return Ok(None);
    }
    let algorithm = Algorithm::from_fsverity_number(algorithm).ok_or("its algorithm is unknown")?;
    let digest = ObjectId::from_slice(algorithm, digest).ok_or("its length does not fit the algorithm")?;
    Ok(Some(digest))
}
