//! fs-verity digests (Documentation/filesystems/fsverity.rst, "File digest computation").

use std::borrow::Borrow;

use sha2::{Digest, Sha256, Sha512};
use zerocopy::byteorder::little_endian::{U32, U64};
use zerocopy::{Immutable, IntoBytes};

use super::merkle::{LeafHash, Leaves, MerkleRoot, hash_blocks_portably};
use crate::digest::{Algorithm, ObjectId, RootHash};

/// `struct fsverity_descriptor` (fs/verity/fsverity_private.h), without a signature.
#[derive(IntoBytes, Immutable)]
#[repr(C)]
struct Descriptor {
    version: u8,
    hash_algorithm: u8,
    log_blocksize: u8,
    salt_size: u8,
    sig_size: U32,
    data_size: U64,
    root_hash: [u8; 64],
    salt: [u8; 32],
    reserved: [u8; 144],
}

/// Computes the fs-verity digest of a stream: 4 KiB blocks, no salt.
///
/// Memory does not depend on the length of the stream, but for one block a level.
#[derive(Clone)]
pub struct FsVerityHasher {
    leaves: Leaves,
    root: MerkleRoot,
    algorithm: Algorithm,
}

impl FsVerityHasher {
    /// A hasher for an empty stream, without processor-specific code.
    #[must_use]
    pub fn new(algorithm: Algorithm) -> Self {
        Self::with_leaf_hash(algorithm, hash_blocks_portably)
    }

    /// As [`new`](Self::new), the SHA-256 of blocks computed by `hash`.
    #[must_use]
    pub fn with_leaf_hash(algorithm: Algorithm, hash: LeafHash) -> Self {
        Self { leaves: Leaves::new(algorithm, hash), root: MerkleRoot::new(algorithm, hash), algorithm }
    }

    /// The number of bytes taken so far.
    #[must_use]
    pub const fn size_bytes(&self) -> u64 {
        self.leaves.size_bytes()
    }

    /// Takes the next bytes. Slices of 64 KiB and more are hashed fastest.
    pub fn update(&mut self, data: &[u8]) {
        self.update_with(data, &mut |_, _| {});
    }

    /// As [`update`](Self::update); `leaf` is called with each block and its hash, in order, so
    /// that whoever stores the blocks on dm-verity need not hash them again.
    pub fn update_with(&mut self, data: &[u8], leaf: &mut impl FnMut(&[u8], &[u8])) {
        let root = &mut self.root;
        self.leaves.update(data, &mut |block, digest| {
            root.push(digest);
            leaf(block, digest);
        });
    }

    /// The digest of all that was taken.
    #[must_use]
    pub fn finish(self) -> ObjectId {
        self.finish_with(&mut |_, _| {})
    }

    /// As [`finish`](Self::finish); a last incomplete block, filled up with zeros, is given to `leaf`.
    #[must_use]
    pub fn finish_with(self, leaf: &mut impl FnMut(&[u8], &[u8])) -> ObjectId {
        let (algorithm, size_bytes) = (self.algorithm, self.size_bytes());
        digest_of_root(algorithm, size_bytes, self.root(leaf))
    }

    /// The digest of all that was taken, and the root hash that it has as a dm-verity device: where the digest is SHA-256 and
    /// there are whole blocks, the one contains the other.
    #[must_use]
    pub fn finish_as_device(self) -> (ObjectId, Option<RootHash>) {
        let (algorithm, size_bytes) = (self.algorithm, self.size_bytes());
        let root = self.root(&mut |_, _| {});
        let id = digest_of_root(algorithm, size_bytes, &root);
        let is_device = size_bytes > 0 && size_bytes.is_multiple_of(u64::from(DEVICE_BLOCK_BYTES));
        (id, root.try_into().ok().filter(|_| is_device).map(RootHash::new))
    }

    /// The root of the tree over all that was taken.
    fn root(self, leaf: &mut impl FnMut(&[u8], &[u8])) -> Vec<u8> {
        let Self { leaves, mut root, .. } = self;
        leaves.finish(&mut |block, digest| {
            root.push(digest);
            leaf(block, digest);
        });
        root.finish()
    }
}

/// Bytes of a block of a dm-verity device: as many as of one here.
const DEVICE_BLOCK_BYTES: u16 = 4096;

/// The fs-verity digest of `size_bytes` of data whose Merkle tree has that root.
fn digest_of_root(
    algorithm: Algorithm,
    size_bytes: u64,
    root: impl IntoIterator<Item = impl Borrow<u8>>,
) -> ObjectId {
    let mut root_hash = [0; 64];
    for (place, byte) in root_hash.iter_mut().zip(root) {
        *place = *byte.borrow();
    }
    let descriptor = Descriptor {
        version: 1,
        hash_algorithm: algorithm.fsverity_number(),
        log_blocksize: 12,
        salt_size: 0,
        sig_size: U32::ZERO,
        data_size: U64::new(size_bytes),
        root_hash,
        salt: [0; 32],
        reserved: [0; 144],
    };
    match algorithm {
        Algorithm::Sha256 => ObjectId::sha256(Sha256::digest(descriptor.as_bytes()).into()),
        Algorithm::Sha512 => ObjectId::sha512(Sha512::digest(descriptor.as_bytes()).into()),
    }
}

/// The SHA-256 fs-verity digest of `size_bytes` of data, whole blocks, that have that root hash as a dm-verity device.
///
/// Without salt both trees are the same over whole blocks, and so is the root: the digest is a hash of it and of the size. So
/// a root hash that somebody claims for a digest is proved, or not, without looking at the data.
#[must_use]
pub fn fsverity_digest_of_device(size_bytes: u64, root: &RootHash) -> ObjectId {
    digest_of_root(Algorithm::Sha256, size_bytes, root.as_bytes())
}

/// The fs-verity digest of `data`.
#[must_use]
pub fn fsverity_digest(algorithm: Algorithm, data: &[u8]) -> ObjectId {
    let mut hasher = FsVerityHasher::new(algorithm);
    hasher.update(data);
    hasher.finish()
}

/// What a signature of a file that has the fs-verity digest `id` is over: `struct fsverity_formatted_digest`
/// (include/uapi/linux/fsverity.h).
#[must_use]
pub fn signed_bytes(id: &ObjectId) -> Vec<u8> {
    let number = u16::from(id.algorithm().fsverity_number()).to_le_bytes();
    let size: [u8; 2] = match id.algorithm() {
        Algorithm::Sha256 => [32, 0],
        Algorithm::Sha512 => [64, 0],
    };
    [&b"FSVerity"[..], &number, &size, id.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verity::dmverity::HashAreaWriter;

    #[test]
    fn signatures_are_over_the_digest_with_its_algorithm_and_size_in_front() {
        let bytes = signed_bytes(&fsverity_digest(Algorithm::Sha256, b""));
        assert_eq!(bytes[..12], *b"FSVerity\x01\0\x20\0");
        assert_eq!(bytes[12..16], [0x3d, 0x24, 0x8c, 0xa5]);
        let bytes = signed_bytes(&fsverity_digest(Algorithm::Sha512, b""));
        assert_eq!((&bytes[..12], bytes.len()), (&b"FSVerity\x02\0\x40\0"[..], 76));
    }

    /// A pattern without equal neighbouring blocks beyond 2 KiB.
    fn pattern(length: usize) -> Vec<u8> {
        (0..2048u32).map(|i| u8::try_from(((i * i) >> 3) & 255).unwrap()).cycle().take(length).collect()
    }

    /// Digests computed by an independent implementation (Python's hashlib) at every change of
    /// the tree's shape: no block, one, a full lowest block, one leaf more, two full levels.
    #[test]
    fn digests_equal_those_of_an_independent_implementation() {
        let golden = [
            (0, "3d248ca542a24fc62d1c43b916eae5016878e2533c88238480b26128a1f1af95", "ccf9e5aea1c2a64e"),
            (1, "b803429503d95915829b29fdbc8bbad142f3abfd11b1cadf5526582e685c0551", "9fcf5172b085b1c8"),
            (4096, "e2e85c16691ecb9706e845f0fd010fff298359c4a3d3c95fb00b8cb04624f420", "050cbce5a46e8311"),
            (4097, "1893eb3baa0bb6a96f5382cb22bf14398d2d37a8c4f8c50ff0047233422b9944", "ba19667a88e6f8d9"),
            (524_288, "505cf1fbfa126f07dbe4828e8a9c9f2120deca3b371cfbe8bd4e66ddaf9fd9f3", "361511681d5a09ee"),
            (524_289, "8fe2aa33bb8ca8f49fce982bb95b099c448b281d6e1f536da9b0fb6de3705e35", "db7ddaafc4c93dd8"),
            (
                33_816_576,
                "0cb24c81940419f4d635a37abe39247355649dc94333c3a07fb6da61dcf3a264",
                "3b68b96270e60112",
            ),
            (
                67_108_864,
                "a45c3daec3fb91092be3b0d5ec7f57878a591b94b97eee0d0369fa0341550517",
                "426e578bc94bdf0b",
            ),
            (
                67_108_869,
                "f80b47f45f8bbedb04db30a6a4a33ebfbade91766ee70d57acdd7ab31eca9e28",
                "7cd44637cfd2822c",
            ),
        ];
        for (length, sha256, sha512) in golden {
            let data = pattern(length);
            assert_eq!(fsverity_digest(Algorithm::Sha256, &data).to_string(), sha256, "{length} bytes");
            let long = fsverity_digest(Algorithm::Sha512, &data).to_string();
            assert_eq!(&long[..16], sha512, "{length} bytes");
        }
    }

    #[test]
    fn the_digest_of_whole_blocks_follows_from_their_root_hash_as_a_device() {
        for blocks in [1, 2, 128, 129, 16_385] {
            let data = pattern(blocks * 4096);
            let size_bytes = u64::try_from(data.len()).unwrap();
            let out = std::io::Cursor::new(Vec::new());
            let mut writer = HashAreaWriter::new(out, size_bytes, hash_blocks_portably).unwrap();
            writer.update(&data).unwrap();
            let (root, _) = writer.finish().unwrap();
            let digest = fsverity_digest(Algorithm::Sha256, &data);
            assert_eq!(fsverity_digest_of_device(size_bytes, &root), digest, "{blocks} blocks");
            assert_ne!(fsverity_digest_of_device(size_bytes + 4096, &root), digest);
            let mut hasher = FsVerityHasher::new(Algorithm::Sha256);
            hasher.update(&data);
            assert_eq!(hasher.clone().finish_as_device(), (digest, Some(root)));
            // What is no device has a digest all the same, and so has what has another algorithm.
            hasher.update(b"x");
            let more = fsverity_digest(Algorithm::Sha256, &[&data[..], b"x"].concat());
            assert_eq!(hasher.finish_as_device(), (more, None));
            let mut hasher = FsVerityHasher::new(Algorithm::Sha512);
            hasher.update(&data);
            assert_eq!(hasher.finish_as_device(), (fsverity_digest(Algorithm::Sha512, &data), None));
        }
        let empty = FsVerityHasher::new(Algorithm::Sha256).finish_as_device();
        assert_eq!(empty, (fsverity_digest(Algorithm::Sha256, b""), None));
    }

    #[test]
    fn the_way_a_stream_is_cut_does_not_matter() {
        let data = pattern(700_001);
        let whole = fsverity_digest(Algorithm::Sha256, &data);
        for step in [1, 7, 4095, 4096, 4097, 65_536, 300_000] {
            let mut hasher = FsVerityHasher::new(Algorithm::Sha256);
            data.chunks(step).for_each(|chunk| hasher.update(chunk));
            assert_eq!(hasher.size_bytes(), 700_001);
            assert_eq!(hasher.finish(), whole, "in steps of {step}");
        }
    }
}
