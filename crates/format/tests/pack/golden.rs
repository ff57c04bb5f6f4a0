//! The bytes of packs, frozen: a change here is a new version of the format.

use sealpack_format::pack::{OPEN_BLOCKS, PackOptions};
use sha2::{Digest, Sha256};

use crate::samples::{Content, Written, corner_cases, noise, open, pack, scratch};

fn fingerprint(written: &Written) -> (usize, String, String) {
    let sha256: [u8; 32] = Sha256::digest(&written.bytes).into();
    let sha256 = sha256.iter().map(|byte| format!("{byte:02x}")).collect();
    (written.bytes.len(), written.pack.root_hash.to_string(), sha256)
}

fn assert_frozen(contents: &[Content], size: usize, root_hash: &str, sha256: &str) {
    let written = pack(contents);
    assert_eq!(fingerprint(&written), (size, root_hash.into(), sha256.into()));
    let reader = open(&written.bytes);
    reader.verify(&written.pack.root_hash, scratch, PackOptions::default()).unwrap();
}

#[test]
fn a_pack_without_objects_keeps_its_bytes() {
    assert_frozen(
        &[],
        16_384,
        "cf8d49fc650fb4c6386a5815ea96a8e3d4611874a1a22e470ea85c35cc99971f",
        "a61e787b655fbaadaad8f785c321e93c604e37ab2d7abe557aad9bcb32a7c189",
    );
}

#[test]
fn a_pack_of_one_object_keeps_its_bytes() {
    assert_frozen(
        &[Content::new(noise(1, 5000))],
        24_576,
        "58158cc0f3dc32b000cb0bc0cc9f679d52555f51041543189116360d7aef5ccd",
        "09b5ba6e0bb38dd37a1dd8612e0ad973dc899dc4d75c7d8ae1838316011fb556",
    );
}

#[test]
fn a_pack_with_every_kind_of_content_keeps_its_bytes() {
    assert_frozen(
        &corner_cases(),
        2_490_368,
        "ec54b8902c7c0cb3a12cb9631f323fa914e94063423c825b682400f9a576391e",
        "225c5eb118f3dc481381ecc27ad4e5b77654a8617abb97063fd24ebb967100ae",
    );
}

/// The fields of docs/formats/pack.md, byte by byte, in the pack of one object.
#[test]
fn the_byte_table_holds() {
    let written = pack(&[Content::new(noise(1, 5000))]);
    let (bytes, id) = (&written.bytes, written.added[0].id.to_string());
    let u16_at = |offset: usize| u16::from_le_bytes(bytes[offset..offset + 2].try_into().unwrap());
    let u32_at = |offset: usize| u32::from_le_bytes(bytes[offset..offset + 4].try_into().unwrap());
    let is_zero = |range: std::ops::Range<usize>| bytes[range].iter().all(|byte| *byte == 0);

    assert_eq!(&bytes[..24], b"sealpack-pack-v1-sha256\0");
    assert!(is_zero(24..1024));
    assert_eq!(u32_at(1024), 0xe0f5_e1e2, "magic");
    assert_eq!(u32_at(1024 + 8), 2, "feature_compat");
    assert_eq!((bytes[1024 + 12], bytes[1024 + 13]), (12, 0), "blkszbits, sb_extslots");
    assert_eq!(u16_at(1024 + 14), 128, "root_nid");
    assert_eq!((u32_at(1024 + 16), u32_at(1024 + 20)), (3, 0), "inos");
    assert!(is_zero(1024 + 24..1024 + 36), "build_time");
    // The first block, one of data, one of directories' inodes, one of the file's.
    assert_eq!((u32_at(1024 + 36), u32_at(1024 + 40)), (4, 1), "blocks, meta_blkaddr");
    assert!(is_zero(1024 + 44..1024 + 80), "xattr_blkaddr, uuid, volume_name");
    assert_eq!(u32_at(1024 + 80), 4, "feature_incompat");
    assert!(is_zero(1024 + 84..4096));

    assert_eq!(bytes[4096..8192], noise(1, 5000)[..4096]);

    let inode = |offset: usize| {
        let (format, mode, links) = (u16_at(offset), u16_at(offset + 4), u16_at(offset + 6));
        assert!(
            is_zero(offset + 2..offset + 4)
                && is_zero(offset + 12..offset + 16)
                && is_zero(offset + 24..offset + 32)
        );
        (format, mode, links, u32_at(offset + 8), u32_at(offset + 16), u32_at(offset + 20))
    };
    let root = 2 * 4096;
    assert_eq!(inode(root), (4, 0o040_555, 3, 3 * 12 + 5, 0, 2), "root");
    assert_eq!(bytes[root + 32 + 36..root + 32 + 41], *format!("...{}", &id[..2]).as_bytes());
    let directory = root + 32 + 64;
    assert_eq!(inode(directory), (4, 0o040_555, 2, 3 * 12 + 3 + 62, 0, 3), "directory");
    let entry = directory + 32 + 24;
    assert_eq!((u32_at(entry), u32_at(entry + 4), u16_at(entry + 8), bytes[entry + 10]), (256, 0, 39, 1));
    assert_eq!(bytes[directory + 32 + 39..directory + 32 + 101], *id.as_bytes()[2..].to_vec());
    let file = 3 * 4096;
    assert_eq!(inode(file), (4, 0o100_444, 1, 5000, 1, 1), "file");
    assert_eq!(bytes[file + 32..file + 32 + 904], noise(1, 5000)[4096..]);
    assert!(is_zero(file + 32 + 904..4 * 4096));

    assert_eq!(bytes[4 * 4096..4 * 4096 + 8], *b"verity\0\0");
    assert_eq!(bytes.len(), 6 * 4096);
}

/// More tails than there can be open blocks, and directories of several blocks.
#[test]
fn a_pack_that_closes_blocks_while_it_is_written_keeps_its_bytes() {
    let sizes = (0..).map(|number: usize| 65 + number * 2_654_435_761 % 7001);
    let contents: Vec<Content> = sizes
        .zip(1..)
        .take(4 * OPEN_BLOCKS)
        .map(|(length, seed)| Content::new(noise(seed, length)))
        .collect();
    assert_frozen(
        &contents,
        15_544_320,
        "e2c7c43110db9918593fd2224f8e83bbde37ffae930f0d29462899740056990b",
        "ebe69ee2e02aaaf95cd247f5eeb5c820548cf2ef77772a4bb3204d1281f6ec01",
    );
}
