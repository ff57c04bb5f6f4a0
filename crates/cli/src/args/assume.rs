//! As what an image is to be judged.

use sealpack_node::policy::executables::Assumption;

/// How an image is taken to be mounted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Assume {
    /// The objects are files with fs-verity
    Files,
    /// The objects are in packs, and nothing is signed
    Packs,
    /// The objects are in packs, and the kernel accepted all signatures
    Sealed,
}

impl From<Assume> for Assumption {
    fn from(assume: Assume) -> Self {
        match assume {
            Assume::Files => Self::Files,
            Assume::Packs => Self::Packs,
            Assume::Sealed => Self::Sealed,
        }
    }
}
