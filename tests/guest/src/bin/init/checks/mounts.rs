//! What `sealpack mounts` says of mounts, against what the kernel does with them.

use super::Verdict;
use super::enforcement::ATTACKED;
use super::enforcement::{PROGRAM, denied, execute};
use super::images::{self, Store, target};
use anyhow::{Context, Result, ensure};
use sealpack_kernel::Kernel;
use sealpack_tests::command::stdout;
use serde_json::Value;
use std::path::Path;

pub(crate) fn tell() -> Result<Verdict> {
    let enforced = images::signed("one")?;
    let unsigned = images::unsigned("one", &target("mounts-unsigned")?)?;
    let unsealed = Store::Unsealed.mount("two", &target("mounts-unsealed")?, "verified")?;
    println!("{}", stdout(&mut Store::Sealed.sealpack(["mounts"]))?);
    let one = of(enforced.root())?;
    ensure!(one["level"] == "enforced" && one["level_when_mounted"] == "enforced", "{one}");
    let name = one["name"].as_str().unwrap_or_default();
    ensure!(name.ends_with("/one:latest") && one["names"] == serde_json::json!([name]), "{one}");
    ensure!(one["since"].is_string() && one["manifest"].is_string(), "{one}");
    ensure!(one["seal"]["signers"].to_string().contains("sealpack test trusted"), "{one}");
    for other in [&unsigned, &unsealed] {
        let said = of(other.root())?;
        ensure!(said["level"] == "verified" && said["seal"].is_null(), "{said}");
    }
    // The mount stays as it was; what it is good for is another matter.
    let kernel = Kernel::new();
    let ipe = kernel.ipe().context("IPE is not active")?;
    ipe.set_enforcing(false)?;
    let without = of(enforced.root());
    ipe.set_enforcing(true)?;
    let without = without?;
    ensure!(without["level"] == "signed" && without["level_when_mounted"] == "enforced", "{without}");
    println!("while IPE logs only: {}", without["why_not_more"]);
    ensure!(of(enforced.root())?["level"] == "enforced");
    denied("the unsigned program", || execute(PROGRAM, ATTACKED))?;
    Ok(Verdict::Shown)
}

/// What is said of the mount there.
pub(crate) fn of(target: &Path) -> Result<Value> {
    let said = stdout(&mut Store::Sealed.sealpack(["--json", "mounts"]))?;
    let said: Value = serde_json::from_str(&said)?;
    let mounts = said["image_mounts"].as_array().with_context(|| format!("no mounts: {said}"))?;
    let found = mounts.iter().find(|mount| target.to_str().is_some_and(|target| mount["target"] == target));
    Ok(found.with_context(|| format!("{} is not among {said}", target.display()))?.clone())
}
