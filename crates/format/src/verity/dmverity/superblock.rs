//! The dm-verity superblock, version 1 (`struct verity_sb`, cryptsetup's lib/verity/verity.c).

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::digest::RootHash;
use crate::verity::BLOCK_BYTES;

/// Bytes of the superblock; the rest of its block is zero.
pub const SUPERBLOCK_BYTES: usize = 512;

const SIGNATURE: [u8; 8] = *b"verity\0\0";

/// `sha256`, padded with zeros.
const ALGORITHM: [u8; 32] = {
    let mut name = [0; 32];
    let (start, _) = name.split_at_mut(6);
    start.copy_from_slice(b"sha256");
    name
};

/// [`BLOCK_BYTES`] as it is written.
const BLOCK_SIZE: U32 = U32::new(4096);

/// `struct verity_sb`, 512 bytes.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct VeritySb {
    signature: [u8; 8],
    version: U32,
    hash_type: U32,
    uuid: [u8; 16],
    algorithm: [u8; 32],
    data_block_size: U32,
    hash_block_size: U32,
    data_blocks: U64,
    salt_size: U16,
    pad1: [u8; 6],
    salt: [u8; 256],
    pad2: [u8; 168],
}

/// What a superblock says, once it is known to be of the one kind that is supported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Superblock {
    /// The number of data blocks.
    pub data_blocks: u64,
    /// The UUID; in what Sealpack writes, [`uuid_of`] the root hash.
    pub uuid: [u8; 16],
}

/// Why a superblock is not one of the supported kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnsupportedSuperblock {
    /// Fewer than 4096 bytes, or others.
    #[error("there is no dm-verity superblock")]
    Signature,
    /// Another version or hash type.
    #[error("the dm-verity superblock has version {version} and hash type {hash_type}; both must be 1")]
    Version {
        /// The version.
        version: u32,
        /// The hash type.
        hash_type: u32,
    },
    /// Another hash function.
    #[error("the dm-verity hash tree is made with {0:?}; it must be sha256")]
    Algorithm(String),
    /// Other sizes of blocks.
    #[error("the dm-verity superblock has blocks of {data} and {hash} bytes; both must be 4096")]
    BlockSize {
        /// Bytes of a block of data.
        data: u32,
        /// Bytes of a block of hashes.
        hash: u32,
    },
    /// A salt.
    #[error("the dm-verity hash tree has a salt of {0} bytes; there must be none")]
    Salt(u16),
    /// Something that nothing reads.
    #[error("the dm-verity superblock's block has bytes that are not zero where nothing belongs")]
    Padding,
}

impl Superblock {
    /// Reads the block with the superblock.
    ///
    /// # Errors
    /// `block` is not a block, or its superblock is of another kind.
    pub fn parse(block: &[u8]) -> Result<Self, UnsupportedSuperblock> {
        use UnsupportedSuperblock as Unsupported;
        if block.len() != BLOCK_BYTES {
            return Err(Unsupported::Signature);
        }
        let (disk, rest) = VeritySb::ref_from_prefix(block).map_err(|_| Unsupported::Signature)?;
        if disk.signature != SIGNATURE {
            return Err(Unsupported::Signature);
        }
        let (version, hash_type) = (disk.version.get(), disk.hash_type.get());
        if (version, hash_type) != (1, 1) {
            return Err(Unsupported::Version { version, hash_type });
        }
        if disk.algorithm != ALGORITHM {
            let name = disk.algorithm.split(|byte| *byte == 0).next().unwrap_or_default();
            return Err(Unsupported::Algorithm(name.escape_ascii().to_string()));
        }
        let (data, hash) = (disk.data_block_size, disk.hash_block_size);
        if (data, hash) != (BLOCK_SIZE, BLOCK_SIZE) {
            return Err(Unsupported::BlockSize { data: data.get(), hash: hash.get() });
        }
        if disk.salt_size.get() != 0 {
            return Err(Unsupported::Salt(disk.salt_size.get()));
        }
        let mut unused = [&disk.pad1[..], &disk.salt, &disk.pad2, rest].into_iter().flatten();
        if unused.any(|byte| *byte != 0) {
            return Err(Unsupported::Padding);
        }
        Ok(Self { data_blocks: disk.data_blocks.get(), uuid: disk.uuid })
    }

    /// The block with the superblock.
    #[must_use]
    pub fn to_block(self) -> Vec<u8> {
        let disk = VeritySb {
            signature: SIGNATURE,
            version: U32::new(1),
            hash_type: U32::new(1),
            uuid: self.uuid,
            algorithm: ALGORITHM,
            data_block_size: BLOCK_SIZE,
            hash_block_size: BLOCK_SIZE,
            data_blocks: self.data_blocks.into(),
            salt_size: U16::ZERO,
            pad1: [0; 6],
            salt: [0; 256],
            pad2: [0; 168],
        };
        let mut block = disk.as_bytes().to_vec();
        block.resize(BLOCK_BYTES, 0);
        block
    }
}

/// The UUID of a hash area: the first 16 bytes of its root hash, with the bits that make them a
/// UUID of version 8 (RFC 9562, section 5.8).
#[must_use]
pub fn uuid_of(root: &RootHash) -> [u8; 16] {
    let mut uuid = [0; 16];
    uuid.iter_mut().zip(root.as_bytes()).for_each(|(place, byte)| *place = *byte);
    let [.., version, _, variant, _, _, _, _, _, _, _] = &mut uuid;
    *version = *version & 0x0f | 0x80;
    *variant = *variant & 0x3f | 0x80;
    uuid
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOT: RootHash = RootHash::new([0xff; 32]);

    #[test]
    fn uuids_follow_from_the_root_hash_and_have_version_8() {
        let uuid = uuid_of(&ROOT);
        assert_eq!(uuid[6], 0x8f);
        assert_eq!(uuid[8], 0xbf);
        assert_eq!(uuid.iter().filter(|byte| **byte == 0xff).count(), 14);
    }

    #[test]
    fn superblocks_survive_their_bytes() {
        let superblock = Superblock { data_blocks: 0x0123_4567_89ab, uuid: uuid_of(&ROOT) };
        assert_eq!(Superblock::parse(&superblock.to_block()), Ok(superblock));
    }

    #[test]
    fn every_other_kind_of_superblock_is_refused_by_name() {
        let good = Superblock { data_blocks: 7, uuid: [1; 16] }.to_block();
        let changed = |offset: usize, byte: u8| {
            let mut block = good.clone();
            block[offset] = byte;
            Superblock::parse(&block).unwrap_err().to_string()
        };
        assert!(changed(0, b'V').contains("no dm-verity superblock"));
        assert!(changed(8, 2).contains("version 2 and hash type 1"));
        assert!(changed(12, 0).contains("version 1 and hash type 0"));
        assert!(changed(35, b'5').contains("sha556"), "{}", changed(35, b'5'));
        assert!(changed(65, 0x02).contains("blocks of 512 and 4096 bytes"), "{}", changed(65, 2));
        assert!(changed(80, 32).contains("a salt of 32 bytes"));
        for offset in [82, 88, 343, 344, 511, 512, 4095] {
            assert!(changed(offset, 1).contains("not zero"), "{offset}");
        }
        assert!(Superblock::parse(&good[..4095]).is_err());
    }
}
