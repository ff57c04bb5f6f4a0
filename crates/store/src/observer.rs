//! Telling somebody how far a long call is.

use crate::problem::Problem;

/// Hears what a long call does. Called from several threads.
pub trait Observer: Sync {
    /// Something has happened.
    fn event(&self, event: &Event<'_>);
}

/// Hears nothing.
impl Observer for () {
    fn event(&self, _: &Event<'_>) {}
}

/// What happens during a long call.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A part of it begins.
    Began {
        /// Which part.
        phase: Phase,
        /// How many items are to come, where that is known.
        items: Option<u64>,
    },
    /// More is done of the part that began last.
    Advanced {
        /// How many items more.
        items: u64,
        /// How many bytes more, where these are what takes the time.
        bytes: u64,
    },
    /// fsck found a problem.
    Problem(&'a Problem),
}

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
