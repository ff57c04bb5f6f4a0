//! That the benchmarks still run: all of them, measuring so little that it says nothing.

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::process::Command;

#[test]
fn every_benchmark_runs_and_its_report_is_compared_with_itself() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let json = directory.path().join("report.json");
    let xtask = || Command::new(env!("CARGO_BIN_EXE_xtask"));
    let output = xtask().args(["bench", "--smoke", "--json"]).arg(&json).output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report: Value = serde_json::from_slice(&std::fs::read(&json)?)?;
    let tables = report["tables"].as_array().context("there are no tables")?;
    let named = |name: &str| tables.iter().find(|table| table["name"] == name);
    for name in [
        "pull",
        "large-layer",
        "known",
        "gc-3",
        "images-3",
        "fsck-3",
        "verify-3",
        "names",
        "entries",
        "start",
        "tree",
        "digest",
        "copy",
    ] {
        let table = named(name).with_context(|| format!("no table {name}"))?;
        let rows = table["rows"].as_array().context("no rows")?;
        ensure!(!rows.is_empty(), "{name} has no rows");
        for row in rows {
            let samples = row["samples"].as_array().context("no samples")?;
            ensure!(samples.len() == 1 && samples[0]["wall"].as_f64() > Some(0.0), "{name}: {row}");
        }
    }
    if sealpack_tests::containerd::why_not().is_none() {
        for name in ["containers-pull", "containers-first", "containers-second", "containers-prepare"] {
            let table = named(name).with_context(|| format!("no table {name}"))?;
            let rows = table["rows"].as_array().context("no rows")?;
            let names: Vec<_> = rows.iter().filter_map(|row| row["name"].as_str()).collect();
            ensure!(names == ["overlayfs", "sealpack", "erofs"], "{name} has the rows {names:?}");
        }
        let take = named("containers-take").context("no table containers-take")?;
        ensure!(take["goals"].as_array().is_some_and(|goals| goals.len() == 4), "{take}");
    }
    let goals: Vec<&Value> = tables.iter().filter_map(|table| table["goals"].as_array()).flatten().collect();
    for what in
        ["the floor", "blocked", "sealpack images: peak", "1,000,000 entries, packs: time", "stripped"]
    {
        let has = |goal: &&Value| goal["what"].as_str().is_some_and(|text| text.contains(what));
        ensure!(goals.iter().any(has), "no goal of {what}: {goals:?}");
    }
    let output = xtask().args(["bench", "start", "--smoke", "--compare"]).arg(&json).output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    ensure!(text.contains("| start: sealpack --version |"), "{text}");
    Ok(())
}
