//! The blocks of the filesystem behind the first one, with their hashes.

use std::io::{self, Read, Seek, Write};

use super::super::region::{Lazy, Region};
use super::super::{BLOCK_BYTES, BLOCK_STEP};
use super::{BLOCKS_MAX, PackLimit, PackOutput, PackWriteError};
use crate::verity::{LeafHash, ZERO_LEAF};

/// The most of the data that is in memory, in bytes.
const DATA_BUFFER_BYTES: usize = 1024 * 1024;

/// Bytes of a block's hash.
const LEAF_BYTES: u64 = 32;

/// How many blocks are hashed at a time.
const BATCH_BLOCKS: usize = 16;

const ZERO_BLOCK: [u8; BLOCK_BYTES] = [0; BLOCK_BYTES];

/// Blocks, appended in order, from number 1 on.
pub(super) struct Blocks<W, F, S> {
    data: Region<W>,
    leaves: Region<Lazy<F, S>>,
}

impl<W: PackOutput, F: Fn() -> io::Result<S>, S: Read + Write + Seek> Blocks<W, F, S> {
    pub(super) fn new(out: W, scratch: F, memory_bytes: usize) -> Self {
        Self {
            data: Region::new(out, BLOCK_STEP, memory_bytes.min(DATA_BUFFER_BYTES)),
            leaves: Region::new(Lazy::new(scratch), 0, memory_bytes),
        }
    }

    /// The number of the next block.
    pub(super) fn next(&self) -> u64 {
        (self.data.size_bytes() / BLOCK_STEP).saturating_add(1)
    }

    /// The number of the next block as an address on disk.
    pub(super) fn address(&self) -> Result<u32, PackWriteError> {
        match u32::try_from(self.next()) {
            Ok(address) if address < u32::MAX => Ok(address),
            _ => Err(PackWriteError::TooLarge(PackLimit::Blocks)),
        }
    }

    /// Appends a block with that hash.
    pub(super) fn append(&mut self, block: &[u8], leaf: &[u8]) -> Result<(), PackWriteError> {
        if self.next() >= BLOCKS_MAX {
            return Err(PackWriteError::TooLarge(PackLimit::Blocks));
        }
        self.data.append(block).map_err(PackWriteError::Output)?;
        self.leaves.append(leaf).map_err(PackWriteError::Scratch)
    }

    /// Appends `count` blocks of zeros.
    pub(super) fn append_zeros(&mut self, count: u64) -> Result<(), PackWriteError> {
        (0..count).try_for_each(|_| self.append(&ZERO_BLOCK, &ZERO_LEAF))
    }

    /// Appends whole blocks that are not hashed yet.
    pub(super) fn append_all(&mut self, hash: LeafHash, blocks: &[u8]) -> Result<(), PackWriteError> {
        for batch in blocks.chunks(BLOCK_BYTES.saturating_mul(BATCH_BLOCKS)) {
            let mut leaves = [[0; 32]; BATCH_BLOCKS];
            let leaves = leaves.get_mut(..batch.len() / BLOCK_BYTES).unwrap_or_default();
            hash(batch, leaves);
            let blocks = batch.chunks_exact(BLOCK_BYTES);
            blocks.zip(leaves).try_for_each(|(block, leaf)| self.append(block, leaf))?;
        }
        Ok(())
    }

    /// Takes back the block with number `next` and those behind it.
    pub(super) fn truncate(&mut self, next: u64) {
        let count = next.saturating_sub(1);
        self.data.truncate(count.saturating_mul(BLOCK_STEP));
        self.leaves.truncate(count.saturating_mul(LEAF_BYTES));
    }

    /// Writes what is in memory; returns the output, and the hashes.
    pub(super) fn finish(self) -> Result<(W, Region<Lazy<F, S>>), PackWriteError> {
        Ok((self.data.finish().map_err(PackWriteError::Output)?, self.leaves))
    }
}
