//! Reading at offsets.

use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;

use super::super::BLOCK_BYTES;
use super::PackError;

/// A file, of which only the first bytes may be looked at.
pub(super) struct Source<R> {
    file: R,
    size_bytes: u64,
    limit_bytes: u64,
    /// The blocks that were read last, with the offset of the first. Inodes are looked at from the first to the last.
    window: Vec<u8>,
    window_offset: u64,
}

/// How much is read when a block is asked for: it and those behind it, as far as they are there.
const WINDOW_BYTES: usize = 16 * BLOCK_BYTES;

impl<R: Read + Seek> Source<R> {
    pub(super) fn new(mut file: R) -> Result<Self, PackError> {
        let size_bytes = file.seek(SeekFrom::End(0)).map_err(PackError::Source)?;
        Ok(Self { file, size_bytes, limit_bytes: size_bytes, window: Vec::new(), window_offset: 0 })
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
        if self.in_window(offset).is_none() {
            self.check(offset, BLOCK_BYTES)?;
            let left = self.limit_bytes.saturating_sub(offset);
            let length = usize::try_from(left).unwrap_or(usize::MAX).min(WINDOW_BYTES);
            let mut window = std::mem::take(&mut self.window);
            window.resize(length, 0);
            self.fill(offset, &mut window).map_err(PackError::Source)?;
            (self.window, self.window_offset) = (window, offset);
        }
        let place = self.in_window(offset).unwrap_or_default();
        Ok(self.window.get(place).unwrap_or_default())
    }

    /// Where in the window the block at `offset` is, if it is there.
    fn in_window(&self, offset: u64) -> Option<Range<usize>> {
        let start = usize::try_from(offset.checked_sub(self.window_offset)?).ok()?;
        let end = start.checked_add(BLOCK_BYTES)?;
        (end <= self.window.len()).then_some(start..end)
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
