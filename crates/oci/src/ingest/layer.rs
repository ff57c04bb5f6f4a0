//! What is said of a layer before it is taken in, and what it turns out to be.

use std::fmt;
use std::sync::atomic::AtomicBool;

use sealpack_format::{Algorithm, BlobDigest, DiffId};
use sealpack_store::{LayerFile, PackFile};

use crate::budget::Share;

/// What a descriptor says of a layer's blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expected {
    /// The digest of its bytes.
    pub digest: BlobDigest,
    /// The number of its bytes; how much it may unpack to depends on it.
    pub size_bytes: u64,
    /// By which algorithm its diff ID is wanted. Nothing but SHA-256 is in use.
    pub diff_id_algorithm: Algorithm,
}

/// Looks on while a blob is read.
#[derive(Clone, Copy)]
pub struct Watch<'a> {
    /// Ends the reading, with [`ScanError::Stopped`](super::ScanError::Stopped), when somebody sets it.
    pub stop: &'a AtomicBool,
    /// Told of every piece of the blob that was read, by its size in bytes. Called from another thread.
    pub advanced: &'a (dyn Fn(u64) + Sync),
}

impl Watch<'_> {
    /// Nobody looks on.
    pub const NOBODY: Self = {
        static NEVER: AtomicBool = AtomicBool::new(false);
        Self { stop: &NEVER, advanced: &|_| {} }
    };
}

impl fmt::Debug for Watch<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").field("stop", self.stop).finish_non_exhaustive()
    }
}

/// A layer that was read whole: its contents are in the staging.
pub struct Ingested<'a> {
    /// The digest of the uncompressed stream.
    pub diff_id: DiffId,
    /// The length of that stream in bytes.
    pub size_bytes: u64,
    /// The record, complete, waiting for its name.
    pub record: LayerFile<'a>,
    /// The pack, where there is to be one, with all objects, waiting to be finished.
    pub pack: Option<PackFile<'a>>,
    /// What it takes of the image's budget.
    pub(super) share: Share<'a>,
}

impl fmt::Debug for Ingested<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { diff_id, size_bytes, record: _, pack, share: _ } = self;
        let mut debug = f.debug_struct("Ingested");
        debug.field("diff_id", diff_id).field("size_bytes", size_bytes);
        debug.field("has_pack", &pack.is_some()).finish_non_exhaustive()
    }
}

impl Ingested<'_> {
    /// Gives the pack, if there is one, and then the record their names in the staging, which is yet to be
    /// [committed](sealpack_store::Staging::commit).
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn finish(self) -> Result<(), sealpack_store::Error> {
        self.pack.map_or(Ok(None), |pack| pack.finish(&self.diff_id))?;
        self.record.finish(&self.diff_id)?;
        self.share.keep();
        Ok(())
    }
}
