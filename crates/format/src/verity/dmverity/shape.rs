//! How many levels a tree has, and where they lie.

use super::DmVerityError;
use crate::verity::BLOCK_BYTES;

/// The most blocks of data that are supported: 4 PiB.
pub const DATA_BLOCKS_MAX: u64 = 1 << 40;

/// Digests in a block of hashes.
pub(super) const DIGESTS_PER_BLOCK: u64 = 128;

/// Bytes of a digest.
pub(super) const DIGEST_BYTES: usize = 32;

/// A level of a tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Level {
    /// Its first block, counted from the block of the superblock.
    pub first_block: u64,
    /// The number of its blocks.
    pub blocks: u64,
}

/// Where the levels of a tree lie in the hash area: behind the superblock's block the top level,
/// which is one block, and so on down to the level with the hashes of the data blocks.
///
/// A tree over a single block of data has no level: the root hash is that block's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TreeShape {
    data_blocks: u64,
    levels: Vec<Level>,
    blocks: u64,
}

impl TreeShape {
    /// The tree over `data_blocks` blocks.
    ///
    /// # Errors
    /// No blocks, or more than [`DATA_BLOCKS_MAX`].
    pub fn of(data_blocks: u64) -> Result<Self, DmVerityError> {
        if !(1..=DATA_BLOCKS_MAX).contains(&data_blocks) {
            return Err(DmVerityError::DataBlocks(data_blocks));
        }
        let (mut levels, mut below) = (Vec::new(), data_blocks);
        while below > 1 {
            below = below.div_ceil(DIGESTS_PER_BLOCK);
            levels.push(Level { first_block: 0, blocks: below });
        }
        let mut next = 1_u64;
        for level in levels.iter_mut().rev() {
            level.first_block = next;
            next = next.saturating_add(level.blocks);
        }
        Ok(Self { data_blocks, levels, blocks: next })
    }

    /// The number of data blocks.
    #[must_use]
    pub const fn data_blocks(&self) -> u64 {
        self.data_blocks
    }

    /// The levels, that with the hashes of the data first, the top last.
    #[must_use]
    pub fn levels(&self) -> &[Level] {
        &self.levels
    }

    /// The number of blocks of the hash area, the superblock's included.
    #[must_use]
    pub const fn area_blocks(&self) -> u64 {
        self.blocks
    }

    /// Bytes of the hash area.
    #[must_use]
    pub fn area_bytes(&self) -> u64 {
        self.blocks.saturating_mul(u64::try_from(BLOCK_BYTES).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_lie_top_first_behind_the_superblock() {
        let shape = |blocks| TreeShape::of(blocks).unwrap();
        assert_eq!(shape(1).levels(), []);
        assert_eq!(shape(1).area_blocks(), 1);
        assert_eq!(shape(2).levels(), [Level { first_block: 1, blocks: 1 }]);
        assert_eq!(shape(128).area_blocks(), 2);
        let three = shape(128 * 128 + 1);
        assert_eq!(three.levels()[2], Level { first_block: 1, blocks: 1 });
        assert_eq!(three.levels()[1], Level { first_block: 2, blocks: 2 });
        assert_eq!(three.levels()[0], Level { first_block: 4, blocks: 129 });
        assert_eq!(three.area_blocks(), 133);
    }

    #[test]
    fn no_data_and_absurd_amounts_are_refused() {
        assert!(TreeShape::of(0).is_err());
        assert!(TreeShape::of(DATA_BLOCKS_MAX).is_ok());
        assert!(TreeShape::of(DATA_BLOCKS_MAX + 1).is_err());
    }
}
