//! What gc is asked, and what it answers.

use std::time::Duration;

use rustix::fs::Stat;
use sealpack_format::digest::{ObjectId, RootHash};

#[cfg(doc)]
use crate::store::Store;

/// How long an interrupted download is kept after its last byte.
pub const PARTIAL_KEPT: Duration = Duration::from_hours(7 * 24);

/// What [`Store::gc`] does.
#[derive(Debug, Clone)]
pub struct GcOptions {
    /// Only report what would be removed.
    pub dry_run: bool,
    /// How many of the images that each name had before are kept, the newest ones. One, unless set.
    pub keep_previous: usize,
    /// Besides, those of them that were pulled since then, in seconds since 1970 (UTC), if it says so.
    pub keep_pulled_since: Option<u64>,
    /// Metadata images that are in use although they may have no name: the mounted ones. Their objects stay
    /// in whichever form they are there.
    pub keep_images: Vec<ObjectId>,
    /// Packs that are in use, such as those with a device.
    pub keep_packs: Vec<RootHash>,
    /// How long to wait for the exclusive lock.
    pub wait: Duration,
}

impl Default for GcOptions {
    fn default() -> Self {
        Self {
            dry_run: false,
            keep_previous: 1,
            keep_pulled_since: None,
            keep_images: Vec::new(),
            keep_packs: Vec::new(),
            wait: Duration::ZERO,
        }
    }
}

/// How much there is, or was, of one kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// How many.
    pub count: u64,
    /// Their sizes in bytes.
    pub bytes: u64,
}

/// What [`Store::gc`] removed, or would remove.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct GcReport {
    /// Images in the histories of names, and the bytes by which the histories are shorter.
    pub earlier: Tally,
    /// Objects.
    pub objects: Tally,
    /// Packs.
    pub packs: Tally,
    /// Metadata images and their hash areas.
    pub images: Tally,
    /// Records of layers and of their packs.
    pub layers: Tally,
    /// Blobs.
    pub blobs: Tally,
    /// Seals.
    pub seals: Tally,
    /// Downloads interrupted longer than [`PARTIAL_KEPT`] ago.
    pub partials: Tally,
    /// What dead processes left in `tmp/`.
    pub temporaries: Tally,
    /// What stayed although no name means it.
    pub kept: Kept,
}

/// How many images stayed, or would, although no name means them, by what they stay for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Kept {
    /// Those that a name had before.
    pub earlier: u64,
    /// Those of [`GcOptions::keep_images`]: mounted ones, for example.
    pub in_use: u64,
    /// Chains of layers that are held for others, such as containerd's snapshots.
    pub held: u64,
}

impl GcReport {
    /// Whether anything went that the store may remember having verified.
    pub(super) const fn has_removed_verified(&self) -> bool {
        self.objects.count > 0 || self.packs.count > 0 || self.images.count > 0
    }

    /// All kinds together.
    #[must_use]
    pub fn total(&self) -> Tally {
        let contents = [self.objects, self.packs, self.images, self.layers, self.blobs, self.seals];
        contents.iter().chain(&[self.earlier, self.partials, self.temporaries]).fold(
            Tally::default(),
            |sum, part| Tally { count: sum.count + part.count, bytes: sum.bytes + part.bytes },
        )
    }
}

impl Tally {
    pub(super) fn add(&mut self, stat: &Stat) {
        self.merge(Self { count: 1, bytes: stat.st_size.unsigned_abs() });
    }

    pub(crate) const fn merge(&mut self, other: Self) {
        self.count += other.count;
        self.bytes += other.bytes;
    }
}
