//! Which blocks of an object are stored, and which are holes.

use std::io::{self, Read, Seek, Write};

use super::super::CHUNK_BLOCKS;
use super::super::inode::{Inode, InodeData};
use super::blocks::Blocks;
use super::{PackOutput, PackWriteError};
use crate::erofs::inode::NULL_ADDRESS;
use crate::verity::ZERO_LEAF;

/// Stores the blocks of one object as they come.
///
/// A chunk that has only zeros is a hole. Whether it is one is known at its first other block, so
/// the zero blocks before that are counted, not kept.
pub(super) struct Chunks {
    /// The address of the first block that is stored, once one is.
    first_block: Option<u32>,
    /// The blocks that came.
    seen: u64,
    /// How many blocks of zeros are at the start of the chunk, as long as it has nothing else.
    zeros: u64,
    /// The address of the chunk, once a block of it is stored.
    chunk: Option<u32>,
    /// The number of chunks before.
    ended: u32,
    /// The addresses of the chunks before as they lie on disk, once one of them is a hole.
    addresses: Option<Vec<u8>>,
}

/// How an object is described.
pub(super) struct Described {
    pub(super) data: InodeData,
    /// What lies behind the inode: the tail or the addresses of chunks.
    pub(super) rest: Vec<u8>,
}

impl Chunks {
    /// An object without content.
    pub(super) const fn new() -> Self {
        Self { first_block: None, seen: 0, zeros: 0, chunk: None, ended: 0, addresses: None }
    }

    /// Takes the next full block and its hash.
    pub(super) fn take<W: PackOutput, F: Fn() -> io::Result<S>, S: Read + Write + Seek>(
        &mut self,
        blocks: &mut Blocks<W, F, S>,
        block: &[u8],
        leaf: &[u8],
    ) -> Result<(), PackWriteError> {
        if leaf == ZERO_LEAF && self.zeros == self.seen % CHUNK_BLOCKS {
            self.zeros = self.zeros.saturating_add(1);
        } else {
            self.store(blocks, Some((block, leaf)))?;
        }
        self.seen = self.seen.saturating_add(1);
        if self.seen.is_multiple_of(CHUNK_BLOCKS) {
            self.end_chunk();
        }
        Ok(())
    }

    /// Ends an object of `size_bytes`; `last` is the incomplete block at its end, filled up with
    /// zeros, with its hash.
    pub(super) fn finish<W: PackOutput, F: Fn() -> io::Result<S>, S: Read + Write + Seek>(
        mut self,
        blocks: &mut Blocks<W, F, S>,
        size_bytes: u64,
        last: Option<(&[u8], &[u8])>,
    ) -> Result<Described, PackWriteError> {
        let in_chunk = self.seen % CHUNK_BLOCKS;
        let is_hole = self.zeros == in_chunk && last.is_none_or(|(_, leaf)| leaf == ZERO_LEAF);
        let is_incomplete = in_chunk > 0 || last.is_some();
        if is_incomplete && (is_hole || self.addresses.is_some()) {
            if !is_hole {
                self.store(blocks, last)?;
            }
            self.end_chunk();
        }
        if let Some(rest) = self.addresses {
            return Ok(Described { data: InodeData::Chunks, rest });
        }
        let (_, tail_bytes) = Inode::split(size_bytes);
        let (stored_last, tail) = if tail_bytes > 0 { (None, last) } else { (last, None) };
        self.store(blocks, stored_last)?;
        let first_block = self.first_block.unwrap_or(0);
        let tail = tail.and_then(|(block, _)| block.get(..tail_bytes)).unwrap_or_default();
        Ok(Described {
            data: InodeData::Flat { first_block, has_tail: !tail.is_empty() },
            rest: tail.to_vec(),
        })
    }

    /// Stores the blocks of zeros at the start of the chunk, and then `block` with its hash.
    fn store<W: PackOutput, F: Fn() -> io::Result<S>, S: Read + Write + Seek>(
        &mut self,
        blocks: &mut Blocks<W, F, S>,
        block: Option<(&[u8], &[u8])>,
    ) -> Result<(), PackWriteError> {
        if block.is_none() && self.zeros == 0 {
            return Ok(());
        }
        if self.chunk.is_none() {
            let address = blocks.address()?;
            self.chunk = Some(address);
            self.first_block.get_or_insert(address);
        }
        blocks.append_zeros(std::mem::take(&mut self.zeros))?;
        block.map_or(Ok(()), |(block, leaf)| blocks.append(block, leaf))
    }

    fn end_chunk(&mut self) {
        let address = self.chunk.take();
        self.zeros = 0;
        if address.is_none() && self.addresses.is_none() {
            // The chunks before lie one behind the other.
            let first = self.first_block.unwrap_or(0);
            let step = u32::try_from(CHUNK_BLOCKS).unwrap_or(u32::MAX);
            let address = |chunk: u32| first.saturating_add(chunk.saturating_mul(step)).to_le_bytes();
            self.addresses = Some((0..self.ended).flat_map(address).collect());
        }
        self.ended = self.ended.saturating_add(1);
        if let Some(addresses) = &mut self.addresses {
            addresses.extend(address.unwrap_or(NULL_ADDRESS).to_le_bytes());
        }
    }
}
