//! Where a machine stands: what its kernel can do, whom it trusts, what it enforces, and which levels mounts can reach
//! because of that.

mod ipe;
mod keyrings;
mod levels;

use std::path::Path;

use sealpack_kernel::Kernel;
use sealpack_kernel::probe::{Report, System, VerityParameters, probe};

pub use ipe::{Denial, IpeState, denial};
pub use keyrings::{HeldKey, KeyringContents, Keyrings};
pub use levels::{Lack, Missing, Obstacle, Reach, With, levels};

/// What was found out of a machine, by trying; nothing of that is left behind.
#[derive(Debug, Clone)]
pub struct Standing {
    /// What the kernel can do.
    pub report: Report,
    /// Whom it trusts.
    pub keyrings: Keyrings,
    /// How dm-verity was loaded.
    pub verity_parameters: VerityParameters,
    /// What it enforces; or, in words, why that is not known.
    pub ipe: Result<IpeState, String>,
    /// Each level, from the lowest, and whether mounts can reach it.
    pub levels: Vec<Reach>,
}

impl Standing {
    /// Finds it out, with `store` as the directory where a store is or would be.
    #[must_use]
    pub fn find_out(kernel: &Kernel, system: &System, store: &Path) -> Self {
        let report = probe(kernel, system, store);
        let keyrings = Keyrings::read(kernel);
        let levels = levels(&report, &keyrings, sealpack_mount::enforcement_in_force(kernel));
        let verity_parameters = VerityParameters::of(system);
        Self { report, keyrings, verity_parameters, ipe: IpeState::read(kernel), levels }
    }
}
