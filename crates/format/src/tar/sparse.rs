//! Where the data of sparse files belongs (GNU tar manual, "Storing Sparse Files").

use super::error::{ErrorKind, SparseProblem, beyond};
use super::header::SparseBlock;
use super::number::{decimal, header_number, push_digit};

/// A run of data in a sparse file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Region {
    pub(super) offset: u64,
    pub(super) length: u64,
}

/// The regions of a sparse file: in order, apart from each other, none of them empty.
#[derive(Debug, Clone, Default)]
pub(super) struct SparseMap {
    regions: Vec<Region>,
    /// With the empty ones, which are not kept.
    stated: usize,
    /// Where the last region ends.
    end: u64,
    /// Length of all regions, in bytes.
    data_bytes: u64,
}

impl SparseMap {
    /// Adds a region behind all others.
    pub(super) fn push(&mut self, offset: u64, length: u64, limit: usize) -> Result<(), ErrorKind> {
        if self.stated >= limit {
            return Err(beyond("sparse regions", limit));
        }
        if offset < self.end {
            return Err(SparseProblem::Order.into());
        }
        self.stated = self.stated.saturating_add(1);
        self.end = offset.checked_add(length).ok_or(SparseProblem::BeyondEnd)?;
        self.data_bytes = self.data_bytes.saturating_add(length);
        if length > 0 {
            self.regions.push(Region { offset, length });
        }
        Ok(())
    }

    /// Adds the regions of an old GNU block, up to the first that is not used.
    pub(super) fn push_block(&mut self, block: &SparseBlock<'_>, limit: usize) -> Result<(), ErrorKind> {
        for entry in block.entries.iter().take_while(|entry| entry.get(12) != Some(&0)) {
            let (offset, length) = entry.split_at_checked(12).unwrap_or_default();
            self.push(field(offset)?, field(length)?, limit)?;
        }
        Ok(())
    }

    /// Adds the regions of version 0.1's list `OFFSET,LENGTH,OFFSET,LENGTH…`.
    pub(super) fn push_list(&mut self, list: &[u8], limit: usize) -> Result<(), ErrorKind> {
        let mut numbers = list.split(|byte| *byte == b',').map(decimal);
        while let Some(offset) = numbers.next() {
            let length = numbers.next().ok_or(SparseProblem::Malformed)?;
            let malformed = |_| SparseProblem::Malformed;
            self.push(offset.map_err(malformed)?, length.map_err(malformed)?, limit)?;
        }
        Ok(())
    }

    /// The number of regions that were added.
    pub(super) const fn stated(&self) -> usize {
        self.stated
    }

    /// The regions, if they fit a file of `size_bytes` whose data takes `archived_bytes` in the archive.
    pub(super) fn finish(self, size_bytes: u64, archived_bytes: u64) -> Result<Vec<Region>, ErrorKind> {
        if self.end > size_bytes {
            return Err(SparseProblem::BeyondEnd.into());
        }
        if self.data_bytes != archived_bytes {
            return Err(SparseProblem::Data { mapped: self.data_bytes, archived: archived_bytes }.into());
        }
        Ok(self.regions)
    }
}

fn field(field: &[u8]) -> Result<u64, ErrorKind> {
    let number = header_number(field).ok().and_then(|number| u64::try_from(number).ok());
    number.ok_or_else(|| SparseProblem::Malformed.into())
}

/// Reads version 1.0's map, which stands before the data: decimal numbers, each on a line of its own;
/// first the count of regions, then offset and length of each; then padding up to a full block.
#[derive(Debug, Default)]
pub(super) struct MapReader {
    map: SparseMap,
    count: Option<usize>,
    offset: Option<u64>,
    number: Option<u64>,
}

impl MapReader {
    /// Takes a block; says whether it was the last.
    pub(super) fn push_block(&mut self, block: &[u8], limit: usize) -> Result<bool, ErrorKind> {
        for byte in block {
            if self.is_complete() {
                break;
            }
            let malformed = |_| ErrorKind::from(SparseProblem::Malformed);
            match (byte, self.number) {
                (b'\n', Some(number)) => {
                    self.number = None;
                    self.line(number, limit)?;
                }
                (digit, number) => {
                    self.number = Some(push_digit(number.unwrap_or(0), *digit).map_err(malformed)?);
                }
            }
        }
        Ok(self.is_complete())
    }

    fn line(&mut self, number: u64, limit: usize) -> Result<(), ErrorKind> {
        match (self.count, self.offset.take()) {
            (None, _) => {
                let count = usize::try_from(number).ok().filter(|count| *count <= limit);
                self.count = Some(count.ok_or_else(|| beyond("sparse regions", limit))?);
            }
            (Some(_), None) => self.offset = Some(number),
            (Some(_), Some(offset)) => self.map.push(offset, number, limit)?,
        }
        Ok(())
    }

    fn is_complete(&self) -> bool {
        self.count == Some(self.map.stated())
    }

    pub(super) fn into_map(self) -> SparseMap {
        self.map
    }
}
