//! `cargo xtask fuzz TARGET`: libFuzzer on one of the targets in `fuzz/`, with the ordinary toolchain.

use anyhow::{Result, ensure};
use sealpack_tests::{command, paths};
use std::fs;
use std::process::Command;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The target: one of the directories in fuzz/corpus
    target: String,
    /// How long, in seconds
    #[arg(long, default_value_t = 60)]
    seconds: u32,
}

/// The release whose options were tried with a stable compiler.
const CARGO_FUZZ: &str = "^0.13";

/// Runs it. What it finds new goes below `target/`; what it fails with, below `fuzz/artifacts`, and from there, once
/// mended, by hand into `fuzz/corpus`, which every run of the tests replays.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    on(&arguments.target, arguments.seconds)
}

/// Runs all targets, one after the other, so long each.
///
/// # Errors
/// Those of the first that fails.
pub(crate) fn each(seconds: u32) -> Result<()> {
    let corpus = paths::workspace().join("fuzz/corpus");
    let mut targets: Vec<_> = fs::read_dir(&corpus)?
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect::<Result<_>>()?;
    targets.sort();
    ensure!(!targets.is_empty(), "{} is empty", corpus.display());
    targets.iter().try_for_each(|target| on(target, seconds))
}

fn on(target: &str, seconds: u32) -> Result<()> {
    let tools = paths::target().join("tools");
    let cargo_fuzz = tools.join("bin/cargo-fuzz");
    if !cargo_fuzz.exists() {
        let mut install = Command::new("cargo");
        install.args(["install", "--quiet", "--locked", "cargo-fuzz", "--version"]).arg(CARGO_FUZZ);
        command::run(install.arg("--root").arg(&tools))?;
    }
    let found = paths::target().join("fuzz/found").join(target);
    fs::create_dir_all(&found)?;
    let corpus = paths::workspace().join("fuzz/corpus").join(target);
    ensure!(corpus.is_dir(), "there is no target {target}: {} is missing", corpus.display());
    let mut fuzz = Command::new(cargo_fuzz);
    // A sanitizer would need a nightly compiler, and there is nothing unsafe here for it to find.
    fuzz.args(["fuzz", "run", "--sanitizer", "none", target])
        .args([&found, &corpus])
        .args(["--", "-rss_limit_mb=2048", "-timeout=20"])
        .arg(format!("-max_total_time={}", seconds))
        .env("CARGO_TARGET_DIR", paths::target().join("fuzz"))
        .current_dir(paths::workspace());
    let status = fuzz.status()?;
    ensure!(status.success(), "{} ended with {status}", command::display(&fuzz));
    Ok(())
}
