//! Checks data and its hash area against a root hash, from the top down, as the kernel does.

use super::shape::{DIGEST_BYTES, TreeShape};
use super::{BLOCK_STEP, Superblock, UnsupportedSuperblock, uuid_of};
use crate::digest::RootHash;
use crate::verity::merkle::{BATCH_BLOCKS, hash_batch};
use crate::verity::{BLOCK_BYTES, LeafHash};

/// Why data and hash area are not what a root hash stands for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// The superblock is missing or of another kind.
    #[error(transparent)]
    Superblock(#[from] UnsupportedSuperblock),
    /// The superblock is for another amount of data.
    #[error("the dm-verity superblock is for {stated} blocks of data, but there are {actual} bytes")]
    DataSize {
        /// The number of blocks it states.
        stated: u64,
        /// The bytes there are.
        actual: u64,
    },
    /// The hash area is too short, or too long.
    #[error("the dm-verity hash area should have {needed} bytes, but there are {actual}")]
    AreaSize {
        /// The bytes it should have.
        needed: u64,
        /// The bytes there are.
        actual: usize,
    },
    /// The UUID does not follow from the root hash.
    #[error("the UUID in the dm-verity superblock does not follow from the root hash {0}")]
    Uuid(RootHash),
    /// The top of the tree is not what the root hash is of.
    #[error("the top of the dm-verity hash tree does not have the root hash {0}")]
    Root(RootHash),
    /// A block of hashes is not what the block above says.
    #[error("block {0} of the dm-verity hash area is damaged")]
    HashBlock(u64),
    /// A block of hashes has something behind its last hash.
    #[error("block {0} of the dm-verity hash area has bytes that are not zero behind its last hash")]
    Spare(u64),
    /// A block of data is not what the tree says.
    #[error("block {0} of the data is damaged: dm-verity's hash tree says otherwise")]
    DataBlock(u64),
}

/// Checks that `data` and `area`, its hash area, are what `root` stands for, every byte of both.
///
/// # Errors
/// The first thing that is wrong.
pub fn verify(hash: LeafHash, data: &[u8], area: &[u8], root: &RootHash) -> Result<(), Damage> {
    let leaves = leaves_in(hash, u64::try_from(data.len()).unwrap_or(u64::MAX), area, root)?;
    check(hash, data, leaves).map_err(|number| damaged_data(number, leaves.len(), root))
}

/// Checks that `area` is the hash area of `size_bytes` of data with that root hash, every byte of it. The data is not needed:
/// a tree that leads to the root hash is that of the data that has it.
///
/// # Errors
/// The first thing that is wrong.
pub fn verify_area(hash: LeafHash, size_bytes: u64, area: &[u8], root: &RootHash) -> Result<(), Damage> {
    leaves_in(hash, size_bytes, area, root).map(drop)
}

/// What it means that the block of data with this number, of so many, has another hash.
pub(super) const fn damaged_data(number: u64, blocks: usize, root: &RootHash) -> Damage {
    if blocks == 1 { Damage::Root(*root) } else { Damage::DataBlock(number) }
}

/// Checks everything but the data, and returns the hashes that its blocks must have, as many as
/// `size_bytes` of data have.
///
/// # Errors
/// The first thing that is wrong.
pub(super) fn leaves_in<'a>(
    hash: LeafHash,
    size_bytes: u64,
    area: &'a [u8],
    root: &'a RootHash,
) -> Result<&'a [[u8; DIGEST_BYTES]], Damage> {
    let superblock = Superblock::parse(area.get(..BLOCK_BYTES).unwrap_or_default())?;
    let data_size = Damage::DataSize { stated: superblock.data_blocks, actual: size_bytes };
    let shape = TreeShape::of(superblock.data_blocks).map_err(|_| data_size.clone())?;
    if superblock.data_blocks.checked_mul(BLOCK_STEP) != Some(size_bytes) {
        return Err(data_size);
    }
    if u64::try_from(area.len()) != Ok(shape.area_bytes()) {
        return Err(Damage::AreaSize { needed: shape.area_bytes(), actual: area.len() });
    }
    if superblock.uuid != uuid_of(root) {
        return Err(Damage::Uuid(*root));
    }
    // The hashes that the level at hand must have: first only the root hash.
    let (mut expected, _) = root.as_bytes().as_chunks::<DIGEST_BYTES>();
    let mut below =
        shape.levels().iter().rev().skip(1).map(|level| level.blocks).chain([superblock.data_blocks]);
    for level in shape.levels().iter().rev() {
        let blocks = level_bytes(area, level.first_block, level.blocks);
        check(hash, blocks, expected).map_err(|number| match level.first_block {
            // The top is the first behind the superblock.
            1 => Damage::Root(*root),
            first => Damage::HashBlock(first.saturating_add(number)),
        })?;
        let (hashes, _) = blocks.as_chunks();
        let count = below.next().and_then(|count| usize::try_from(count).ok()).unwrap_or(0);
        let (used, spare) = hashes.split_at_checked(count).unwrap_or((hashes, &[]));
        if spare.as_flattened().iter().any(|byte| *byte != 0) {
            let last = level.first_block.saturating_add(level.blocks).saturating_sub(1);
            return Err(Damage::Spare(last));
        }
        expected = used;
    }
    Ok(expected)
}

/// The bytes of a level, which are there: the size of the area has been checked.
fn level_bytes(area: &[u8], first_block: u64, blocks: u64) -> &[u8] {
    let place =
        |block: u64| usize::try_from(block).map_or(usize::MAX, |block| block.saturating_mul(BLOCK_BYTES));
    area.get(place(first_block)..place(first_block.saturating_add(blocks))).unwrap_or_default()
}

/// Compares the hashes of `blocks` with those in `expected`.
///
/// # Errors
/// The number of the first block with another hash.
fn check(hash: LeafHash, blocks: &[u8], expected: &[[u8; DIGEST_BYTES]]) -> Result<(), u64> {
    let mut hashes = expected.iter();
    let mut number = 0_u64;
    for batch in blocks.chunks(BLOCK_BYTES.saturating_mul(BATCH_BLOCKS)) {
        let mut digests = [[0; DIGEST_BYTES]; BATCH_BLOCKS];
        let digests = digests.get_mut(..batch.len() / BLOCK_BYTES).unwrap_or_default();
        hash_batch(hash, batch, digests);
        for digest in digests {
            if hashes.next() != Some(digest) {
                return Err(number);
            }
            number = number.saturating_add(1);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;
    use crate::verity::dmverity::HashAreaWriter;
    use crate::verity::hash_blocks_portably;

    fn sample(count: u32) -> (Vec<u8>, Vec<u8>, RootHash) {
        let data: Vec<u8> = (1..=count).flat_map(|number| number.to_le_bytes().repeat(1024)).collect();
        let out = Cursor::new(Vec::new());
        let size = data.len().try_into().unwrap();
        let mut writer = HashAreaWriter::new(out, size, hash_blocks_portably).unwrap();
        writer.update(&data).unwrap();
        let (root, out) = writer.finish().unwrap();
        (data, out.into_inner(), root)
    }

    fn check_all(data: &[u8], area: &[u8], root: &RootHash) -> Result<(), Damage> {
        verify(hash_blocks_portably, data, area, root)
    }

    #[test]
    fn what_was_written_is_accepted() {
        for count in [1, 2, 128, 129, 256, 16_384, 16_385] {
            let (data, area, root) = sample(count);
            assert_eq!(check_all(&data, &area, &root), Ok(()), "{count} blocks");
        }
    }

    #[test]
    fn a_change_of_any_byte_is_found() {
        for count in [1, 3, 130] {
            let (data, area, root) = sample(count);
            for offset in (0..data.len()).step_by(1009).chain([data.len() - 1]) {
                let mut data = data.clone();
                data[offset] ^= 0x20;
                let found = check_all(&data, &area, &root).unwrap_err();
                let block = u64::try_from(offset / BLOCK_BYTES).unwrap();
                assert!(found == Damage::DataBlock(block) || (count == 1 && found == Damage::Root(root)));
            }
            for offset in (0..area.len()).step_by(7).chain([area.len() - 1]) {
                let mut area = area.clone();
                area[offset] ^= 0x01;
                assert!(check_all(&data, &area, &root).is_err(), "{count} blocks, byte {offset}");
            }
        }
    }

    #[test]
    fn sizes_that_do_not_fit_and_other_root_hashes_are_refused() {
        let (data, area, root) = sample(130);
        assert!(matches!(check_all(&data[4096..], &area, &root), Err(Damage::DataSize { stated: 130, .. })));
        assert!(matches!(check_all(&data[..129 * 4096 + 5], &area, &root), Err(Damage::DataSize { .. })));
        assert!(matches!(check_all(&data, &area[..area.len() - 1], &root), Err(Damage::AreaSize { .. })));
        assert!(matches!(check_all(&data, &area[..100], &root), Err(Damage::Superblock(_))));
        assert!(matches!(check_all(&data, b"", &root), Err(Damage::Superblock(_))));
        let other = RootHash::new([7; 32]);
        assert_eq!(check_all(&data, &area, &other), Err(Damage::Uuid(other)));
    }

    /// Bytes behind the last hash are covered by the hash of their block, so a tree with such
    /// bytes can have a root hash of its own; `veritysetup verify` refuses it, and so do we.
    #[test]
    fn something_behind_the_last_hash_is_refused() {
        let (data, mut area, _) = sample(3);
        area[4096 + 3 * 32] = 1;
        let mut root = [[0; 32]];
        hash_blocks_portably(&area[4096..8192], &mut root);
        let root = RootHash::new(root[0]);
        area[..4096].copy_from_slice(&Superblock { data_blocks: 3, uuid: uuid_of(&root) }.to_block());
        assert_eq!(check_all(&data, &area, &root), Err(Damage::Spare(1)));
    }
}
