//! `cargo xtask suites`: the composefs project's own test scripts, as they are, on our tools.

use anyhow::{Context, Result, bail, ensure};
use sealpack_tests::command::is_root;
use sealpack_tests::composefs::Tools;
use sealpack_tests::{paths, program};
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// A checkout of the C composefs
    #[arg(long, value_name = "DIR")]
    from: PathBuf,
    /// Show what the scripts print
    #[arg(long)]
    verbose: bool,
}

/// Runs the scripts, and says of each how it ended.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let checkout = arguments.from.canonicalize().with_context(|| format!("{}", arguments.from.display()))?;
    let tests = checkout.join("tests");
    ensure!(
        tests.join("test-checksums.sh").is_file(),
        "{} is no checkout of the C composefs: it has no tests/test-checksums.sh",
        checkout.display()
    );
    let place = paths::target().join("suites");
    fs::create_dir_all(&place)?;
    let tools = Tools::links_to(&program::under_test()?)?;
    let mut failed = 0;
    for (script, operands) in scripts(&tests)? {
        let mut command = Command::new(tests.join(script));
        command.arg(tools.directory()).args(operands).current_dir(&tests);
        failed += u32::from(!ends_well(script, &mut command, arguments.verbose, &place)?);
    }
    if is_root() {
        let root = tempfile::tempdir_in(&place)?;
        let mut command = Command::new("bash");
        command.arg("tests/integration.sh").current_dir(&checkout).env("cfsroot", root.path());
        command.env("PATH", with_path(tools.directory())?);
        failed += u32::from(!ends_well("integration.sh", &mut command, arguments.verbose, &place)?);
    } else {
        println!("skipped integration.sh: it mounts, which needs root");
    }
    if failed > 0 {
        bail!("{failed} of the scripts failed");
    }
    Ok(())
}

/// The scripts that take the directory of the tools first, and what they take after it.
fn scripts(tests: &Path) -> Result<Vec<(&'static str, Vec<OsString>)>> {
    let assets = tests.join("assets");
    let mut names: Vec<String> = fs::read_dir(&assets)?
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name.ends_with(".dump") || name.ends_with(".dump.gz"))
        .collect();
    names.sort();
    let (bad, good): (Vec<_>, Vec<_>) = names.into_iter().partition(|name| name.starts_with("should-fail-"));
    ensure!(!bad.is_empty() && !good.is_empty(), "{} has no dumps", assets.display());
    let bad = bad.iter().map(|name| assets.join(name).into_os_string());
    Ok(vec![
        ("test-checksums.sh", vec![assets.clone().into(), good.join(" ").into()]),
        ("test-should-fail.sh", bad.collect()),
        ("test-dump-filtered.sh", vec![assets.into()]),
        ("test-units.sh", Vec::new()),
    ])
}

/// Runs one script; what it prints is shown when it fails.
fn ends_well(name: &str, command: &mut Command, verbose: bool, place: &Path) -> Result<bool> {
    let log = place.join(format!("{name}.log"));
    let file = fs::File::create(&log)?;
    let status = command
        .stdin(Stdio::null())
        .stdout(file.try_clone()?)
        .stderr(file)
        .status()
        .with_context(|| format!("cannot start {name}"))?;
    if verbose || !status.success() {
        println!("{}", String::from_utf8_lossy(&fs::read(&log)?));
    }
    println!("{} {name}", if status.success() { "passed " } else { "FAILED " });
    Ok(status.success())
}

/// `$PATH` with `first` before all.
fn with_path(first: &Path) -> Result<OsString> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    Ok(std::env::join_paths(std::iter::once(first.to_owned()).chain(std::env::split_paths(&path)))?)
}
