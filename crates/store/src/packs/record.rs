//! The record of the pack that a layer has.

use std::collections::BTreeMap;

use sealpack_format::digest::RootHash;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::documents::{parse_versioned, to_json};

/// The version of the record that this program writes and knows.
const VERSION: u64 = 1;

/// What is known of a pack without its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackDescriptor {
    /// The root hash of its dm-verity tree: its name.
    pub root_hash: RootHash,
    /// Its size, the tree included.
    pub size_bytes: u64,
    /// The blocks (of 4,096 bytes) of its filesystem: the data blocks of the dm-verity device. The dm-verity
    /// superblock is in the block with this number, the tree begins in the next.
    pub filesystem_blocks: u64,
    /// The number of objects in it.
    pub objects: u64,
    /// Their sizes, summed up.
    pub object_bytes: u64,
}

/// The content of `layers/ALGORITHM/HEX.pack`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PackRecord {
    version: u64,
    /// Nothing when the layer has no objects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) pack: Option<PackDescriptor>,
    /// What later programs add.
    #[serde(flatten)]
    other: BTreeMap<String, Value>,
}

impl PackRecord {
    pub(crate) const fn new(pack: Option<PackDescriptor>) -> Self {
        Self { version: VERSION, pack, other: BTreeMap::new() }
    }

    pub(crate) fn to_json(&self) -> serde_json::Result<Vec<u8>> {
        to_json(self)
    }

    /// Parses the content of a file. The error says what is wrong with it.
    pub(crate) fn parse(json: &[u8]) -> Result<Self, String> {
        parse_versioned(json, VERSION)
    }
}
