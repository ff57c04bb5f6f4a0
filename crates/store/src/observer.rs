//! Telling somebody how far a long call is.

use crate::fsck::Problem;

/// A part of a long call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Finding out what is there and what is needed.
    Scan,
    /// Hashing what is there.
    Hash,
    /// Following references.
    Follow,
    /// Removing what is not needed.
    Remove,
    /// Converting layers from one form into the other.
    Convert,
}

/// Is told of progress, from several threads.
///
/// All methods do nothing unless implemented, so that an observer takes what it cares for.
pub trait Observer: Sync {
    /// A phase begins: so many items are to come, with so many bytes, where that is known.
    fn begin(&self, _phase: Phase, _items: Option<u64>, _bytes: Option<u64>) {}

    /// So much more is done of the phase that began last.
    fn advance(&self, _items: u64, _bytes: u64) {}

    /// fsck found a problem.
    fn problem(&self, _problem: &Problem) {}
}

/// An observer that does not listen.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Observer for Silent {}
