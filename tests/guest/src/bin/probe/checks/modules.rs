//! Kernel modules.

use super::stdout;
use anyhow::{Context, Result, ensure};
use sealpack_guest::host::task::Task;
use std::fs;
use std::path::Path;
use std::process::Command;

/// A module that needs no hardware and that nothing else loads.
const MODULE: &str = "dummy";

/// modprobe loads one from the image; a copy of the same file, signed by the kernel's makers as it is, is not loaded.
pub(super) fn from_image(_: &Task) -> Result<()> {
    let loaded = || Path::new("/sys/module").join(MODULE).exists();
    ensure!(!loaded(), "{MODULE} is loaded already");
    let file = stdout("modprobe", &["--show-depends", MODULE])?;
    // The path, and options that modprobe's configuration has for it.
    let file = file.lines().last().and_then(|line| line.strip_prefix("insmod ")?.split(' ').next());
    let file = file.with_context(|| format!("there is no module {MODULE}"))?;
    let name = Path::new(file).file_name().context("it has no name")?;
    let copy = Path::new("/run").join(name);
    fs::copy(file, &copy)?;
    let output = Command::new("insmod").arg(&copy).output()?;
    fs::remove_file(&copy)?;
    ensure!(!output.status.success() && !loaded(), "the copy was loaded");
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(said.contains("Permission denied"), "the copy is refused for something else: {said}");
    stdout("modprobe", &[MODULE])?;
    ensure!(loaded(), "{MODULE} is not loaded");
    stdout("modprobe", &["--remove", MODULE])?;
    Ok(())
}
