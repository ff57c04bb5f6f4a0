//! What is kept of a snapshot.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sealpack_format::DiffId;
use sealpack_store::ChainId;
use serde::{Deserialize, Serialize};

use crate::rules::ImageOf;

/// The version of rows that this program writes and knows.
const VERSION: u32 = 1;

/// Numbers of directories are below this. They count from 1, and no machine comes this far: one that is not below it is damage, and
/// there would soon be none behind it.
pub const ID_END: u64 = 1 << 62;

/// Labels, as containerd's clients give them.
pub type Labels = BTreeMap<String, String>;

/// What a snapshot is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// To be looked at.
    View,
    /// To be written to.
    Active,
    /// To be built on: it never changes again.
    Committed,
}

impl Kind {
    /// As filters call it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::View => "view",
            Self::Active => "active",
            Self::Committed => "committed",
        }
    }
}

/// What a snapshot takes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Bytes on the disk.
    pub size_bytes: u64,
    /// Files and directories.
    pub inodes: u64,
}

/// A layer of the store, with those below it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layered {
    /// All of them.
    pub chain: ChainId,
    /// The highest.
    pub layer: DiffId,
}

/// What became of a layer that containerd unpacked into a snapshot's directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Unpacked {
    /// The store has not got it yet.
    Waits,
    /// The store has it; the directory is there for snapshots with lower numbers than this, which may be mounted with it.
    Until(u64),
}

/// What is kept of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    version: u32,
    /// The number of its directory.
    pub id: u64,
    /// What it is.
    pub kind: Kind,
    /// The name of the snapshot that it is based on; empty without one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub parent: String,
    /// Labels.
    #[serde(default, skip_serializing_if = "Labels::is_empty")]
    pub labels: Labels,
    /// When it became what it is, in nanoseconds since 1970.
    created: u64,
    /// When it was changed last.
    updated: u64,
    /// The layer that it is, if the store has it: a committed snapshot's content, or what was applied to an active one. What
    /// others are based on is in its directory otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layered: Option<Layered>,
    /// The image that it is a layer of, where the client said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<ImageOf>,
    /// Whether containerd unpacked a layer into its directory, and that is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unpacked: Option<Unpacked>,
    /// What a committed one takes, which does not change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
}

impl Row {
    /// A new one.
    #[must_use]
    pub fn new(id: u64, kind: Kind, parent: String, labels: Labels) -> Self {
        let (now, image) = (now(), ImageOf::of_labels(&labels));
        Self {
            version: VERSION,
            id,
            kind,
            parent,
            labels,
            created: now,
            updated: now,
            layered: None,
            image,
            unpacked: None,
            usage: None,
        }
    }

    /// The same, committed with these labels, and with a layer of the store as its content, or what its directory has.
    #[must_use]
    pub fn committed(self, labels: Labels, usage: Usage, layered: Option<Layered>) -> Self {
        let now = now();
        let usage = Some(usage);
        Self { kind: Kind::Committed, labels, created: now, updated: now, layered, usage, ..self }
    }

    /// Notes that it was changed.
    pub fn touch(&mut self) {
        self.updated = now();
    }

    /// When it became what it is.
    #[must_use]
    pub fn created(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_nanos(self.created)
    }

    /// When it was changed last.
    #[must_use]
    pub fn updated(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_nanos(self.updated)
    }

    /// Reads one.
    ///
    /// # Errors
    /// In words, what is wrong with it.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, String> {
        let row: Self = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        match row.version {
            VERSION if row.id >= ID_END => Err(format!("no directory has the number {}", row.id)),
            VERSION => Ok(row),
            other => Err(format!("version {other} of rows is not known")),
        }
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("texts, numbers and maps of texts are JSON")
    }
}

/// A clock before 1970 is no reason to fail, nor one after 2554.
fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
