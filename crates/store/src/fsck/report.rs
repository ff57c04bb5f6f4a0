//! What fsck is asked, and what it answers.

use std::num::NonZeroUsize;
use std::time::Duration;

use crate::problem::Problem;
#[cfg(doc)]
use crate::store::Store;

/// What [`Store::fsck`] does.
#[derive(Debug, Clone, Default)]
pub struct FsckOptions {
    /// Move what is damaged to `quarantine/`, so that the next pull of the images that need it brings it back.
    pub repair: bool,
    /// How many threads hash; as many as the machine runs at once when `None`.
    pub threads: Option<NonZeroUsize>,
    /// How long to wait for the lock: an exclusive one to repair, a shared one otherwise.
    pub wait: Duration,
}

/// What [`Store::fsck`] found.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct FsckReport {
    /// How many objects were hashed.
    pub objects: u64,
    /// Their bytes.
    pub object_bytes: u64,
    /// How many packs were verified.
    pub packs: u64,
    /// The bytes of the undamaged ones.
    pub pack_bytes: u64,
    /// How many metadata images were hashed and read.
    pub images: u64,
    /// How many records of layers were read.
    pub layers: u64,
    /// How many blobs were hashed.
    pub blobs: u64,
    /// How many seals were read.
    pub seals: u64,
    /// How many names were followed.
    pub names: u64,
    /// How many images that had a name before were followed.
    pub earlier: u64,
    /// How many remembered epochs were read.
    pub epochs: u64,
    /// What is wrong.
    pub problems: Vec<Problem>,
}

impl FsckReport {
    /// Whether nothing is wrong.
    #[must_use]
    pub const fn is_clean(&self) -> bool {
        self.problems.is_empty()
    }
}
