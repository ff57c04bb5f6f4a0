//! Tables: which part of a device comes from which target.

use std::fmt;
use std::os::fd::AsFd;

use rustix::io::Errno;
use sealpack_format::digest::RootHash;

use super::SECTOR_BYTES;
use crate::{Call, Error};

/// The block size of data and of hashes, in bytes.
const BLOCK_BYTES: u64 = 4096;

/// `struct dm_target_spec` (include/uapi/linux/dm-ioctl.h) without what follows it: two 64-bit
/// numbers (first sector, sectors), two of 32 bits (status, next) and the target's name.
const SPEC_BYTES: usize = 40;

/// A block device's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceNumber {
    /// Which driver's it is.
    pub major: u32,
    /// Which of the driver's it is.
    pub minor: u32,
}

impl DeviceNumber {
    /// Of a number as `stat` and device-mapper have it.
    pub(crate) fn of(device: u64) -> Self {
        Self { major: rustix::fs::major(device), minor: rustix::fs::minor(device) }
    }

    /// Of the block device that `fd` has open.
    ///
    /// # Errors
    /// `ENOTBLK` when that is no block device.
    pub fn of_open(fd: impl AsFd) -> Result<Self, Error> {
        let call = || Call { name: "fstat", arguments: "a block device".into() };
        let stat = rustix::fs::fstat(fd).map_err(|errno| Error::new(call(), errno))?;
        if !rustix::fs::FileType::from_raw_mode(stat.st_mode).is_block_device() {
            return Err(Error::new(call(), Errno::NOTBLK));
        }
        Ok(Self::of(stat.st_rdev))
    }
}

/// As tables have it: `MAJOR:MINOR`.
impl fmt::Display for DeviceNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.major, self.minor)
    }
}

/// The one target of a table that checks a device against a root hash: version 1, SHA-256,
/// blocks of 4096 bytes, no salt, no option but the signature
/// (Documentation/admin-guide/device-mapper/verity.rst).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerityTable {
    /// What is checked.
    pub data: DeviceNumber,
    /// Where the hash tree is; may be the same device.
    pub hashes: DeviceNumber,
    /// How many blocks of 4096 bytes are checked, from the beginning of `data` on. The device
    /// that the table makes has as many.
    pub data_blocks: u64,
    /// The block of `hashes` where the tree begins, behind dm-verity's superblock.
    pub hash_start_block: u64,
    /// What the tree has to hash to.
    pub root_hash: RootHash,
    /// The description of the `user` key that holds the root hash's signature. The kernel looks
    /// for it when the table is loaded, among the keys of the thread that loads it.
    pub signature_key: Option<String>,
}

impl VerityTable {
    /// The target as the kernel shows it once it is loaded.
    #[must_use]
    pub fn target(&self) -> Target {
        Target {
            first_sector: 0,
            sectors: self.data_blocks.saturating_mul(BLOCK_BYTES / SECTOR_BYTES),
            name: "verity".into(),
            parameters: self.parameters(),
        }
    }

    fn parameters(&self) -> String {
        let Self { data, hashes, data_blocks, hash_start_block, root_hash, signature_key } = self;
        let mut parameters = format!(
            "1 {data} {hashes} {BLOCK_BYTES} {BLOCK_BYTES} {data_blocks} {hash_start_block} sha256 {root_hash} -"
        );
        if let Some(key) = signature_key {
            parameters.push_str(" 2 root_hash_sig_key_desc ");
            parameters.push_str(key);
        }
        parameters
    }
}

/// One line of a table or of a status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Where in the device it begins, in sectors of 512 bytes.
    pub first_sector: u64,
    /// How long it is, in sectors of 512 bytes.
    pub sectors: u64,
    /// The target's type, for example `verity`.
    pub name: String,
    /// Its parameters in a table; in a status, what it has to say: `V` or `C` of `verity`, which
    /// has seen only blocks that it found valid, or also corrupted ones.
    pub parameters: String,
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {} {}", self.first_sector, self.sectors, self.name, self.parameters)
    }
}

impl Target {
    /// The target as a table load wants it, at the beginning of `payload`.
    pub(super) fn write(&self, payload: &mut [u8]) -> Result<(), Errno> {
        let next = (SPEC_BYTES + self.parameters.len() + 1).next_multiple_of(8);
        let (name, parameters) = (self.name.as_bytes(), self.parameters.as_bytes());
        if next > payload.len() || name.len() > 15 || parameters.contains(&0) {
            return Err(Errno::INVAL);
        }
        payload[..8].copy_from_slice(&self.first_sector.to_ne_bytes());
        payload[8..16].copy_from_slice(&self.sectors.to_ne_bytes());
        let next = u32::try_from(next).map_err(|_| Errno::INVAL)?;
        payload[20..24].copy_from_slice(&next.to_ne_bytes());
        payload[24..24 + name.len()].copy_from_slice(name);
        payload[SPEC_BYTES..SPEC_BYTES + parameters.len()].copy_from_slice(parameters);
        Ok(())
    }

    /// The `count` targets of what a table status returned; `None` when that is cut off.
    pub(super) fn read_all(payload: &[u8], count: u32) -> Option<Vec<Self>> {
        let (mut targets, mut start) = (Vec::new(), 0);
        for _ in 0..count {
            let spec = payload.get(start..)?.first_chunk::<SPEC_BYTES>()?;
            let long = |at| u64::from_ne_bytes(*spec[at..].first_chunk().expect("within the 40 bytes"));
            targets.push(Self {
                first_sector: long(0),
                sectors: long(8),
                name: text(&spec[24..])?,
                parameters: text(payload.get(start + SPEC_BYTES..)?)?.trim_end().to_owned(),
            });
            // Counted from the first target, unlike in a request.
            let next = u32::from_ne_bytes(*spec[20..].first_chunk().expect("within the 40 bytes"));
            start = usize::try_from(next).ok()?;
        }
        Some(targets)
    }
}

/// The text before the first zero byte.
pub(super) fn text(bytes: &[u8]) -> Option<String> {
    let end = bytes.iter().position(|&byte| byte == 0)?;
    Some(String::from_utf8_lossy(&bytes[..end]).into_owned())
}
