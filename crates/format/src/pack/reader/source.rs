//! Reading at offsets.

use std::io::{self, Read, Seek, SeekFrom};

use super::super::BLOCK_BYTES;
use super::PackError;

/// A file, of which only the first bytes may be looked at.
pub(super) struct Source<R> {
    file: R,
    size_bytes: u64,
    limit_bytes: u64,
    /// The block that was read last, with its offset.
    block: Vec<u8>,
    block_offset: Option<u64>,
}

impl<R: Read + Seek> Source<R> {
    pub(super) fn new(mut file: R) -> Result<Self, PackError> {
        let size_bytes = file.seek(SeekFrom::End(0)).map_err(PackError::Source)?;
        let block = vec![0; BLOCK_BYTES];
        Ok(Self { file, size_bytes, limit_bytes: size_bytes, block, block_offset: None })
    }

    pub(super) const fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// From now on, only the first `limit_bytes` are there.
    pub(super) const fn limit_to(&mut self, limit_bytes: u64) {
        self.limit_bytes = limit_bytes;
    }

    /// The `length` bytes at `offset`, if they are within the limit.
    pub(super) fn read(&mut self, offset: u64, length: usize) -> Result<Vec<u8>, PackError> {
        self.check(offset, length)?;
        self.read_anywhere(offset, length)
    }

    /// The `length` bytes at `offset`.
    pub(super) fn read_anywhere(&mut self, offset: u64, length: usize) -> Result<Vec<u8>, PackError> {
        let mut bytes = vec![0; length];
        self.fill(offset, &mut bytes).map_err(PackError::Source)?;
        Ok(bytes)
    }

    /// The block at `offset`, if it is within the limit.
    pub(super) fn block(&mut self, offset: u64) -> Result<&[u8], PackError> {
        if self.block_offset != Some(offset) {
            self.check(offset, BLOCK_BYTES)?;
            self.block_offset = None;
            let mut block = std::mem::take(&mut self.block);
            let result = self.fill(offset, &mut block);
            self.block = block;
            result.map_err(PackError::Source)?;
            self.block_offset = Some(offset);
        }
        Ok(&self.block)
    }

    /// Reads into `buffer` from `offset` on.
    pub(super) fn fill(&mut self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(offset))?;
        self.file.read_exact(buffer)
    }

    fn check(&self, offset: u64, length: usize) -> Result<(), PackError> {
        let end = offset.checked_add(super::to_u64(length));
        if end.is_some_and(|end| end <= self.limit_bytes) {
            Ok(())
        } else {
            Err(PackError::Beyond { offset, length, limit: self.limit_bytes })
        }
    }
}
