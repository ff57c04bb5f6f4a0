//! The stages of a boot, each under a policy of its own.

use crate::system::SEALPACK;
use anyhow::{Context, Result, ensure};
use sealpack_guest::checks::Stage;
use sealpack_kernel::Kernel;
use sealpack_tests::command::stdout;
use std::process::Command;

/// Activates the stage's policy, unless it is active.
pub(crate) fn enter(stage: Stage) -> Result<()> {
    let Some(name) = stage.policy() else {
        return Ok(());
    };
    let kernel = Kernel::new();
    let ipe = kernel.ipe().context("IPE is not active")?;
    if ipe.active_policy()?.is_some_and(|policy| policy.name == name) {
        return Ok(());
    }
    let mut sealpack = Command::new(SEALPACK);
    let said =
        stdout(sealpack.args(["policy", "load", "--activate", &format!("/disk/policies/{name}.p7b")]))?;
    println!("--- {said}");
    ensure!(ipe.is_enforcing()?, "IPE does not enforce");
    let active = ipe.active_policy()?.context("no policy is active")?;
    ensure!(active.name == name, "the active policy is {}", active.name);
    Ok(())
}

/// The stage of that policy.
pub(crate) fn find(policy: &str) -> Option<Stage> {
    Stage::ALL.into_iter().find(|stage| stage.policy() == Some(policy))
}
