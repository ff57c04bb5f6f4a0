//! Writes hash areas as the data comes.

use std::io::{Seek, SeekFrom, Write};

use super::shape::{DIGEST_BYTES, TreeShape};
use super::{BLOCK_STEP, DmVerityError, Superblock, blocks_of, uuid_of};
use crate::digest::{Algorithm, RootHash};
use crate::verity::{BLOCK_BYTES, LeafHash, Leaves};

/// Writes a hash area from the hashes of the data blocks.
///
/// One block for each level is in memory; the levels lie in the file in the opposite order of
/// their making, so they are written each at its own place.
pub struct TreeWriter<W> {
    out: W,
    offset: u64,
    hash: LeafHash,
    shape: TreeShape,
    levels: Vec<LevelWriter>,
    leaves: u64,
    root: Option<[u8; 32]>,
}

/// What of a level is not written yet, and how many blocks are.
struct LevelWriter {
    block: Vec<u8>,
    written: u64,
}

impl<W: Write + Seek> TreeWriter<W> {
    /// A tree over `data_blocks` blocks, the hash area beginning at `offset` (in bytes) of `out`.
    ///
    /// # Errors
    /// An impossible number of blocks.
    pub fn new(out: W, offset: u64, data_blocks: u64, hash: LeafHash) -> Result<Self, DmVerityError> {
        let shape = TreeShape::of(data_blocks)?;
        let level = || LevelWriter { block: Vec::with_capacity(BLOCK_BYTES), written: 0 };
        let levels = shape.levels().iter().map(|_| level()).collect();
        Ok(Self { out, offset, hash, shape, levels, leaves: 0, root: None })
    }

    /// Takes the hash of the next block of data.
    ///
    /// # Errors
    /// There are more than announced, or the output fails.
    pub fn push(&mut self, leaf: &[u8; 32]) -> Result<(), DmVerityError> {
        self.leaves = self.leaves.saturating_add(1);
        if self.leaves > self.shape.data_blocks() {
            return Err(self.amount());
        }
        self.add(0, *leaf)
    }

    /// Writes what is left and the superblock; returns the root hash and the output.
    ///
    /// # Errors
    /// There are fewer hashes than announced, or the output fails.
    pub fn finish(mut self) -> Result<(RootHash, W), DmVerityError> {
        if self.leaves != self.shape.data_blocks() {
            return Err(self.amount());
        }
        for number in 0..self.levels.len() {
            if self.levels.get(number).is_some_and(|level| !level.block.is_empty()) {
                self.end_block(number)?;
            }
        }
        let root = RootHash::new(self.root.ok_or(DmVerityError::DataBlocks(0))?);
        let superblock = Superblock { data_blocks: self.shape.data_blocks(), uuid: uuid_of(&root) };
        self.write(0, &superblock.to_block())?;
        Ok((root, self.out))
    }

    /// Adds a digest to a level, or to none: above the top it is the root hash.
    fn add(&mut self, number: usize, digest: [u8; 32]) -> Result<(), DmVerityError> {
        let Some(level) = self.levels.get_mut(number) else {
            self.root = Some(digest);
            return Ok(());
        };
        level.block.extend_from_slice(&digest);
        if level.block.len() >= BLOCK_BYTES { self.end_block(number) } else { Ok(()) }
    }

    /// Writes the block of a level that is being filled and tells the level above. (It recurses
    /// once for each level, and there are at most six.)
    fn end_block(&mut self, number: usize) -> Result<(), DmVerityError> {
        let place = self.shape.levels().get(number).map_or(0, |level| level.first_block);
        let Some(level) = self.levels.get_mut(number) else { return Ok(()) };
        let mut block = std::mem::take(&mut level.block);
        block.resize(BLOCK_BYTES, 0);
        let place = place.saturating_add(level.written);
        level.written = level.written.saturating_add(1);
        self.write(place, &block)?;
        let mut digest = [[0; DIGEST_BYTES]];
        (self.hash)(&block, &mut digest);
        block.clear();
        if let Some(level) = self.levels.get_mut(number) {
            level.block = block;
        }
        let [digest] = digest;
        self.add(number.saturating_add(1), digest)
    }

    fn write(&mut self, block_number: u64, block: &[u8]) -> Result<(), DmVerityError> {
        let offset = self.offset.saturating_add(block_number.saturating_mul(BLOCK_STEP));
        self.out.seek(SeekFrom::Start(offset))?;
        Ok(self.out.write_all(block)?)
    }

    const fn amount(&self) -> DmVerityError {
        DmVerityError::Amount { announced: self.shape.data_blocks(), actual: self.leaves }
    }
}

/// Writes a hash area from the data: for metadata images, whose hash area is a file beside them.
pub struct HashAreaWriter<W> {
    leaves: Leaves,
    tree: TreeWriter<W>,
    failure: Option<DmVerityError>,
}

impl<W: Write + Seek> HashAreaWriter<W> {
    /// The hash area of `size_bytes` of data, from the start of `out` on.
    ///
    /// # Errors
    /// An impossible size; it must be that of whole blocks.
    pub fn new(out: W, size_bytes: u64, hash: LeafHash) -> Result<Self, DmVerityError> {
        let tree = TreeWriter::new(out, 0, blocks_of(size_bytes)?, hash)?;
        Ok(Self { leaves: Leaves::new(Algorithm::Sha256, hash), tree, failure: None })
    }

    /// Takes the next bytes of the data.
    ///
    /// # Errors
    /// There are more than announced, or the output fails.
    pub fn update(&mut self, data: &[u8]) -> Result<(), DmVerityError> {
        let Self { leaves, tree, failure } = self;
        leaves.update(data, &mut |_, leaf| {
            if let (None, Ok(leaf)) = (&failure, <&[u8; 32]>::try_from(leaf)) {
                *failure = tree.push(leaf).err();
            }
        });
        failure.take().map_or(Ok(()), Err)
    }

    /// Writes what is left and the superblock; returns the root hash and the output.
    ///
    /// # Errors
    /// There are fewer bytes than announced, or the output fails.
    pub fn finish(self) -> Result<(RootHash, W), DmVerityError> {
        if !self.leaves.size_bytes().is_multiple_of(BLOCK_STEP) {
            return Err(DmVerityError::Incomplete(self.leaves.size_bytes()));
        }
        self.tree.finish()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;
    use crate::verity::{MerkleRoot, hash_blocks_portably};

    fn blocks(count: u32) -> Vec<u8> {
        (0..count).flat_map(|number| number.to_le_bytes().repeat(1024)).collect()
    }

    fn area(data: &[u8], step: usize) -> (RootHash, Vec<u8>) {
        let out = Cursor::new(Vec::new());
        let mut writer =
            HashAreaWriter::new(out, data.len().try_into().unwrap(), hash_blocks_portably).unwrap();
        data.chunks(step).for_each(|chunk| writer.update(chunk).unwrap());
        let (root, out) = writer.finish().unwrap();
        (root, out.into_inner())
    }

    #[test]
    fn the_root_hash_is_that_of_the_fs_verity_tree_over_the_same_blocks() {
        for count in [1, 2, 127, 128, 129, 300, 128 * 128, 128 * 128 + 1] {
            let data = blocks(count);
            let mut merkle = MerkleRoot::new(Algorithm::Sha256, hash_blocks_portably);
            let mut leaves = Leaves::new(Algorithm::Sha256, hash_blocks_portably);
            leaves.update(&data, &mut |_, leaf| merkle.push(leaf));
            let (root, area) = area(&data, 1 << 20);
            assert_eq!(root.as_bytes(), merkle.finish(), "{count} blocks");
            let shape = TreeShape::of(count.into()).unwrap();
            assert_eq!(u64::try_from(area.len()).unwrap(), shape.area_bytes());
        }
    }

    #[test]
    fn the_way_the_data_is_cut_does_not_matter() {
        let data = blocks(300);
        let whole = area(&data, data.len());
        for step in [1000, 4096, 5000, 65_536] {
            assert!(area(&data, step) == whole, "in steps of {step}");
        }
    }

    #[test]
    fn another_amount_of_data_than_announced_is_an_error() {
        let new = |size| HashAreaWriter::new(Cursor::new(Vec::new()), size, hash_blocks_portably);
        assert!(matches!(new(0), Err(DmVerityError::DataBlocks(0))));
        assert!(matches!(new(4097), Err(DmVerityError::Incomplete(4097))));
        let mut writer = new(8192).unwrap();
        writer.update(&[0; 8192]).unwrap();
        assert!(matches!(writer.update(&[0; 4096]), Err(DmVerityError::Amount { announced: 2, actual: 3 })));
        let mut writer = new(8192).unwrap();
        writer.update(&[0; 4096]).unwrap();
        assert!(matches!(writer.finish(), Err(DmVerityError::Amount { announced: 2, actual: 1 })));
        let mut writer = new(4096).unwrap();
        writer.update(&[0; 4000]).unwrap();
        assert!(matches!(writer.finish(), Err(DmVerityError::Incomplete(4000))));
    }
}
