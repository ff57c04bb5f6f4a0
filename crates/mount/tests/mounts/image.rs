//! The smallest metadata image that has what matters for mounting, written byte by byte
//! (fs/erofs/erofs_fs.h), so that these tests depend on no other crate's idea of one.

use sealpack_format::digest::ObjectId;

const BLOCK_BYTES: usize = 4096;
const SLOT_BYTES: usize = 32;
/// Where inodes are: in the block behind the superblock's. The first slots stay empty.
const ROOT_NID: u16 = 2;
const BIG_NID: u16 = 10;
const SMALL_NID: u16 = 30;

const INLINE: u16 = 2;
const CHUNKS: u16 = 4;
const TRUSTED: u8 = 4;

/// An image with the file `big`, an object of `big_size` bytes, and the set-user-ID file `small`
/// with its content inside.
pub(crate) fn metadata_image(big: &ObjectId, big_size: usize, small: &[u8]) -> Vec<u8> {
    let mut image = vec![0; 2 * BLOCK_BYTES];
    // composefs' header: magic and version of it, flags, version of the image.
    let header: Vec<u8> = [0xD078_629A_u32, 1, 0, 1].iter().flat_map(|word| word.to_le_bytes()).collect();
    put(&mut image, 0, &header);
    put(&mut image, 1024, &superblock());

    let directory =
        dirents(&[(".", ROOT_NID, 2), ("..", ROOT_NID, 2), ("big", BIG_NID, 1), ("small", SMALL_NID, 1)]);
    let root = inode(INLINE, 0o040755, directory.len(), 0, &[], &directory);
    put(&mut image, at(ROOT_NID), &root);

    let redirect = format!("/{}", big.object_path());
    let mut metacopy = vec![0, 36, 0, big.algorithm().fsverity_number()];
    metacopy.extend(big.as_bytes());
    let xattrs = [("overlay.metacopy", metacopy.as_slice()), ("overlay.redirect", redirect.as_bytes())];
    // One chunk of 8 KiB, at no address.
    let file = inode(CHUNKS, 0o100644, big_size, 1, &xattrs, &u32::MAX.to_le_bytes());
    put(&mut image, at(BIG_NID), &file);

    put(&mut image, at(SMALL_NID), &inode(INLINE, 0o104755, small.len(), 0, &[], small));
    image
}

fn put(image: &mut [u8], offset: usize, bytes: &[u8]) {
    image[offset..offset + bytes.len()].copy_from_slice(bytes);
}

fn at(nid: u16) -> usize {
    BLOCK_BYTES + usize::from(nid) * SLOT_BYTES
}

fn superblock() -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend(0xE0F5_E1E2_u32.to_le_bytes());
    bytes.extend([0; 8]);
    bytes.extend([12, 0]);
    bytes.extend(ROOT_NID.to_le_bytes());
    bytes.extend(3_u64.to_le_bytes());
    bytes.extend([0; 12]);
    // blocks, meta_blkaddr, xattr_blkaddr
    for word in [2_u32, 1, 0] {
        bytes.extend(word.to_le_bytes());
    }
    bytes.resize(128, 0);
    bytes
}

/// An extended inode with its xattrs and what follows it.
fn inode(
    layout: u16,
    mode: u16,
    size: usize,
    chunk_bits: u32,
    xattrs: &[(&str, &[u8])],
    tail: &[u8],
) -> Vec<u8> {
    let mut entries = Vec::new();
    for (name, value) in xattrs {
        entries.extend([u8::try_from(name.len()).unwrap(), TRUSTED]);
        entries.extend(u16::try_from(value.len()).unwrap().to_le_bytes());
        entries.extend(name.bytes());
        entries.extend(*value);
        entries.resize(entries.len().next_multiple_of(4), 0);
    }
    let xattr_count = if entries.is_empty() { 0 } else { u16::try_from(entries.len() / 4 + 1).unwrap() };
    let mut bytes = Vec::new();
    for half in [1 | layout << 1, xattr_count, mode, 0] {
        bytes.extend(half.to_le_bytes());
    }
    bytes.extend(u64::try_from(size).unwrap().to_le_bytes());
    bytes.extend(chunk_bits.to_le_bytes());
    bytes.extend([0; 12]);
    bytes.extend([0; 12]);
    bytes.extend(1_u32.to_le_bytes());
    bytes.extend([0; 16]);
    if xattr_count != 0 {
        bytes.extend([0; 12]);
    }
    bytes.extend(entries);
    bytes.extend(tail);
    bytes
}

/// A directory's entries, which must be sorted: name, inode and type.
fn dirents(entries: &[(&str, u16, u8)]) -> Vec<u8> {
    let (mut heads, mut names) = (Vec::new(), Vec::new());
    for (name, nid, file_type) in entries {
        heads.extend(u64::from(*nid).to_le_bytes());
        heads.extend(u16::try_from(12 * entries.len() + names.len()).unwrap().to_le_bytes());
        heads.extend([*file_type, 0]);
        names.extend(name.bytes());
    }
    heads.extend(names);
    heads
}
