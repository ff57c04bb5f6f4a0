//! The directories of a pack, and where their inodes and those of the files lie.

use std::fmt::Write;

use super::directory::{self, Entry};
use super::inode::{FIRST_NID, Inode, InodeData, InodeKind};
use super::placement::{ClosedBlocks, Placement, SLOTS_PER_BLOCK};
use super::{BLOCK_BYTES, to_u64, to_usize};
use crate::erofs::inode::FileType;

/// The directories of a pack as they lie on disk.
pub(super) struct Directories {
    /// The blocks with their contents.
    pub(super) data: Vec<u8>,
    /// The blocks with their inodes and the tails of the contents.
    pub(super) inodes: Vec<u8>,
    /// How many there are, the root included.
    pub(super) count: u32,
}

impl Directories {
    /// Lays out the directories for `objects`, digests in ascending order, each with the slot of
    /// its inode, counted from the first block with inodes of files.
    ///
    /// `first_block` is where the contents of directories begin, `files` the number of files.
    pub(super) fn lay_out(
        objects: impl Iterator<Item = ([u8; 32], u64)>,
        first_block: u32,
        files: u32,
    ) -> Self {
        let mut directories = group(objects);
        // Sizes do not depend on where things are, so the inodes can be placed before that is known.
        let sizes: Vec<u64> =
            directories.iter().map(|entries| to_u64(directory::encode(entries).len())).collect();
        let mut inodes = InodeBlocks::default();
        for (size_bytes, number) in sizes.iter().zip(0..) {
            let (_, tail) = Inode::split(*size_bytes);
            inodes.add(number, &vec![0; Inode::bytes_of(*size_bytes)], &vec![0; tail]);
        }
        let (slots, inode_bytes) = inodes.finish(directories.len());
        let inode_blocks = to_u64(inode_bytes.len() / BLOCK_BYTES);
        let files_from = inode_blocks.saturating_mul(SLOTS_PER_BLOCK);
        directories.iter_mut().flatten().for_each(|entry| resolve(entry, &slots, files_from));

        let (mut data, mut inodes) = (Vec::new(), InodeBlocks::default());
        for ((entries, size_bytes), number) in directories.iter().zip(sizes).zip(0..) {
            let (blocks, tail_bytes) = Inode::split(size_bytes);
            let next_block = u32::try_from(data.len() / BLOCK_BYTES).unwrap_or(u32::MAX);
            let first_block = if blocks == 0 { 0 } else { first_block.saturating_add(next_block) };
            let links = entries.iter().filter(|entry| entry.file_type == FileType::Directory).count();
            let inode = Inode {
                number: files.saturating_add(1).saturating_add(number),
                size_bytes,
                kind: InodeKind::Directory { links: u16::try_from(links).unwrap_or(u16::MAX) },
                data: InodeData::Flat { first_block, has_tail: tail_bytes > 0 },
            };
            let mut content = directory::encode(entries);
            let tail = content.split_off(content.len().saturating_sub(tail_bytes));
            content.resize(content.len().next_multiple_of(BLOCK_BYTES), 0);
            data.append(&mut content);
            inodes.add(number, &inode.to_disk(), &tail);
        }
        let (_, inodes) = inodes.finish(directories.len());
        Self { data, inodes, count: u32::try_from(directories.len()).unwrap_or(u32::MAX) }
    }
}

/// The entries of the root directory and of the others. Not resolved yet: for a directory, `nid`
/// is its index in the result, and for a file its slot.
fn group(objects: impl Iterator<Item = ([u8; 32], u64)>) -> Vec<Vec<Entry>> {
    let directory = |name: &str, index: u64| Entry {
        name: name.as_bytes().to_vec(),
        nid: index,
        file_type: FileType::Directory,
    };
    let mut root = vec![directory(".", 0), directory("..", 0)];
    let mut directories: Vec<Vec<Entry>> = Vec::new();
    let mut last = None;
    for (digest, slot) in objects {
        let [first, rest @ ..] = &digest;
        if last.replace(*first) != Some(*first) {
            let index = to_u64(directories.len()).saturating_add(1);
            root.push(directory(&hex(&[*first]), index));
            directories.push(vec![directory(".", index), directory("..", 0)]);
        }
        if let Some(entries) = directories.last_mut() {
            let name = hex(rest).into_bytes();
            entries.push(Entry { name, nid: slot, file_type: FileType::Regular });
        }
    }
    directories.insert(0, root);
    directories
}

fn resolve(entry: &mut Entry, directory_slots: &[u64], files_from: u64) {
    let slot = match entry.file_type {
        FileType::Directory => directory_slots.get(to_usize(entry.nid)).copied().unwrap_or(0),
        _ => files_from.saturating_add(entry.nid),
    };
    entry.nid = slot.saturating_add(FIRST_NID.into());
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string takes all that is written to it");
        text
    })
}

/// Inodes being placed, the blocks kept in memory.
#[derive(Default)]
struct InodeBlocks {
    placement: Placement,
    closed: Vec<ClosedBlocks>,
}

impl InodeBlocks {
    fn add(&mut self, number: u32, inode: &[u8], rest: &[u8]) {
        self.closed.extend(self.placement.place(number, inode, rest));
    }

    /// The slots of the `count` inodes, and the blocks.
    fn finish(mut self, count: usize) -> (Vec<u64>, Vec<u8>) {
        while let Some(closed) = self.placement.close_next() {
            self.closed.push(closed);
        }
        let mut slots = vec![0; count];
        for (number, slot) in self.closed.iter().flat_map(|closed| &closed.items) {
            if let Some(place) = slots.get_mut(to_usize((*number).into())) {
                *place = *slot;
            }
        }
        (slots, self.closed.into_iter().flat_map(|closed| closed.bytes).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(first: u8, last: u8) -> [u8; 32] {
        let mut digest = [0xab; 32];
        digest[0] = first;
        digest[31] = last;
        digest
    }

    #[test]
    fn only_directories_with_objects_are_there_and_the_root_comes_first() {
        let objects = [(digest(3, 1), 5), (digest(3, 2), 0), (digest(0xff, 0), 7)];
        let laid_out = Directories::lay_out(objects.into_iter(), 100, 3);
        assert_eq!((laid_out.count, laid_out.data.len(), laid_out.inodes.len()), (3, 0, 4096));
        let root = Inode::parse(&laid_out.inodes).unwrap();
        assert_eq!(root.number, 4);
        assert_eq!(root.kind, InodeKind::Directory { links: 4 });
        let size = usize::try_from(root.size_bytes).unwrap();
        let entries = directory::decode(&laid_out.inodes[32..32 + size]).unwrap();
        let names: Vec<_> = entries.iter().map(|entry| str::from_utf8(&entry.name).unwrap()).collect();
        assert_eq!(names, [".", "..", "03", "ff"]);
        let at = usize::try_from(entries[2].nid - 128).unwrap() * 32;
        let directory = Inode::parse(&laid_out.inodes[at..]).unwrap();
        assert_eq!(directory.kind, InodeKind::Directory { links: 2 });
        let size = usize::try_from(directory.size_bytes).unwrap();
        let entries = directory::decode(&laid_out.inodes[at + 32..at + 32 + size]).unwrap();
        // Inodes of files begin one block behind those of directories.
        assert_eq!(
            entries.iter().map(|entry| entry.nid).collect::<Vec<_>>(),
            [entries[0].nid, 128, 261, 256]
        );
        assert_eq!(entries[3].name, format!("{}02", "ab".repeat(30)).into_bytes());
    }

    #[test]
    fn full_blocks_of_directories_are_data() {
        let objects = (0..200).map(|last| (digest(3, last), 0));
        let laid_out = Directories::lay_out(objects, 100, 200);
        assert_eq!(laid_out.data.len(), 3 * 4096);
        let directory = laid_out.inodes.chunks(32).filter_map(|slot| Inode::parse(slot).ok()).nth(1).unwrap();
        assert_eq!(directory.data, InodeData::Flat { first_block: 100, has_tail: true });
    }
}
