//! The contents of directories.

use zerocopy::{FromBytes, IntoBytes};

use super::BLOCK_BYTES;
use crate::erofs::dirent::Dirent;
use crate::erofs::inode::FileType;

/// Bytes of an entry without its name.
const ENTRY_BYTES: usize = 12;

/// An entry of a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) name: Vec<u8>,
    pub(super) nid: u64,
    pub(super) file_type: FileType,
}

/// The data of a directory with `entries`, which are sorted by name: in each block as many as
/// fit, all blocks but the last filled up with zeros.
pub(super) fn encode(entries: &[Entry]) -> Vec<u8> {
    let (mut data, mut rest) = (Vec::new(), entries);
    while !rest.is_empty() {
        data.resize(data.len().next_multiple_of(BLOCK_BYTES), 0);
        let (block, behind) = rest.split_at(fitting(rest));
        encode_block(block, &mut data);
        rest = behind;
    }
    data
}

/// The bytes of the [data](encode) of a directory whose names have those lengths, in their order.
pub(super) fn size_bytes(lengths: impl Iterator<Item = usize>) -> usize {
    let (mut full, mut last) = (0_usize, 0_usize);
    for length in lengths {
        let entry = ENTRY_BYTES.saturating_add(length);
        if last.saturating_add(entry) > BLOCK_BYTES {
            full = full.saturating_add(BLOCK_BYTES);
            last = 0;
        }
        last = last.saturating_add(entry);
    }
    full.saturating_add(last)
}

/// How many of the entries fit into a block; at least one, as no name is longer than 255 bytes.
fn fitting(entries: &[Entry]) -> usize {
    let mut bytes = 0_usize;
    let fits = |entry: &&Entry| {
        bytes = bytes.saturating_add(ENTRY_BYTES).saturating_add(entry.name.len());
        bytes <= BLOCK_BYTES
    };
    entries.iter().take_while(fits).count().max(1)
}

fn encode_block(entries: &[Entry], data: &mut Vec<u8>) {
    let mut name_offset = entries.len().saturating_mul(ENTRY_BYTES);
    for entry in entries {
        let dirent = Dirent {
            nid: entry.nid.into(),
            nameoff: u16::try_from(name_offset).unwrap_or(u16::MAX).into(),
            file_type: entry.file_type.entry_number(),
            reserved: 0,
        };
        data.extend_from_slice(dirent.as_bytes());
        name_offset = name_offset.saturating_add(entry.name.len());
    }
    entries.iter().for_each(|entry| data.extend_from_slice(&entry.name));
}

/// Reads a block of a directory, or the part of one at its end, files and directories only;
/// `None` if it is not what [`encode`] makes of the same entries, zeros behind it, or if they are
/// not sorted.
pub(super) fn decode(block: &[u8]) -> Option<Vec<Entry>> {
    let mut entries = Vec::new();
    decode_block(block, &mut entries)?;
    let sorted = entries.is_sorted_by(|one, next| one.name < next.name);
    let rest = block.strip_prefix(encode(&entries).as_slice())?;
    (sorted && rest.iter().all(|byte| *byte == 0)).then_some(entries)
}

fn decode_block(block: &[u8], entries: &mut Vec<Entry>) -> Option<()> {
    let (first, _) = Dirent::ref_from_prefix(block).ok()?;
    let head = usize::from(first.nameoff.get());
    let dirents = <[Dirent]>::ref_from_bytes(block.get(..head)?).ok()?;
    for (dirent, next) in dirents.iter().zip(dirents.iter().skip(1).map(Some).chain([None])) {
        let names = block.get(usize::from(dirent.nameoff.get())..)?;
        let name = match next {
            Some(next) => {
                names.get(..usize::from(next.nameoff.get()).checked_sub(dirent.nameoff.get().into())?)?
            }
            None => names.split(|byte| *byte == 0).next()?,
        };
        let file_type = match dirent.file_type {
            1 => FileType::Regular,
            2 => FileType::Directory,
            _ => return None,
        };
        entries.push(Entry { name: name.to_vec(), nid: dirent.nid.get(), file_type });
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(count: u64) -> Vec<Entry> {
        let dots = ["."; 2].into_iter().zip(1..).map(|(dot, times)| Entry {
            name: dot.repeat(times).into_bytes(),
            nid: 128,
            file_type: FileType::Directory,
        });
        dots.chain((0..count).map(|number| Entry {
            name: format!("{number:062x}").into_bytes(),
            nid: 1000 + number,
            file_type: FileType::Regular,
        }))
        .collect()
    }

    fn decode_all(data: &[u8]) -> Option<Vec<Entry>> {
        data.chunks(BLOCK_BYTES).map(decode).collect::<Option<Vec<_>>>().map(|blocks| blocks.concat())
    }

    #[test]
    fn directories_survive_their_bytes() {
        for count in [0, 1, 54, 55, 56, 109, 110, 111, 300] {
            let entries = entries(count);
            let data = encode(&entries);
            assert_eq!(size_bytes(entries.iter().map(|entry| entry.name.len())), data.len());
            assert_eq!(decode_all(&data), Some(entries), "{count} entries");
        }
        assert_eq!(encode(&entries(54)).len(), 27 + 54 * 74);
        assert_eq!(encode(&entries(55)).len(), 4096 + 74);
    }

    #[test]
    fn malformed_and_unusual_directories_are_refused() {
        let good = encode(&entries(100));
        assert_eq!(decode(&[]), None);
        for offset in 0..good.len() {
            for change in [1, 0x80] {
                let mut data = good.clone();
                data[offset] ^= change;
                assert_ne!(decode_all(&data), Some(entries(100)), "byte {offset}");
            }
            assert_ne!(decode_all(&good[..offset]), Some(entries(100)), "{offset} bytes");
        }
        let mut unsorted = entries(2);
        unsorted.swap(2, 3);
        assert_eq!(decode(&encode(&unsorted)), None);
        let mut twice = entries(1);
        twice.extend(entries(1).split_off(2));
        assert_eq!(decode(&encode(&twice)), None);
    }
}
