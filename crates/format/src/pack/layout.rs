//! The directories of a pack, and where their inodes and those of the files lie.

use super::directory::{self, Entry};
use super::inode::{FIRST_NID, Inode, InodeData, InodeKind};
use super::placement::{ClosedBlocks, Placement, SLOTS_PER_BLOCK};
use super::{BLOCK_BYTES, to_u64, to_usize};
use crate::erofs::inode::FileType;

/// The directories of a pack as they lie on disk, but for their contents.
pub(super) struct Directories {
    /// The blocks with their inodes and the tails of the contents.
    pub(super) inodes: Vec<u8>,
    /// How many there are, the root included.
    pub(super) count: u32,
}

impl Directories {
    /// Lays out the directories for `objects`, digests in ascending order, each with the slot of
    /// its inode, counted from the first block with inodes of files. One directory is in memory at a time.
    ///
    /// `first_block` is where the contents of directories begin, `files` the number of files. The blocks with the contents
    /// go to `write`, in their order.
    ///
    /// # Errors
    /// Those of `write`.
    pub(super) fn lay_out<E>(
        mut objects: impl Iterator<Item = ([u8; 32], u64)> + Clone,
        first_block: u32,
        files: u32,
        mut write: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<Self, E> {
        let groups = group(objects.clone());
        let places = Places::of(&groups);
        let (mut next_block, mut inodes) = (first_block, InodeBlocks::default());
        let counts = groups.iter().map(|group| Some(group.count));
        for (count, number) in std::iter::once(None).chain(counts).zip(0..) {
            let entries = match count {
                None => places.root(&groups),
                Some(count) => places.directory(number, objects.by_ref().take(count)),
            };
            let mut content = directory::encode(&entries);
            let size_bytes = to_u64(content.len());
            let (blocks, tail_bytes) = Inode::split(size_bytes);
            let first_block = if blocks == 0 { 0 } else { next_block };
            let links = entries.iter().filter(|entry| entry.file_type == FileType::Directory).count();
            let inode = Inode {
                number: files.saturating_add(1).saturating_add(number),
                size_bytes,
                kind: InodeKind::Directory { links: u16::try_from(links).unwrap_or(u16::MAX) },
                data: InodeData::Flat { first_block, has_tail: tail_bytes > 0 },
            };
            let tail = content.split_off(content.len().saturating_sub(tail_bytes));
            content.resize(content.len().next_multiple_of(BLOCK_BYTES), 0);
            write(&content)?;
            next_block = next_block.saturating_add(u32::try_from(blocks).unwrap_or(u32::MAX));
            inodes.add(number, &inode.to_disk(), &tail);
        }
        let count = groups.len().saturating_add(1);
        let (_, inodes) = inodes.finish(count);
        Ok(Self { inodes, count: u32::try_from(count).unwrap_or(u32::MAX) })
    }
}

/// The objects whose digests have the same first byte: those of a directory.
struct Group {
    first: u8,
    count: usize,
}

fn group(objects: impl Iterator<Item = ([u8; 32], u64)>) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for ([first, ..], _) in objects {
        match groups.last_mut().filter(|group| group.first == first) {
            Some(group) => group.count = group.count.saturating_add(1),
            None => groups.push(Group { first, count: 1 }),
        }
    }
    groups
}

/// Where inodes are.
struct Places {
    /// The slots of the directories' inodes, the root's first.
    directories: Vec<u64>,
    /// The slot that those of files are counted from.
    files_from: u64,
}

impl Places {
    /// Sizes do not depend on where things are, so the inodes can be placed before that is known.
    fn of(groups: &[Group]) -> Self {
        let root = directory::size_bytes([1, 2].into_iter().chain(groups.iter().map(|_| 2)));
        let size = |group: &Group| {
            directory::size_bytes([1, 2].into_iter().chain(std::iter::repeat_n(62, group.count)))
        };
        let sizes = std::iter::once(root).chain(groups.iter().map(size));
        let mut inodes = InodeBlocks::default();
        for (size_bytes, number) in sizes.map(to_u64).zip(0..) {
            let (_, tail) = Inode::split(size_bytes);
            inodes.add(number, &vec![0; Inode::bytes_of(size_bytes)], &vec![0; tail]);
        }
        let (directories, bytes) = inodes.finish(groups.len().saturating_add(1));
        let blocks = to_u64(bytes.len() / BLOCK_BYTES);
        Self { directories, files_from: blocks.saturating_mul(SLOTS_PER_BLOCK) }
    }

    fn root(&self, groups: &[Group]) -> Vec<Entry> {
        let directories =
            groups.iter().zip(1..).map(|(group, number)| self.entry(hex(&[group.first]), number));
        self.dots(0).into_iter().chain(directories).collect()
    }

    /// The entries of directory `number`, which has those objects.
    fn directory(&self, number: u32, objects: impl Iterator<Item = ([u8; 32], u64)>) -> Vec<Entry> {
        let files = objects.map(|([_, rest @ ..], slot)| Entry {
            name: hex(&rest),
            nid: nid(self.files_from.saturating_add(slot)),
            file_type: FileType::Regular,
        });
        self.dots(number).into_iter().chain(files).collect()
    }

    fn dots(&self, number: u32) -> [Entry; 2] {
        [self.entry(b".".to_vec(), number), self.entry(b"..".to_vec(), 0)]
    }

    /// An entry for directory `number`.
    fn entry(&self, name: Vec<u8>, number: u32) -> Entry {
        let slot = self.directories.get(to_usize(number.into())).copied().unwrap_or(0);
        Entry { name, nid: nid(slot), file_type: FileType::Directory }
    }
}

fn nid(slot: u64) -> u64 {
    slot.saturating_add(FIRST_NID.into())
}

fn hex(bytes: &[u8]) -> Vec<u8> {
    const DIGITS: [u8; 16] = *b"0123456789abcdef";
    let digit = |value: u8| DIGITS.get(usize::from(value)).copied().unwrap_or(b'0');
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
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

    fn lay_out(objects: impl Iterator<Item = ([u8; 32], u64)> + Clone, files: u32) -> (Directories, Vec<u8>) {
        let mut data = Vec::new();
        let write = |blocks: &[u8]| {
            data.extend_from_slice(blocks);
            Ok::<_, std::convert::Infallible>(())
        };
        (Directories::lay_out(objects, 100, files, write).unwrap(), data)
    }

    #[test]
    fn only_directories_with_objects_are_there_and_the_root_comes_first() {
        let objects = [(digest(3, 1), 5), (digest(3, 2), 0), (digest(0xff, 0), 7)];
        let (laid_out, data) = lay_out(objects.into_iter(), 3);
        assert_eq!((laid_out.count, data.len(), laid_out.inodes.len()), (3, 0, 4096));
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
        let (laid_out, data) = lay_out(objects, 200);
        assert_eq!(data.len(), 3 * 4096);
        let directory = laid_out.inodes.chunks(32).filter_map(|slot| Inode::parse(slot).ok()).nth(1).unwrap();
        assert_eq!(directory.data, InodeData::Flat { first_block: 100, has_tail: true });
    }
}
