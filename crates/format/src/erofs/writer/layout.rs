//! Where everything of an image lies.

use super::order::{Order, Slot, to_usize};
use super::rewrite::{Attribute, Data, InodeFields};
use super::shared::{Counter, Shared, SharedTable};
use super::{InodeError, WriteError};
use crate::erofs::dirent::DIRENT_BYTES;
use crate::erofs::header::Header;
use crate::erofs::inode::{COMPACT_BYTES, EXTENDED_BYTES};
use crate::erofs::superblock::{SUPER_BYTES, SUPER_OFFSET};
use crate::erofs::xattr::{XATTR_ENTRY_BYTES, XATTR_HEADER_BYTES, entry_bytes, split_key};
use crate::erofs::{BLOCK_BYTES, FormatVersion, SLOT_BYTES, overlay, round_up, to_u64};
use crate::tree::{Time, Tree};

/// Beyond half a block, a tail goes into a block of its own.
const TAIL_MAX_BYTES: u64 = BLOCK_BYTES / 2;

/// Where everything of the metadata image of one tree lies.
#[derive(Debug)]
pub struct Layout<'t> {
    pub(super) order: Order<'t>,
    pub(super) shared: SharedTable,
    pub(super) header: Header,
    /// The smallest time of all inodes, which compact inodes have.
    pub(super) oldest: Time,
    /// Where the table of shared attributes starts.
    pub(super) inodes_end: u64,
    /// The block that data starts at.
    pub(super) data_start_block: u32,
    /// The number of blocks.
    pub(super) blocks: u32,
}

impl<'t> Layout<'t> {
    /// The layout of the metadata image of `tree`.
    ///
    /// # Errors
    /// Something in the tree that an image cannot have, by its path; too many inodes.
    pub fn of(tree: &'t Tree, version: FormatVersion) -> Result<Self, WriteError> {
        let order = Order::of(tree)?;
        let (shared, has_acl, oldest) = survey(&order, version)?;
        let mut layout = Self {
            order,
            shared,
            header: Header { version, has_acl },
            oldest,
            inodes_end: 0,
            data_start_block: 0,
            blocks: 0,
        };
        layout.place_inodes()?;
        Ok(layout)
    }

    /// Bytes of the image.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        u64::from(self.blocks).saturating_mul(BLOCK_BYTES)
    }

    /// The number of inodes of the image, stubs included.
    #[must_use]
    pub fn inode_count(&self) -> usize {
        self.order.slots.len()
    }

    /// Gives each inode its place, its blocks and its tail.
    fn place_inodes(&mut self) -> Result<(), WriteError> {
        let mut position = SUPER_OFFSET.saturating_add(SUPER_BYTES);
        let mut data_blocks: u64 = 0;
        let mut references = self.shared.references();
        let mut attributes = Vec::new();
        for place in 0..u32::try_from(self.order.slots.len()).unwrap_or(u32::MAX) {
            let Some(slot) = self.order.slots.get(to_usize(place)).copied() else { break };
            let facts = self.order.facts(place, &slot)?;
            self.order.attributes(&slot, self.header.version, &mut attributes);
            let xattr_bytes = xattr_bytes(&attributes, references.of(place));
            if xattr_count(xattr_bytes).is_none() {
                return Err(self.order.error(place, InodeError::Xattrs(xattr_bytes)));
            }
            let (mut blocks, mut tail) = self.data_shape(place, &slot, &facts);
            let links = self.order.links(&slot);
            let compact = is_compact(&facts, data_size(&facts, blocks, tail), links, self.oldest);
            let inode_bytes = if compact { COMPACT_BYTES } else { EXTENDED_BYTES };

            position = round_up(position, SLOT_BYTES);
            let head_bytes = inode_bytes.saturating_add(xattr_bytes);
            let padding = padding(matches!(facts.data, Data::Target(_)), position, head_bytes, tail);
            if padding.tail_in_block {
                blocks = blocks.saturating_add(1);
                tail = 0;
            }
            position = position.saturating_add(padding.bytes);
            data_blocks = data_blocks.saturating_add(blocks);
            let too_large = |_| WriteError::TooLarge("its metadata takes more than 128 GiB");
            if let Some(slot) = self.order.slots.get_mut(to_usize(place)) {
                slot.nid = u32::try_from(position / SLOT_BYTES).map_err(too_large)?;
                slot.blocks = u32::try_from(blocks).map_err(too_large)?;
                slot.tail_bytes = u16::try_from(tail).map_err(too_large)?;
                slot.compact = compact;
            }
            position = position.saturating_add(head_bytes).saturating_add(tail);
        }
        self.finish(round_up(position, SLOT_BYTES), data_blocks)
    }

    fn finish(&mut self, inodes_end: u64, data_blocks: u64) -> Result<(), WriteError> {
        let too_large = |_| WriteError::TooLarge("it takes more than 2^32 blocks");
        let shared_bytes = self.shared.size_bytes();
        // References to shared attributes count words from the block in which the inodes end.
        if shared_bytes > u64::from(u32::MAX) {
            return Err(WriteError::TooLarge("its shared attributes take more than 4 GiB"));
        }
        let data_start = inodes_end.saturating_add(shared_bytes).div_ceil(BLOCK_BYTES);
        self.inodes_end = inodes_end;
        self.data_start_block = u32::try_from(data_start).map_err(too_large)?;
        self.blocks = u32::try_from(data_start.saturating_add(data_blocks)).map_err(too_large)?;
        Ok(())
    }

    /// Whole blocks and tail of an inode's data, before its place is known.
    fn data_shape(&self, place: u32, slot: &Slot, facts: &InodeFields<'_>) -> (u64, u64) {
        match facts.data {
            Data::None { .. } => (0, 0),
            Data::Directory => self.directory_shape(place, slot),
            Data::Inline(bytes) => split_tail(to_u64(bytes.len())),
            Data::Target(target) => (0, to_u64(target.len())),
            Data::External { chunks, .. } => (0, chunks.table_bytes()),
        }
    }

    fn directory_shape(&self, place: u32, slot: &Slot) -> (u64, u64) {
        let mut blocks: u64 = 0;
        let mut bytes: u64 = 0;
        for (name, _) in self.order.children(place, slot) {
            let entry = dirent_bytes(name);
            if bytes.saturating_add(entry) > BLOCK_BYTES {
                blocks = blocks.saturating_add(1);
                bytes = 0;
            }
            bytes = bytes.saturating_add(entry);
        }
        if bytes > TAIL_MAX_BYTES { (blocks.saturating_add(1), 0) } else { (blocks, bytes) }
    }
}

/// Bytes of a directory entry with its name.
pub(super) fn dirent_bytes(name: &[u8]) -> u64 {
    DIRENT_BYTES.saturating_add(to_u64(name.len()))
}

/// Looks at every inode's attributes and time: the table of shared attributes, whether there are
/// ACLs, and the smallest time.
fn survey(order: &Order<'_>, version: FormatVersion) -> Result<(SharedTable, bool, Time), WriteError> {
    let mut counter = Counter::default();
    let mut has_acl = false;
    let mut oldest = order.tree.root().metadata.mtime;
    let mut attributes = Vec::new();
    for (place, slot) in (0..).zip(&order.slots) {
        oldest = oldest.min(order.facts(place, slot)?.mtime);
        order.attributes(slot, version, &mut attributes);
        order.check_attributes(place, &attributes)?;
        has_acl |= attributes.iter().any(|attribute| overlay::ACLS.contains(&attribute.key.as_ref()));
        counter.add(place, &attributes);
    }
    Ok((counter.into_table(order, version), has_acl, oldest))
}

/// Whole blocks and tail of an inline content.
const fn split_tail(bytes: u64) -> (u64, u64) {
    let (blocks, tail) = (bytes / BLOCK_BYTES, bytes % BLOCK_BYTES);
    if tail > TAIL_MAX_BYTES { (blocks.saturating_add(1), 0) } else { (blocks, tail) }
}

/// The size in the inode.
pub(super) fn data_size(facts: &InodeFields<'_>, blocks: u64, tail: u64) -> u64 {
    match facts.data {
        Data::Directory => blocks.saturating_mul(BLOCK_BYTES).saturating_add(tail),
        _ => facts.size_bytes(),
    }
}

/// Whether an inode fits the compact form.
fn is_compact(facts: &InodeFields<'_>, size: u64, links: u32, oldest: Time) -> bool {
    let fits = |number: u32| number <= u16::MAX.into();
    facts.mtime == oldest && fits(links) && fits(facts.uid) && fits(facts.gid) && size <= u32::MAX.into()
}

/// Bytes of an inode's attributes with their header.
pub(super) fn xattr_bytes(attributes: &[Attribute<'_>], shared: Shared<'_>) -> u64 {
    if attributes.is_empty() {
        return 0;
    }
    let inline = shared.others(attributes).fold(0_u64, |sum, attribute| {
        let (_, suffix) = split_key(&attribute.key);
        sum.saturating_add(entry_bytes(suffix, &attribute.value))
    });
    let references = to_u64(shared.count()).saturating_mul(XATTR_ENTRY_BYTES);
    XATTR_HEADER_BYTES.saturating_add(references).saturating_add(inline)
}

/// `i_xattr_icount` for attributes of so many bytes, if it can say so.
pub(super) fn xattr_count(xattr_bytes: u64) -> Option<u16> {
    match xattr_bytes.checked_sub(XATTR_HEADER_BYTES) {
        None => Some(0),
        Some(bytes) => u16::try_from((bytes / XATTR_ENTRY_BYTES).saturating_add(1)).ok(),
    }
}

/// What goes before an inode so that its tail does not cross a block.
struct Padding {
    bytes: u64,
    /// Whether the tail has to go into a block of its own.
    tail_in_block: bool,
}

/// Finds the padding of an inode at `position` whose head (inode and attributes) has `head_bytes`
/// and is followed by a tail of `tail` bytes.
///
/// A symbolic link's inode and target share a block (older kernels insist on it); of others,
/// only the tail has to be within one.
fn padding(is_symlink: bool, position: u64, head_bytes: u64, tail: u64) -> Padding {
    let to_next_block = round_up(position, BLOCK_BYTES).saturating_sub(position);
    if is_symlink {
        let total = head_bytes.saturating_add(tail);
        let end = position.saturating_add(total).saturating_sub(1);
        let crosses = position / BLOCK_BYTES != end / BLOCK_BYTES;
        return Padding {
            bytes: if crosses { to_next_block } else { 0 },
            tail_in_block: total >= BLOCK_BYTES,
        };
    }
    let tail_start = position.saturating_add(head_bytes);
    let room = room_in_block(tail_start);
    if room >= tail {
        return Padding { bytes: 0, tail_in_block: false };
    }
    let bytes = round_up(room, SLOT_BYTES);
    if room_in_block(tail_start.saturating_add(bytes)) >= tail {
        Padding { bytes, tail_in_block: false }
    } else {
        Padding { bytes: to_next_block, tail_in_block: true }
    }
}

/// Bytes from `position` to the end of its block.
const fn room_in_block(position: u64) -> u64 {
    BLOCK_BYTES.saturating_sub(position % BLOCK_BYTES)
}
