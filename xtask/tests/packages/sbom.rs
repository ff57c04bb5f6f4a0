//! The list of what the programs are made of, and the sums of all files.

use crate::built::{Built, why_not};
use anyhow::{Context, Result, ensure};
use sealpack_tests::command::run;
use sealpack_tests::{paths, skip};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::Command;

#[test]
fn the_sbom_has_each_crate_of_the_programs_once_and_the_sums_are_those_of_the_files() -> Result<()> {
    if let Some(why) = why_not()? {
        skip(why);
        return Ok(());
    }
    let built = Built::new()?;
    run(Command::new("sha256sum")
        .args(["--check", "--strict", "SHA256SUMS"])
        .current_dir(built.directory()))?;
    let sums = fs::read_to_string(built.directory().join("SHA256SUMS"))?;
    ensure!(sums.lines().count() == fs::read_dir(built.directory())?.count() - 1, "{sums}");
    let sbom: Value = serde_json::from_slice(&fs::read(built.file("sealpack_", ".cdx.json")?)?)?;
    ensure!(sbom["bomFormat"] == "CycloneDX" && sbom["specVersion"] == "1.6", "{sbom}");
    ensure!(sbom["metadata"]["component"]["version"] == built.version()?, "{}", sbom["metadata"]);
    let components = sbom["components"].as_array().context("no components")?;
    let mut names = BTreeMap::new();
    for component in components {
        let text = |key: &str| component[key].as_str().with_context(|| format!("no {key}: {component}"));
        ensure!(component["licenses"][0]["expression"].is_string(), "{component}");
        let is_own = text("name")?.starts_with("sealpack");
        ensure!(
            is_own == component["hashes"].is_null() && is_own == component["purl"].is_null(),
            "{component}"
        );
        ensure!(names.insert(text("bom-ref")?, text("name")?).is_none(), "twice: {component}");
    }
    let present: BTreeSet<&str> = names.values().copied().collect();
    for name in [
        "sealpack",
        "sealpack-snapshotter",
        "sealpack-init",
        "sealpack-format",
        "aws-lc-sys",
        "cryptoki",
        "tokio",
    ] {
        ensure!(present.contains(name), "{name} is missing");
    }
    for name in ["sealpack-tests", "xtask", "proptest", "insta", "syn", "cc"] {
        ensure!(!present.contains(name), "{name} is in no program");
    }
    for entry in sbom["dependencies"].as_array().context("no dependencies")? {
        let known = |value: &Value| value.as_str().is_some_and(|name| names.contains_key(name));
        ensure!(known(&entry["ref"]) || entry["ref"] == sbom["metadata"]["component"]["bom-ref"], "{entry}");
        ensure!(entry["dependsOn"].as_array().is_some_and(|used| used.iter().all(known)), "{entry}");
    }
    locked(components)
}

/// What stands in it is what Cargo.lock has.
fn locked(components: &[Value]) -> Result<()> {
    let lock = fs::read_to_string(paths::workspace().join("Cargo.lock"))?;
    for component in components {
        let Some(sum) = component["hashes"][0]["content"].as_str() else { continue };
        let (name, version) =
            (component["name"].as_str().unwrap_or(""), component["version"].as_str().unwrap_or(""));
        let block = format!("name = \"{name}\"\nversion = \"{version}\"\n");
        let block = lock.split("[[package]]\n").find(|found| found.starts_with(&block));
        ensure!(block.is_some_and(|block| block.contains(sum)), "{component}");
    }
    Ok(())
}
