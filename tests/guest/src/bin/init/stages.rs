//! The stages of a boot, each under a policy of its own.

use anyhow::{Context, Result, ensure};
use sealpack_guest::checks::Stage;
use sealpack_kernel::Kernel;
use std::fs;

/// Activates the stage's policy, unless it is active.
pub(crate) fn enter(stage: Stage) -> Result<()> {
    let Some(name) = stage.policy() else {
        return Ok(());
    };
    let kernel = Kernel::new();
    let ipe = kernel.ipe().context("IPE is not active")?;
    let policies = ipe.policies()?;
    if policies.iter().any(|policy| policy.name == name && policy.active) {
        return Ok(());
    }
    if !policies.iter().any(|policy| policy.name == name) {
        let path = format!("/disk/policies/{name}.p7b");
        ipe.load(&fs::read(&path).with_context(|| format!("cannot read {path}"))?)?;
    }
    ipe.activate(name)?;
    ensure!(ipe.is_enforcing()?, "IPE does not enforce");
    println!("--- the policy {name} is active");
    Ok(())
}

/// The stage of that policy.
pub(crate) fn find(policy: &str) -> Option<Stage> {
    Stage::ALL.into_iter().find(|stage| stage.policy() == Some(policy))
}
