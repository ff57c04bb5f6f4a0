//! Extended attributes of inodes.

use zerocopy::FromBytes;
use zerocopy::little_endian::U32;

use super::error::{Damage, ImageError};
use crate::erofs::xattr::{
    PREFIXES, XATTR_ENTRY_BYTES, XATTR_HEADER_BYTES, XattrEntry, XattrIbodyHeader, entry_bytes,
};
use crate::erofs::{to_u64, to_usize};

/// An attribute in an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Xattr<'a> {
    /// The start of the name, such as `user.`.
    pub prefix: &'static [u8],
    /// The rest of the name.
    pub suffix: &'a [u8],
    /// The value.
    pub value: &'a [u8],
    /// Where the entry lies, if it is in the shared table: equal offsets are equal attributes.
    pub shared_offset: Option<u64>,
}

impl Xattr<'_> {
    /// The whole name.
    #[must_use]
    pub fn key(&self) -> Vec<u8> {
        [self.prefix, self.suffix].concat()
    }

    /// Whether `key` is the whole name.
    #[must_use]
    pub fn is(&self, key: &[u8]) -> bool {
        key.strip_prefix(self.prefix) == Some(self.suffix)
    }

    /// Bytes of its entry.
    pub(super) fn entry_bytes(&self) -> u64 {
        entry_bytes(self.suffix, self.value)
    }
}

/// Bytes of the attribute area of an inode with that `i_xattr_icount`.
pub(super) fn area_bytes(count: u16) -> u64 {
    match u64::from(count).checked_sub(1) {
        None => 0,
        Some(entries) => entries.saturating_mul(XATTR_ENTRY_BYTES).saturating_add(XATTR_HEADER_BYTES),
    }
}

/// Iterator over the attributes of an inode, those in the shared table first. Ends after an error.
#[derive(Debug, Clone)]
pub struct XattrIter<'a> {
    /// The inode's number, for errors.
    nid: u64,
    image: &'a [u8],
    /// Where the shared table starts in the image.
    table_offset: u64,
    /// References to the shared table that are still ahead.
    shared: &'a [U32],
    /// Entries behind the references that are still ahead.
    inline: &'a [u8],
}

impl<'a> XattrIter<'a> {
    /// The attributes in `area`, the one of inode `nid`; those that it shares with others are in the table that
    /// starts at `table_offset` of `image`.
    pub(super) fn new(
        nid: u64,
        area: &'a [u8],
        image: &'a [u8],
        table_offset: u64,
    ) -> Result<Self, ImageError> {
        if area.is_empty() {
            return Ok(Self { nid, image, table_offset, shared: &[], inline: b"" });
        }
        let damaged =
            || ImageError::Inode { nid, damage: Damage::Xattrs("the area is shorter than it states") };
        let (header, rest) = XattrIbodyHeader::ref_from_prefix(area).map_err(|_| damaged())?;
        let (shared, inline) =
            <[U32]>::ref_from_prefix_with_elems(rest, header.h_shared_count.into()).map_err(|_| damaged())?;
        Ok(Self { nid, image, table_offset, shared, inline })
    }

    fn next_shared(&mut self, reference: U32) -> Result<Xattr<'a>, Damage> {
        let offset =
            u64::from(reference.get()).saturating_mul(XATTR_ENTRY_BYTES).saturating_add(self.table_offset);
        let bytes = self.image.get(to_usize(offset)..).unwrap_or_default();
        let (xattr, _) = parse(bytes)?;
        Ok(Xattr { shared_offset: Some(offset), ..xattr })
    }

    fn next_inline(&mut self) -> Result<Xattr<'a>, Damage> {
        let (xattr, bytes) = parse(self.inline)?;
        self.inline = self.inline.get(to_usize(bytes)..).unwrap_or_default();
        Ok(xattr)
    }
}

impl<'a> Iterator for XattrIter<'a> {
    type Item = Result<Xattr<'a>, ImageError>;

    fn next(&mut self) -> Option<Self::Item> {
        let result = if let [reference, rest @ ..] = self.shared {
            self.shared = rest;
            self.next_shared(*reference)
        } else if !self.inline.is_empty() {
            self.next_inline()
        } else {
            return None;
        };
        Some(result.map_err(|damage| {
            (self.shared, self.inline) = (&[], b"");
            ImageError::Inode { nid: self.nid, damage }
        }))
    }
}

/// The entry at the start of `bytes`, and how many bytes it takes.
fn parse(bytes: &[u8]) -> Result<(Xattr<'_>, u64), Damage> {
    const CUT_OFF: Damage = Damage::Xattrs("an entry is cut off");
    let (entry, rest) = XattrEntry::ref_from_prefix(bytes).map_err(|_| CUT_OFF)?;
    let prefix = PREFIXES
        .get(usize::from(entry.e_name_index))
        .copied()
        .ok_or(Damage::Xattrs("an entry has an unknown prefix"))?;
    let (suffix, rest) = rest.split_at_checked(entry.e_name_len.into()).ok_or(CUT_OFF)?;
    let value = rest.get(..usize::from(entry.e_value_size.get())).ok_or(CUT_OFF)?;
    if suffix.contains(&0) || (prefix.is_empty() && suffix.is_empty()) {
        return Err(Damage::Xattrs("an entry has an impossible name"));
    }
    let xattr = Xattr { prefix, suffix, value, shared_offset: None };
    let taken = xattr.entry_bytes();
    debug_assert!(taken >= to_u64(suffix.len()));
    Ok((xattr, taken))
}
