//! Entries of directories.

use zerocopy::FromBytes;

use super::error::{Damage, ImageError, shown};
use crate::erofs::dirent::Dirent;
use crate::erofs::{BLOCK_BYTES, to_usize};
use crate::tree::NAME_MAX_BYTES;

/// Bytes of an entry without its name, as a length in memory.
const DIRENT_SIZE: usize = size_of::<Dirent>();

/// An entry of a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry<'a> {
    /// The name.
    pub name: &'a [u8],
    /// The number of the inode.
    pub nid: u64,
    /// The type that the entry states (`EROFS_FT_*`).
    pub type_number: u8,
}

/// Iterator over the entries of a directory, in the order of names, each one checked: names
/// that can be, in ascending order. Ends after an error.
#[derive(Debug, Clone)]
pub struct Entries<'a> {
    nid: u64,
    /// Whole blocks ahead, the last perhaps in part, then the tail.
    blocks: &'a [u8],
    tail: &'a [u8],
    /// The block at hand, with the number of its entries and which of them is next.
    block: &'a [u8],
    block_number: u64,
    count: usize,
    next: usize,
    last_name: Option<&'a [u8]>,
}

impl<'a> Entries<'a> {
    pub(super) const fn new(nid: u64, blocks: &'a [u8], tail: &'a [u8]) -> Self {
        Self { nid, blocks, tail, block: b"", block_number: 0, count: 0, next: 0, last_name: None }
    }

    /// Takes the next block, unless there is none.
    fn advance(&mut self) -> Option<Result<(), Damage>> {
        if self.blocks.is_empty() {
            self.block = std::mem::take(&mut self.tail);
        } else {
            let end = self.blocks.len().min(to_usize(BLOCK_BYTES));
            (self.block, self.blocks) = self.blocks.split_at_checked(end)?;
        }
        if self.block.is_empty() {
            return None;
        }
        self.block_number = self.block_number.saturating_add(1);
        self.next = 0;
        let names_start = self.dirent(0).map(|dirent| usize::from(dirent.nameoff.get()));
        self.count = names_start.map_or(0, |start| start / DIRENT_SIZE);
        let is_whole = |start: usize| start.is_multiple_of(DIRENT_SIZE);
        if self.count == 0 || !names_start.is_some_and(|start| is_whole(start) && start <= self.block.len()) {
            return Some(Err(self.malformed()));
        }
        Some(Ok(()))
    }

    fn dirent(&self, index: usize) -> Option<&'a Dirent> {
        let start = index.checked_mul(DIRENT_SIZE)?;
        Some(Dirent::ref_from_prefix(self.block.get(start..)?).ok()?.0)
    }

    /// The entry at hand.
    fn entry(&mut self) -> Result<Entry<'a>, Damage> {
        let dirent = self.dirent(self.next).ok_or_else(|| self.malformed())?;
        let start = usize::from(dirent.nameoff.get());
        self.next = self.next.saturating_add(1);
        let name = if self.next < self.count {
            let end = self.dirent(self.next).map(|next| usize::from(next.nameoff.get()));
            end.and_then(|end| self.block.get(start..end))
        } else {
            // The last name ends at a NUL or with the block.
            let rest = self.block.get(start..);
            rest.map(|rest| rest.split(|byte| *byte == 0).next().unwrap_or_default())
        };
        let name = name.ok_or_else(|| self.malformed())?;
        if name.is_empty() || name.len() > NAME_MAX_BYTES || name.contains(&0) || name.contains(&b'/') {
            return Err(Damage::Name(shown(name)));
        }
        if self.last_name.is_some_and(|last| last >= name) {
            return Err(Damage::NameOrder(shown(name)));
        }
        self.last_name = Some(name);
        Ok(Entry { name, nid: dirent.nid.get(), type_number: dirent.file_type })
    }

    const fn malformed(&self) -> Damage {
        Damage::DirectoryBlock(self.block_number.saturating_sub(1))
    }
}

impl<'a> Iterator for Entries<'a> {
    type Item = Result<Entry<'a>, ImageError>;

    fn next(&mut self) -> Option<Self::Item> {
        let result = if self.next < self.count {
            self.entry()
        } else {
            match self.advance()? {
                Ok(()) => self.entry(),
                Err(damage) => Err(damage),
            }
        };
        Some(result.map_err(|damage| {
            *self = Self::new(self.nid, b"", b"");
            ImageError::Inode { nid: self.nid, damage }
        }))
    }
}
