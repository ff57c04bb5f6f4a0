//! What is not a pack, or is a damaged one.

use std::io::{self, Cursor, Read, Seek, SeekFrom, Write};

use proptest::prelude::*;
use sealpack_format::pack::{PackError, PackOptions, PackReader};
use sealpack_format::verity::dmverity::TreeWriter;
use sealpack_format::verity::{fsverity_digest, hash_blocks_portably};
use sealpack_format::{Algorithm, RootHash, erofs};

use crate::samples::{Content, Written, noise, open, pack, scratch};

/// Where the EROFS superblock is.
const SUPERBLOCK: usize = 1024;

fn sample() -> Written {
    let sparse = Content::sparse(200_000, &[(70_000, b"x")]);
    pack(&[Content::new(noise(1, 10_000)), Content::new(noise(2, 100)), sparse])
}

/// The error about `bytes`, opened and verified.
fn refusal(bytes: &[u8], root: &RootHash) -> String {
    let result = PackReader::open(Cursor::new(bytes))
        .and_then(|reader| reader.verify(root, scratch, PackOptions::default()));
    result.unwrap_err().to_string()
}

/// A changed pack with a hash tree that fits, and its root hash.
fn sealed_again(written: &Written, change: impl FnOnce(&mut Vec<u8>)) -> (Vec<u8>, RootHash) {
    let mut bytes = written.bytes.clone();
    let blocks = written.pack.filesystem_blocks;
    bytes.truncate(usize::try_from(blocks).unwrap() * 4096);
    change(&mut bytes);
    let mut leaves = vec![[0; 32]; bytes.len() / 4096];
    hash_blocks_portably(&bytes, &mut leaves);
    let mut out = Cursor::new(bytes);
    let mut tree = TreeWriter::new(&mut out, blocks * 4096, blocks, hash_blocks_portably).unwrap();
    leaves.iter().for_each(|leaf| tree.push(leaf).unwrap());
    let (root, _) = tree.finish().unwrap();
    (out.into_inner(), root)
}

/// Where in the pack the inode of the object with that number is.
fn inode_of(bytes: &[u8], number: u32) -> usize {
    let is_inode =
        |slot: &[u8]| slot[4..6] == 0o100_444_u16.to_le_bytes() && slot[20..24] == number.to_le_bytes();
    bytes.chunks(32).position(is_inode).unwrap() * 32
}

/// The first block, directories, inodes, dm-verity superblock and hash tree of a small pack.
fn metadata_blocks(written: &Written) -> [usize; 5] {
    let end = usize::try_from(written.pack.filesystem_blocks).unwrap();
    assert_eq!(written.bytes.len(), (end + 2) * 4096);
    [0, end - 2, end - 1, end, end + 1]
}

#[test]
fn a_change_of_any_byte_is_found() {
    let written = sample();
    let metadata = metadata_blocks(&written);
    for offset in 0..written.bytes.len() {
        let bytes_per_change = if metadata.contains(&(offset / 4096)) { 7 } else { 499 };
        if offset % bytes_per_change != 0 {
            continue;
        }
        let mut bytes = written.bytes.clone();
        bytes[offset] ^= 0x04;
        let result = PackReader::open(Cursor::new(&bytes))
            .and_then(|reader| reader.verify(&written.pack.root_hash, scratch, PackOptions::default()));
        assert!(result.is_err(), "byte {offset}");
    }
}

#[test]
fn bytes_that_are_missing_or_too_many_are_found() {
    let written = sample();
    let root = &written.pack.root_hash;
    for length in (0..written.bytes.len()).step_by(511) {
        assert!(PackReader::open(Cursor::new(&written.bytes[..length])).is_err(), "{length} bytes");
    }
    let longer = [&written.bytes[..], &[0; 4096]].concat();
    assert!(refusal(&longer, root).contains("should have"));
}

#[test]
fn another_root_hash_is_refused() {
    let other = RootHash::new([5; 32]);
    assert!(refusal(&sample().bytes, &other).contains(&format!("instead of {other}")));
}

#[test]
fn other_filesystems_are_refused_by_name() {
    let written = sample();
    let changed = |offset: usize, bytes: &[u8]| {
        let (pack, root) = sealed_again(&written, |pack| {
            pack[offset..offset + bytes.len()].copy_from_slice(bytes);
        });
        refusal(&pack, &root)
    };
    assert!(changed(0, b"S").contains("does not begin with \"sealpack-pack-v1-sha256\""));
    assert!(changed(23, b"x").contains("does not begin with"));
    assert!(changed(SUPERBLOCK, &[0]).contains("no EROFS superblock"));
    assert!(changed(SUPERBLOCK + 12, &[9]).contains("blocks of 2^9 bytes"));
    let devices = changed(SUPERBLOCK + 86, &[1]);
    assert!(devices.contains("1 extra device slots") && devices.contains("refused"), "{devices}");
    assert!(changed(SUPERBLOCK + 80, &[0x0c]).contains("a device table"));
    assert!(changed(SUPERBLOCK + 80, &[0x05]).contains("compression"));
    assert!(changed(SUPERBLOCK + 80, &[0]).contains("differs from that of a pack at offset 1104"));
    assert!(changed(SUPERBLOCK + 84, &[1]).contains("compression"));
    assert!(changed(SUPERBLOCK + 64, b"name").contains("differs from that of a pack at offset 1088"));
    assert!(changed(4095, &[1]).contains("differs from that of a pack at offset 4095"));
    // A metadata image is EROFS, but no pack.
    let mut image = Vec::new();
    let tree = sealpack_format::tree::Tree::new(sealpack_format::tree::Metadata::default());
    erofs::write_metadata_image(&tree, erofs::FormatVersion::V1, &mut image).unwrap();
    assert!(refusal(&image, &written.pack.root_hash).contains("does not begin with"));
}

#[test]
fn other_inodes_are_refused_by_name() {
    let written = sample();
    let at = |number| inode_of(&written.bytes, number);
    let changed = |offset: usize, byte: u8| {
        let (pack, root) = sealed_again(&written, |pack| pack[offset] = byte);
        refusal(&pack, &root)
    };
    assert!(changed(at(1), 1 << 1).contains("compressed"));
    assert!(changed(at(1), 3 << 1).contains("compressed"));
    assert!(changed(at(3) + 16, 0x24).contains("numbered devices"));
    assert!(changed(at(3) + 16, 3).contains("not as packs have it"), "other sizes of chunks");
    assert!(changed(at(1) + 4, 0o355).contains("not as packs have it"), "other permissions");
    assert!(changed(at(1) + 2, 1).contains("not as packs have it"), "attributes");
    assert!(changed(at(1) + 6, 2).contains("not as packs have it"), "two links");
    assert!(changed(at(1) + 24, 1).contains("not as packs have it"), "a user");
    assert!(changed(at(2) + 20, 1).contains("are not 1, 2, 3"), "the same number twice");
}

#[test]
fn contents_and_names_that_do_not_belong_together_are_refused() {
    let written = sample();
    let reader = open(&written.bytes);
    let id = reader.objects()[1].id.to_string();
    // The tail of the second object, behind its inode.
    let tail = inode_of(&written.bytes, 2) + 32;
    let (pack, root) = sealed_again(&written, |pack| pack[tail] ^= 1);
    let changed = open(&pack);
    let mut out = Vec::new();
    let error = changed.read(&changed.objects()[1], hash_blocks_portably, &mut out).unwrap_err();
    assert!(matches!(error, PackError::Content { .. }));
    assert!(refusal(&pack, &root).contains(&format!("the content of its object {id}")));
    // Its name.
    let name = id.as_bytes()[2..].to_vec();
    let place = written.bytes.windows(62).position(|window| window == name).unwrap();
    let changed = |bytes: &[u8]| {
        let (pack, root) =
            sealed_again(&written, |pack| pack[place..place + bytes.len()].copy_from_slice(bytes));
        refusal(&pack, &root)
    };
    let digit = if name[0] == b'0' { b"1" } else { b"0" };
    assert!(changed(digit).contains("has the fs-verity digest"));
    for name in [&b"g"[..], b"A", b"../../etc/passwd", b"\xff"] {
        assert!(changed(name).contains("which is not part of a digest"), "{name:?}");
    }
}

#[test]
fn addresses_outside_of_the_filesystem_are_refused() {
    let written = sample();
    for (number, behind) in [(1, 16), (3, 32 + 4)] {
        let at = inode_of(&written.bytes, number) + behind;
        let blocks = u32::try_from(written.pack.filesystem_blocks).unwrap();
        for address in [blocks, blocks - 1, 0x7fff_ffff] {
            let (pack, root) =
                sealed_again(&written, |pack| pack[at..at + 4].copy_from_slice(&address.to_le_bytes()));
            let error = refusal(&pack, &root);
            assert!(error.contains("its filesystem ends at") || error.contains("digest"), "{error}");
        }
    }
}

/// A temporary file that takes so many bytes.
struct Short(Cursor<Vec<u8>>, u64);

impl Write for Short {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let end = self.0.position() + u64::try_from(bytes.len()).unwrap();
        if end > self.1 { Err(io::ErrorKind::StorageFull.into()) } else { self.0.write(bytes) }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for Short {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Seek for Short {
    fn seek(&mut self, position: SeekFrom) -> io::Result<u64> {
        self.0.seek(position)
    }
}

/// A table of chunks of a few bytes can refer to the same blocks over and over: contents that hash
/// to their name, of up to 1 TiB, in a file of some MiB. What verifying costs must follow from the
/// file, not from what it says.
#[test]
fn blocks_that_a_content_refers_to_twice_are_refused_at_once() {
    let chunk = noise(1, 65_536);
    let told = Content::sparse(1000 * 65_536, &[(0, &chunk)]);
    let meant: Vec<(u64, &[u8])> = (0..999).map(|number| (number * 65_536, &chunk[..])).collect();
    let id = fsverity_digest(Algorithm::Sha256, &Content::sparse(1000 * 65_536, &meant).bytes());
    let written = pack(&[told]);
    let before = written.added[0].id.to_string();
    let table = inode_of(&written.bytes, 1) + 32;
    let (bytes, root) = sealed_again(&written, |bytes| {
        for entry in bytes[table..table + 999 * 4].chunks_mut(4) {
            entry.copy_from_slice(&1_u32.to_le_bytes());
        }
        for (before, now) in [(&before[2..], &id.to_string()[2..]), (&before[..2], &id.to_string()[..2])] {
            let names = &bytes[17 * 4096..18 * 4096];
            let place = names.windows(before.len()).position(|window| window == before.as_bytes());
            let place = 17 * 4096 + place.unwrap();
            bytes[place..place + now.len()].copy_from_slice(now.as_bytes());
        }
    });
    let reader = open(&bytes);
    assert_eq!(reader.objects()[0].id, id);
    reader.read(&reader.objects()[0], hash_blocks_portably, &mut io::sink()).unwrap();
    // The hashes of 64 blocks.
    let scratch = || Ok(Short(Cursor::default(), 64 * 32));
    let options = PackOptions { memory_bytes: 0, ..PackOptions::default() };
    let error = reader.verify(&root, scratch, options).unwrap_err();
    assert!(matches!(error, PackError::Differs { .. }), "{error}");
}

/// 256 directories of a hundred names each, all with the same contents, are no more than one in the file.
#[test]
fn directories_that_overlap_are_refused() {
    let contents: Vec<Content> = (1..16_000).map(|seed| Content::new(noise(seed, 65))).collect();
    let written = pack(&contents);
    let is_directory =
        |slot: &[u8]| slot[4..8] == [0x6d, 0x41, 2, 0] && slot[..4] == [4, 0, 0, 0] && slot[16..20] != [0; 4];
    let all = written.bytes.chunks(32).zip(0..).filter(|(slot, _)| is_directory(slot));
    let places: Vec<usize> = all.map(|(_, number)| number * 32).collect();
    assert!(places.len() > 100, "{}", places.len());
    let first_block = |at: usize| at + 16..at + 20;
    for (one, other) in [(places[0], places[1]), (places[places.len() - 1], places[0])] {
        let (bytes, _) = sealed_again(&written, |bytes| {
            bytes.copy_within(first_block(other), one + 16);
        });
        let Err(error) = PackReader::open(Cursor::new(&bytes)) else { panic!("it was opened") };
        assert!(error.to_string().contains("not where it belongs"), "{error}");
    }
}

#[test]
fn an_object_that_metadata_images_keep_is_refused() {
    let written = sample();
    let at = inode_of(&written.bytes, 2) + 8;
    let (bytes, root) = sealed_again(&written, |bytes| bytes[at] = 64);
    let error = refusal(&bytes, &root);
    assert!(error.contains("has 64 bytes; objects have 65 bytes"), "{error}");
}

#[test]
fn hidden_bytes_are_refused() {
    let written = sample();
    let blocks = usize::try_from(written.pack.filesystem_blocks).unwrap();
    // The last inode block is not full.
    let (pack, root) = sealed_again(&written, |pack| pack[blocks * 4096 - 1] = 1);
    let error = refusal(&pack, &root);
    assert!(error.contains("an inode or a tail"), "{error}");
    // Behind the end of a content that has blocks only.
    let padded = self::pack(&[Content::new(noise(1, 4090))]);
    let (pack, root) = sealed_again(&padded, |pack| pack[2 * 4096 - 1] = 1);
    let error = refusal(&pack, &root);
    assert!(error.contains("its data, at offset 8191"), "{error}");
}

#[test]
fn the_same_objects_in_another_layout_are_refused() {
    // Exchange two inodes of the same size, names and all: a filesystem as good, but not the one.
    let written = pack(&[Content::new(noise(1, 4096)), Content::new(noise(2, 4096))]);
    let (one, other) = (inode_of(&written.bytes, 1), inode_of(&written.bytes, 2));
    let (pack, root) = sealed_again(&written, |pack| {
        for (at, number) in [(one, 2_u32), (other, 1)] {
            pack[at + 20..at + 24].copy_from_slice(&number.to_le_bytes());
        }
    });
    let error = refusal(&pack, &root);
    assert!(error.contains("is not what its objects make"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn no_bytes_make_the_reader_panic(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        seal_again: bool,
    ) {
        let written = sample();
        let change = |bytes: &mut Vec<u8>| {
            // Metadata is where the reader decides something.
            for (index, byte) in &changes {
                let offset = index.index(5 * 4096);
                let offset = metadata_blocks(&written)[offset / 4096] * 4096 + offset % 4096;
                if let Some(place) = bytes.get_mut(offset) {
                    *place = *byte;
                }
            }
        };
        let (bytes, root) = if seal_again {
            sealed_again(&written, change)
        } else {
            let mut bytes = written.bytes.clone();
            change(&mut bytes);
            (bytes, written.pack.root_hash)
        };
        let unchanged = bytes == written.bytes;
        let result = PackReader::open(Cursor::new(&bytes))
            .and_then(|reader| reader.verify(&root, scratch, PackOptions::default()));
        prop_assert_eq!(result.is_ok(), unchanged);
    }

    #[test]
    fn noise_behind_a_first_block_is_refused(seed: u32, length in 0..200_000_usize) {
        let bytes = [&sample().bytes[..4096], &noise(seed, length)].concat();
        prop_assert!(PackReader::open(Cursor::new(&bytes)).is_err());
    }
}
