//! What happens, for whoever keeps a log.

use std::sync::Arc;
use std::time::Duration;

use crate::error::Code;

/// Hears what happens. It is called by the thread that does it.
pub type Observer = Arc<dyn Fn(&Event) + Send + Sync>;

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A call was answered.
    Answered {
        /// Which, such as `Prepare`.
        call: &'static str,
        /// The snapshot, or what else it is about.
        of: String,
        /// How long it took.
        took: Duration,
        /// Why not, if it was refused or failed.
        problem: Option<(Code, String)>,
    },
    /// An image or a layer was refused; that the call was answered so is told besides.
    Refused {
        /// Which call.
        call: &'static str,
        /// The snapshot, or what else it is about.
        of: String,
        /// In a word, why: as it is counted.
        reason: &'static str,
        /// Why, as a sentence.
        why: String,
    },
    /// A layer that containerd had unpacked is one of the store's.
    TakenIn {
        /// The snapshot.
        snapshot: String,
    },
    /// Layers that the store had lost are there again, from containerd's blobs.
    Recovered {
        /// The snapshot.
        snapshot: String,
    },
    /// Layers that the store has lost cannot be had from containerd.
    Lost {
        /// The snapshot.
        snapshot: String,
        /// Why.
        why: String,
    },
    /// A layer that containerd had unpacked stays a directory.
    Stays {
        /// The snapshot.
        snapshot: String,
        /// Why.
        why: String,
    },
}
