//! containerd's own tests of snapshotters, built of Debian 12's packages: its source, and a compiler of the same release.

use super::{Containerd, Enclosure};
use crate::apt::Archive;
use crate::command::run;
use crate::paths;
use crate::program;
use crate::unpacked::unpack;
use anyhow::{Context, Result, ensure};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The tests' start; it is part of what is built.
const SOURCE: &str = include_str!("suite_test.go");

/// The compiler, and what of containerd and of what it depends on is compiled: not all that its package asks for, which is
/// five times as much.
const PACKAGES: [&str; 19] = [
    "golang-1.19-go",
    "golang-1.19-src",
    "golang-github-containerd-containerd-dev",
    "golang-github-containerd-continuity-dev",
    "golang-github-containerd-ttrpc-dev",
    "golang-github-gogo-protobuf-dev",
    "golang-github-golang-protobuf-1-3-dev",
    "golang-github-google-go-cmp-dev",
    "golang-github-gotestyourself-gotest.tools-dev",
    "golang-github-moby-sys-dev",
    "golang-github-opencontainers-go-digest-dev",
    "golang-github-pkg-errors-dev",
    "golang-github-sirupsen-logrus-dev",
    "golang-golang-x-net-dev",
    "golang-golang-x-sys-dev",
    "golang-golang-x-text-dev",
    "golang-google-genproto-dev",
    "golang-google-grpc-dev",
    "golang-google-protobuf-dev",
];

/// The program with the tests, built unless that was done before of the same [`SOURCE`].
///
/// # Errors
/// If Debian's packages cannot be had, or do not compile.
pub fn program() -> Result<PathBuf> {
    let place = paths::tools();
    fs::create_dir_all(&place).with_context(|| format!("cannot make {}", place.display()))?;
    let lock = File::create(place.join("containerd-suite.lock"))?;
    lock.lock().context("cannot lock containerd-suite.lock")?;
    let (program, built_of) = (place.join("containerd-suite"), place.join("containerd-suite.source"));
    if program.exists() && fs::read_to_string(&built_of).is_ok_and(|found| found == SOURCE) {
        return Ok(program);
    }
    let temporary = tempfile::tempdir_in(&place)?;
    let root = temporary.path().join("root");
    let archive = Archive::of_suites("containerd-1.6", &["bookworm"])?;
    unpack(&archive, &PACKAGES.map(str::to_owned), &root)?;
    let built = temporary.path().join("suite");
    compile(&root, temporary.path(), &built).context("containerd's tests of snapshotters were not built")?;
    fs::rename(&built, &program)?;
    fs::write(built_of, SOURCE)?;
    Ok(program)
}

fn compile(root: &Path, place: &Path, built: &Path) -> Result<()> {
    let source = place.join("go/src/suite");
    fs::create_dir_all(&source)?;
    fs::write(source.join("suite_test.go"), SOURCE)?;
    let home = root.join("usr/lib/go-1.19");
    let mut go = Command::new(home.join("bin/go"));
    go.args(["test", "-vet=off", "-c", "-o"]).arg(built).arg(".").current_dir(&source);
    go.env("GOROOT", &home).env("GO111MODULE", "off").env("CGO_ENABLED", "0").env("GOFLAGS", "");
    go.env("GOPATH", format!("{}:{}", place.join("go").display(), root.join("usr/share/gocode").display()));
    go.env("GOCACHE", place.join("cache")).env("HOME", place);
    run(&mut go).map(drop)
}

/// Runs the tests on a snapshotter that a containerd of its own has.
///
/// # Errors
/// If one fails, or fewer than there are have run; all that was printed is in the error.
pub fn test_stock(containerd: &Containerd, snapshotter: &str) -> Result<()> {
    let mut command = command(containerd.enclosure())?;
    command.env("CONTAINERD", containerd.socket()).env("NAME", snapshotter);
    all_pass(&mut command)
}

/// Runs the tests on a program that takes `--socket PATH --store DIR`.
///
/// # Errors
/// As [`test_stock`].
pub fn test(enclosure: &Enclosure, snapshotter: &Path) -> Result<()> {
    let sockets = enclosure.socket("suite");
    fs::create_dir_all(&sockets)?;
    let mut command = command(enclosure)?;
    program::isolate(&mut command);
    all_pass(command.env("SOCKETS", &sockets).env("SNAPSHOTTER", snapshotter))
}

/// How many tests containerd 1.6.20 has, and those of them that it skips for every snapshotter.
const TESTS: usize = 21;
const SKIPPED: [&str; 1] = ["Rename"];

fn all_pass(command: &mut Command) -> Result<()> {
    let output = run(command)?;
    let said = String::from_utf8_lossy(&output.stdout);
    let (passed, skipped) = (names(&said, "PASS"), names(&said, "SKIP"));
    let is_all = passed.len() + skipped.len() == TESTS && skipped == SKIPPED;
    ensure!(is_all, "passed: {passed:?}, skipped: {skipped:?}\n{said}");
    Ok(())
}

/// The tests with an outcome that `go test -v` printed.
fn names<'a>(said: &'a str, outcome: &str) -> Vec<&'a str> {
    let start = format!("--- {outcome}: TestSnapshotter/");
    said.lines().filter_map(|line| line.trim_start().strip_prefix(&start)?.split(' ').next()).collect()
}

fn command(enclosure: &Enclosure) -> Result<Command> {
    let temporary = enclosure.data("suite");
    fs::create_dir_all(&temporary)?;
    let mut command = enclosure.command(program()?);
    command.args(["-test.v", "-test.timeout=300s", "-test.root"]).current_dir(&temporary);
    command.env("TMPDIR", &temporary);
    Ok(command)
}
