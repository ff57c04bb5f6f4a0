//! The security modules that the kernel runs with.

use super::Verdict;
use anyhow::{Context, Result, ensure};
use std::fs;

pub(crate) fn default() -> Result<Verdict> {
    let command_line = fs::read_to_string("/proc/cmdline")?;
    let chosen = command_line
        .split_whitespace()
        .find(|word| word.starts_with("lsm=") || word.starts_with("security="));
    ensure!(chosen.is_none(), "the command line chooses the security modules: {command_line}");
    let active = fs::read_to_string("/sys/kernel/security/lsm").context("cannot read the list of modules")?;
    println!("security modules: {active}");
    for name in ["lockdown", "capability", "landlock", "yama", "ipe"] {
        ensure!(active.split(',').any(|module| module.trim() == name), "{name} is not among {active}");
    }
    let lockdown = fs::read_to_string("/sys/kernel/security/lockdown")?;
    ensure!(lockdown.contains("[none]"), "the kernel is locked down, and refuses by itself: {lockdown}");
    Ok(Verdict::Shown)
}
