//! A dm-verity device, as planned.

use std::path::PathBuf;

use sealpack_format::digest::RootHash;
use sealpack_kernel::dm::{DeviceName, DeviceNumber, VerityTable};

use super::request::{MetadataHashArea, Pack, Signature};

/// What the names of devices begin with, before `s` or `u`, for signed or unsigned, and the root
/// hash. Whoever changes it no longer finds what an older version left behind.
pub(crate) const NAME_PREFIX: &str = "sealpack-";

/// A dm-verity device that is to be made, or shared if there is one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// What everything on it hashes to.
    pub root_hash: RootHash,
    /// The number of blocks of 4096 bytes that it has.
    pub data_blocks: u64,
    /// The file with the hash area; `None` when that is behind the data, in the same file.
    pub tree: Option<PathBuf>,
    /// The signatures to give to the kernel, until it accepts one. Without any, the device is an
    /// unsigned one.
    pub signatures: Vec<Signature>,
}

impl Device {
    pub(super) fn of_metadata(area: MetadataHashArea) -> Self {
        let MetadataHashArea { path, data_blocks, root_hash, signatures } = area;
        Self { root_hash, data_blocks, tree: Some(path), signatures }
    }

    pub(crate) fn of_pack(pack: &Pack) -> Self {
        Self {
            root_hash: pack.root_hash,
            data_blocks: pack.filesystem_blocks,
            tree: None,
            signatures: pack.signatures.clone(),
        }
    }

    /// A device whose hash area, if it is apart, comes as a descriptor too, and has no path here.
    pub(crate) fn handed(root_hash: RootHash, data_blocks: u64, has_tree_apart: bool) -> Self {
        let tree = has_tree_apart.then(PathBuf::new);
        Self { root_hash, data_blocks, tree, signatures: Vec::new() }
    }

    /// The device's name; with `number` 2 and up, the name that it has when those before are
    /// taken by devices of other files with the same content, or are for those of other users.
    ///
    /// Signed and unsigned devices have different names: one must not take the other's place.
    #[must_use]
    pub fn name(&self, is_signed: bool, number: u64) -> DeviceName {
        let kind = if is_signed { 's' } else { 'u' };
        let suffix = if number > 1 { format!("-{number}") } else { String::new() };
        let name = format!("{NAME_PREFIX}{kind}-{}{suffix}", self.root_hash);
        name.parse().expect("letters, digits and hyphens, fewer than 128")
    }

    /// The first block of the hash tree, behind the superblock's.
    #[must_use]
    pub const fn hash_start_block(&self) -> u64 {
        match self.tree {
            Some(_) => 1,
            None => self.data_blocks.saturating_add(1),
        }
    }

    /// The device's table when its data and its hash area are on these devices. A signature is
    /// under the device's name in the keyring of the thread that loads it.
    #[must_use]
    pub fn table(&self, name: Option<&DeviceName>, data: DeviceNumber, hashes: DeviceNumber) -> VerityTable {
        VerityTable {
            data,
            hashes,
            data_blocks: self.data_blocks,
            hash_start_block: self.hash_start_block(),
            root_hash: self.root_hash,
            signature_key: name.map(ToString::to_string),
        }
    }
}
