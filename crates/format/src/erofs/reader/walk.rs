//! Goes through all names of an image.

use std::collections::VecDeque;

use super::entries::Entries;
use super::error::{Damage, ImageError, shown};
use super::inode::ImageInode;
use super::{Image, to_usize};
use crate::erofs::inode::FileType;
use crate::erofs::{BLOCK_BYTES, SLOT_BYTES};

/// A name of an image, and what it is the name of.
#[derive(Debug, Clone, Copy)]
pub struct Found<'a> {
    /// The number of the directory's inode.
    pub directory: u64,
    /// The name.
    pub name: &'a [u8],
    /// What has the name.
    pub inode: ImageInode<'a>,
    /// Whether the inode has been found before: a hard link.
    pub again: bool,
}

/// Iterator over all names of an image but `.` and `..`: directory by directory, breadth first,
/// each in the order of names. Ends after an error.
///
/// A directory that is found twice is an error, so it always ends; and so are inodes that
/// together claim more bytes than the image has, so it ends soon.
#[derive(Debug)]
pub struct Walk<'a> {
    image: Image<'a>,
    state: State<'a>,
    /// Directories that are still ahead, with their parents.
    ahead: VecDeque<(u64, u64)>,
    /// One bit for each slot of the image: whether its inode was found.
    found: Vec<u64>,
    budget: Budget,
}

#[derive(Debug)]
enum State<'a> {
    Start,
    In { directory: u64, parent: u64, entries: Entries<'a> },
    Ended,
}

/// Bits of a word of [`Walk::found`].
const WORD_BITS: u64 = 64;

/// How many bytes of the image are not yet some inode's.
#[derive(Debug)]
pub(super) struct Budget(u64);

impl Budget {
    pub(super) fn of(image: &Image<'_>) -> Self {
        Self(image.size_bytes())
    }

    /// Takes `bytes`, if there are as many.
    pub(super) fn take(&mut self, bytes: u64) -> Result<(), Damage> {
        self.0 = self.0.checked_sub(bytes).ok_or(Damage::Overlap)?;
        Ok(())
    }
}

impl<'a> Walk<'a> {
    pub(super) fn new(image: Image<'a>) -> Self {
        Self {
            image,
            state: State::Start,
            ahead: VecDeque::new(),
            found: Vec::new(),
            budget: Budget::of(&image),
        }
    }

    /// Starts with the root.
    fn start(&mut self) -> Result<(), ImageError> {
        let words = self.image.size_bytes() / SLOT_BYTES / WORD_BITS;
        self.found = vec![0; to_usize(words).saturating_add(1)];
        let root = self.image.root()?;
        self.meet(&root)?;
        self.enter(&root, root.nid())
    }

    fn enter(&mut self, directory: &ImageInode<'a>, parent: u64) -> Result<(), ImageError> {
        let entries = directory.entries()?;
        self.state = State::In { directory: directory.nid(), parent, entries };
        Ok(())
    }

    /// Notes that `inode` was found, and tells whether it was before.
    fn meet(&mut self, inode: &ImageInode<'a>) -> Result<bool, ImageError> {
        let start = u64::from(self.image.superblock.meta_blkaddr).saturating_mul(BLOCK_BYTES);
        let slot = inode.nid().saturating_add(start / SLOT_BYTES);
        let bit = 1_u64.rotate_left(u32::try_from(slot % WORD_BITS).unwrap_or_default());
        let word =
            self.found.get_mut(to_usize(slot / WORD_BITS)).ok_or_else(|| inode.damaged(Damage::Place))?;
        let again = *word & bit != 0;
        *word |= bit;
        if !again {
            self.budget.take(inode.own_bytes()).map_err(|damage| inode.damaged(damage))?;
        }
        Ok(again)
    }

    fn step(&mut self) -> Result<Option<Found<'a>>, ImageError> {
        if matches!(self.state, State::Start) {
            self.start()?;
        }
        loop {
            let State::In { directory, parent, entries } = &mut self.state else { return Ok(None) };
            let (directory, parent) = (*directory, *parent);
            let Some(entry) = entries.next().transpose()? else {
                let Some((nid, parent)) = self.ahead.pop_front() else {
                    self.state = State::Ended;
                    return Ok(None);
                };
                let next = self.image.inode(nid)?;
                self.enter(&next, parent)?;
                continue;
            };
            let damaged = |damage| ImageError::Inode { nid: directory, damage };
            let own = match entry.name {
                b"." => Some(directory),
                b".." => Some(parent),
                _ => None,
            };
            if let Some(own) = own {
                if entry.nid != own {
                    return Err(damaged(Damage::Dots(shown(entry.name))));
                }
                continue;
            }
            let inode = self.image.inode(entry.nid)?;
            if inode.file_type().entry_number() != entry.type_number {
                return Err(damaged(Damage::EntryType(shown(entry.name))));
            }
            let again = self.meet(&inode)?;
            if inode.file_type() == FileType::Directory {
                if again {
                    return Err(inode.damaged(Damage::DirectoryTwice));
                }
                self.ahead.push_back((inode.nid(), directory));
            }
            return Ok(Some(Found { directory, name: entry.name, inode, again }));
        }
    }
}

impl<'a> Iterator for Walk<'a> {
    type Item = Result<Found<'a>, ImageError>;

    fn next(&mut self) -> Option<Self::Item> {
        let step = self.step();
        if step.is_err() {
            self.state = State::Ended;
        }
        step.transpose()
    }
}
