//! Goes through all names of an image.

use std::collections::VecDeque;

use super::entries::{Entries, Entry};
use super::error::{Damage, ImageError, shown};
use super::inode::ImageInode;
use super::{Image, to_usize};
use crate::erofs::inode::FileType;
use crate::erofs::{BLOCK_BYTES, SLOT_BYTES};

/// A name of an image, and what it is the name of.
#[derive(Debug, Clone, Copy)]
pub struct NamedInode<'a> {
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
}

#[derive(Debug)]
enum State<'a> {
    Start,
    In { directory: u64, parent: u64, entries: Entries<'a>, visited: Visited },
    Ended,
}

/// Bits of a word of [`Visited::found`].
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

/// Which inodes of an image were found.
#[derive(Debug)]
pub(super) struct Visited {
    /// One bit for each slot of the image: whether its inode was found.
    found: Vec<u64>,
    budget: Budget,
}

impl Visited {
    pub(super) fn none(image: &Image<'_>) -> Self {
        let words = image.size_bytes() / SLOT_BYTES / WORD_BITS;
        Self { found: vec![0; to_usize(words).saturating_add(1)], budget: Budget::of(image) }
    }

    /// Notes that `inode` was found, and tells whether it was before.
    pub(super) fn meet(&mut self, inode: &ImageInode<'_>) -> Result<bool, ImageError> {
        let start = u64::from(inode.image().superblock.meta_blkaddr).saturating_mul(BLOCK_BYTES);
        let slot = inode.nid().saturating_add(start / SLOT_BYTES);
        let bit = 1_u64.rotate_left(u32::try_from(slot % WORD_BITS).unwrap_or_default());
        let word =
            self.found.get_mut(to_usize(slot / WORD_BITS)).ok_or_else(|| inode.damaged(Damage::Place))?;
        let again = *word & bit != 0;
        *word |= bit;
        if !again {
            self.budget.take(inode.own_bytes()).map_err(|damage| inode.damaged(damage))?;
        } else if inode.file_type() == FileType::Directory {
            return Err(inode.damaged(Damage::DirectoryTwice));
        }
        Ok(again)
    }
}

/// The inode that `entry` of `directory` leads to; none if it is `.` or `..`, which are checked.
pub(super) fn child<'a>(
    image: &Image<'a>,
    directory: u64,
    parent: u64,
    entry: &Entry<'a>,
) -> Result<Option<ImageInode<'a>>, ImageError> {
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
        return Ok(None);
    }
    let inode = image.inode(entry.nid)?;
    if inode.file_type().entry_number() != entry.type_number {
        return Err(damaged(Damage::EntryType(shown(entry.name))));
    }
    Ok(Some(inode))
}

impl<'a> Walk<'a> {
    pub(super) fn new(image: Image<'a>) -> Self {
        Self { image, state: State::Start, ahead: VecDeque::new() }
    }

    /// Starts with the root.
    fn start(&mut self) -> Result<(), ImageError> {
        let root = self.image.root()?;
        let mut visited = Visited::none(&self.image);
        visited.meet(&root)?;
        let entries = root.entries()?;
        self.state = State::In { directory: root.nid(), parent: root.nid(), entries, visited };
        Ok(())
    }

    fn step(&mut self) -> Result<Option<NamedInode<'a>>, ImageError> {
        if matches!(self.state, State::Start) {
            self.start()?;
        }
        loop {
            let State::In { directory, parent, entries, visited } = &mut self.state else { return Ok(None) };
            let Some(entry) = entries.next().transpose()? else {
                let Some(next) = self.ahead.pop_front() else {
                    self.state = State::Ended;
                    return Ok(None);
                };
                (*directory, *parent) = next;
                *entries = self.image.inode(*directory)?.entries()?;
                continue;
            };
            let Some(inode) = child(&self.image, *directory, *parent, &entry)? else { continue };
            let again = visited.meet(&inode)?;
            if inode.file_type() == FileType::Directory {
                self.ahead.push_back((inode.nid(), *directory));
            }
            return Ok(Some(NamedInode { directory: *directory, name: entry.name, inode, again }));
        }
    }
}

impl<'a> Iterator for Walk<'a> {
    type Item = Result<NamedInode<'a>, ImageError>;

    fn next(&mut self) -> Option<Self::Item> {
        let step = self.step();
        if step.is_err() {
            self.state = State::Ended;
        }
        step.transpose()
    }
}
