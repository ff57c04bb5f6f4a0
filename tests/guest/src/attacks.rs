//! Programs that attack, in C: they do with memory what Rust has no safe calls for.

use anyhow::Result;
use sealpack_tests::command::run;
use std::path::Path;
use std::process::Command;

/// A static program; `attacks/attack.c` says what it does.
///
/// # Errors
/// If it does not compile.
pub fn program(target: &Path) -> Result<()> {
    compile("attack.c", &["-static"], target)
}

/// A static program; `attacks/root.c` says what it does.
///
/// # Errors
/// If it does not compile.
pub fn root(target: &Path) -> Result<()> {
    compile("root.c", &["-static"], target)
}

/// A library for `LD_PRELOAD`, `attacks/preload.c`.
///
/// # Errors
/// If it does not compile.
pub fn library(target: &Path) -> Result<()> {
    compile("preload.c", &["-shared", "-fPIC"], target)
}

fn compile(source: &str, options: &[&str], target: &Path) -> Result<()> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("attacks").join(source);
    let mut cc = Command::new("cc");
    cc.args(["-O1", "-s", "-Wall", "-Wextra", "-Werror"]).args(options).arg(source).arg("-o").arg(target);
    run(&mut cc).map(drop)
}
