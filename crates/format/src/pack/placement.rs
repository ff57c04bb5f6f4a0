//! Where inodes lie: first-fit over a fixed number of open blocks.

use super::{BLOCK_BYTES, OPEN_BLOCKS};
use crate::erofs::SLOT_BYTES;

/// Bytes of a slot.
const SLOT: usize = 32;

/// Slots in a block.
pub(super) const SLOTS_PER_BLOCK: u64 = 128;

/// Places items (an inode with its tail or its table of chunks) in blocks.
///
/// The rule is part of the format:
/// - An item takes whole slots of 32 bytes, the rest of the last one zero.
/// - It goes behind what is in the first of the open blocks, in the order of their opening, that
///   has room for it.
/// - When none has and [`OPEN_BLOCKS`] are open, the one with the least room is closed, the
///   first of those if there are several; then a new one is opened.
/// - An item of more than a block gets blocks of its own, which are closed at once.
/// - The number of a block is the number of blocks closed before it. At the end, all open ones
///   are closed in the order of their opening.
#[derive(Default)]
pub(super) struct Placement {
    open: Vec<OpenBlock>,
    closed_blocks: u64,
}

struct OpenBlock {
    bytes: Vec<u8>,
    /// The numbers of the items, with their slots in this block.
    items: Vec<(u32, u64)>,
}

/// Blocks that are complete.
pub(super) struct ClosedBlocks {
    /// Their bytes.
    pub(super) bytes: Vec<u8>,
    /// The numbers of the items in them, with their slots, counted from the first of all blocks.
    pub(super) items: Vec<(u32, u64)>,
}

impl OpenBlock {
    fn room(&self) -> usize {
        BLOCK_BYTES.saturating_sub(self.bytes.len())
    }

    fn push(&mut self, number: u32, inode: &[u8], rest: &[u8]) {
        let slot = super::to_u64(self.bytes.len()) / SLOT_BYTES;
        self.items.push((number, slot));
        self.bytes.extend_from_slice(inode);
        self.bytes.extend_from_slice(rest);
        self.bytes.resize(self.bytes.len().next_multiple_of(SLOT), 0);
    }
}

impl Placement {
    /// Places an item, an inode and the rest behind it; returns blocks that this completes.
    pub(super) fn place(&mut self, number: u32, inode: &[u8], rest: &[u8]) -> Option<ClosedBlocks> {
        let bytes = inode.len().saturating_add(rest.len()).next_multiple_of(SLOT);
        if let Some(block) = self.open.iter_mut().find(|block| block.room() >= bytes) {
            block.push(number, inode, rest);
            return None;
        }
        let room = bytes.next_multiple_of(BLOCK_BYTES);
        let mut block = OpenBlock { bytes: Vec::with_capacity(room), items: Vec::new() };
        block.push(number, inode, rest);
        if bytes > BLOCK_BYTES {
            return Some(self.close(block));
        }
        let closed = (self.open.len() >= OPEN_BLOCKS).then(|| self.close_fullest()).flatten();
        self.open.push(block);
        closed
    }

    /// Closes the first of the open blocks, until there is none.
    pub(super) fn close_next(&mut self) -> Option<ClosedBlocks> {
        (!self.open.is_empty()).then(|| {
            let block = self.open.remove(0);
            self.close(block)
        })
    }

    fn close_fullest(&mut self) -> Option<ClosedBlocks> {
        let (fullest, _) = self.open.iter().enumerate().min_by_key(|(_, block)| block.room())?;
        let block = self.open.remove(fullest);
        Some(self.close(block))
    }

    fn close(&mut self, mut block: OpenBlock) -> ClosedBlocks {
        let blocks = block.bytes.len().div_ceil(BLOCK_BYTES);
        block.bytes.resize(blocks.saturating_mul(BLOCK_BYTES), 0);
        let start = self.closed_blocks.saturating_mul(SLOTS_PER_BLOCK);
        for (_, slot) in &mut block.items {
            *slot = slot.saturating_add(start);
        }
        self.closed_blocks = self.closed_blocks.saturating_add(super::to_u64(blocks));
        ClosedBlocks { bytes: block.bytes, items: block.items }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Places items of these lengths; returns the slot of each, and the number of blocks.
    fn place(lengths: &[usize]) -> (Vec<u64>, usize) {
        let mut placement = Placement::default();
        let (mut slots, mut bytes) = (vec![u64::MAX; lengths.len()], 0);
        let mut take = |closed: ClosedBlocks| {
            bytes += closed.bytes.len();
            closed
                .items
                .into_iter()
                .for_each(|(number, slot)| slots[usize::try_from(number).unwrap()] = slot);
        };
        for (number, length) in (0..).zip(lengths) {
            placement.place(number, &[1; 32], &vec![1; length - 32]).into_iter().for_each(&mut take);
        }
        std::iter::from_fn(|| placement.close_next()).for_each(&mut take);
        (slots, bytes / BLOCK_BYTES)
    }

    #[test]
    fn an_item_goes_into_the_first_block_that_has_room() {
        assert_eq!(place(&[]), (vec![], 0));
        assert_eq!(place(&[32, 33, 64]), (vec![0, 1, 3], 1));
        // The third does not fit behind the first, but behind the second; the fourth behind the first.
        assert_eq!(place(&[4000, 2000, 1000, 96]), (vec![0, 128, 191, 125], 2));
        assert_eq!(place(&[4096, 4096]), (vec![0, 128], 2));
    }

    #[test]
    fn the_fullest_block_is_closed_when_too_many_are_open() {
        // The eleventh and the twenty-first are the fullest; then one that fits nowhere, and a small one.
        let mut lengths = vec![2080; OPEN_BLOCKS];
        lengths[10] = 3008;
        lengths[20] = 3008;
        lengths.extend([4096, 1024]);
        let (slots, blocks) = place(&lengths);
        assert_eq!(blocks, OPEN_BLOCKS + 1);
        assert_eq!(slots[10], 0, "closed first");
        assert_eq!(slots[0], 128);
        assert_eq!(slots[20], 20 * 128);
        assert_eq!(slots[OPEN_BLOCKS], u64::try_from(OPEN_BLOCKS).unwrap() * 128, "opened last");
        assert_eq!(slots[OPEN_BLOCKS + 1], 128 + 65, "behind the first");
    }

    #[test]
    fn an_item_beyond_a_block_gets_blocks_of_its_own() {
        assert_eq!(place(&[32, 4097, 32, 9000]), (vec![5 * 128, 0, 5 * 128 + 1, 2 * 128], 6));
    }
}
