//! `cargo xtask bench`: figures, side by side in one run.

mod compat;
mod contender;
mod memory;
mod packs;
mod pull;
mod seal;
mod table;
mod tree;

use anyhow::Result;
use std::num::NonZeroUsize;

#[derive(clap::Subcommand)]
pub(crate) enum Bench {
    /// Time a pull from an OCI layout into an empty store, as files and into packs, and that of composefs-rs and tar
    Pull {
        /// The fixture image that is pulled
        #[arg(long, default_value = "bench")]
        image: String,
        /// How many times each contender runs, in turns
        #[arg(long, default_value = "5")]
        runs: NonZeroUsize,
        /// Leave out the check of memory with one huge layer and with a million entries
        #[arg(long)]
        no_memory: bool,
    },
    /// Time the composefs tools, ours and the C ones
    Compat {
        /// How many times each runs, in turns
        #[arg(long, default_value = "5")]
        runs: NonZeroUsize,
    },
    /// Time a sealed pull from a registry against an unsealed one, measure the seal, and seal again after a change
    Seal {
        /// How many times each pull runs, in turns
        #[arg(long, default_value = "7")]
        runs: NonZeroUsize,
    },
    /// Time the dm-verity hash tree of a file of 1 GiB, and that of veritysetup
    Tree {
        /// How many times each contender runs, in turns
        #[arg(long, default_value = "7")]
        runs: NonZeroUsize,
    },
}

/// Runs a benchmark.
pub(crate) fn run(bench: &Bench) -> Result<()> {
    match bench {
        Bench::Pull { image, runs, no_memory } => pull::run(image, runs.get(), !no_memory),
        Bench::Compat { runs } => compat::run(runs.get()),
        Bench::Seal { runs } => seal::run(runs.get()),
        Bench::Tree { runs } => tree::run(runs.get()),
    }
}
