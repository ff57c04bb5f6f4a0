//! The contents of objects.

use std::io::{Read, Seek, Write};

use super::super::inode::{Inode, InodeData};
use super::super::{BLOCK_STEP, CHUNK_BLOCKS, to_u64, to_usize};
use super::{PackError, PackObject, PackReader, pieces};
use crate::digest::Algorithm;
use crate::erofs::inode::NULL_ADDRESS;
use crate::verity::{FsVerityHasher, LeafHash};
use crate::zeros::ZEROS;

/// Bytes of a chunk.
const CHUNK_BYTES: u64 = BLOCK_STEP * CHUNK_BLOCKS;

// A chunk is a hole as a whole.
const _: () = assert!(CHUNK_BYTES == 64 * 1024 && ZEROS.len() == 64 * 1024);

impl<R: Read + Seek> PackReader<R> {
    /// Writes the content of an object to `out`, hashing it with `hash` on the way.
    ///
    /// # Errors
    /// A failing source or output, data outside the filesystem, or a content that does not hash to
    /// its name; `out` has got it by then and must not be used.
    pub fn read(&self, object: &PackObject, hash: LeafHash, out: &mut impl Write) -> Result<(), PackError> {
        let mut hasher = FsVerityHasher::with_leaf_hash(Algorithm::Sha256, hash);
        self.stream(object, |data| {
            hasher.update(data);
            out.write_all(data).map_err(PackError::Output)
        })?;
        let actual = hasher.finish();
        if actual == object.id { Ok(()) } else { Err(PackError::Content { id: object.id, actual }) }
    }

    /// Gives the content of an object to `each`, unchecked.
    pub(super) fn stream(
        &self,
        object: &PackObject,
        mut each: impl FnMut(&[u8]) -> Result<(), PackError>,
    ) -> Result<(), PackError> {
        match object.data {
            InodeData::Flat { first_block, .. } => {
                let (blocks, tail_bytes) = Inode::split(object.size_bytes);
                let blocks_bytes = blocks.saturating_mul(BLOCK_STEP).min(object.size_bytes);
                let start = u64::from(first_block).saturating_mul(BLOCK_STEP);
                self.pass(start, blocks_bytes, &mut each)?;
                self.pass(object.rest_offset, to_u64(tail_bytes), &mut each)
            }
            InodeData::Chunks => self.stream_chunks(object, &mut each),
        }
    }

    fn stream_chunks(
        &self,
        object: &PackObject,
        each: &mut impl FnMut(&[u8]) -> Result<(), PackError>,
    ) -> Result<(), PackError> {
        let mut left = object.size_bytes;
        let table_bytes = Inode::chunk_count(object.size_bytes).saturating_mul(4);
        for (offset, length) in pieces(object.rest_offset, table_bytes) {
            let table = self.source.borrow_mut().read(offset, length)?;
            for address in table.as_chunks().0.iter().map(|address| u32::from_le_bytes(*address)) {
                let length = left.min(CHUNK_BYTES);
                left = left.saturating_sub(length);
                if address == NULL_ADDRESS {
                    each(ZEROS.get(..to_usize(length)).unwrap_or_default())?;
                } else {
                    self.pass(u64::from(address).saturating_mul(BLOCK_STEP), length, each)?;
                }
            }
        }
        Ok(())
    }

    /// Passes `length` bytes at `offset` on.
    fn pass(
        &self,
        offset: u64,
        length: u64,
        each: &mut impl FnMut(&[u8]) -> Result<(), PackError>,
    ) -> Result<(), PackError> {
        for (offset, length) in pieces(offset, length) {
            // The source is free again before `each` runs: verifying reads from it there.
            let piece = self.source.borrow_mut().read(offset, length)?;
            each(&piece)?;
        }
        Ok(())
    }
}
