//! Attacks with the policy enforced and not: one that fails either way proves nothing.

use crate::system::{ATTACK, BUSYBOX};
use anyhow::{Context, Result, ensure};
use sealpack_kernel::ipe::Ipe;
use sealpack_kernel::{Errno, Kernel};
use sealpack_tests::command::{attempt, display};
use std::path::Path;
use std::process::Command;

/// What the unsigned program prints.
pub(crate) const ATTACKED: &str = "attacked";

/// The unsigned program on ext4.
pub(crate) const PROGRAM: &str = "/disk/attacks/program";

/// How something that was tried went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Went {
    /// It did what it was to do.
    Through,
    /// The kernel refused it.
    Refused(Errno),
}

/// IPE logs and does not deny while this lives.
pub(crate) struct Lenient<'k> {
    ipe: Ipe<'k>,
}

impl<'k> Lenient<'k> {
    pub(crate) fn new(kernel: &'k Kernel) -> Result<Self> {
        let ipe = kernel.ipe().context("IPE is not active")?;
        ensure!(ipe.active_policy()?.is_some(), "no policy is active");
        ipe.set_enforcing(false)?;
        Ok(Self { ipe })
    }
}

impl Drop for Lenient<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.ipe.set_enforcing(true) {
            println!("IPE does not enforce any more: {error}");
        }
    }
}

/// That an attack succeeds while IPE only logs, and is refused with EACCES while it enforces.
pub(crate) fn denied(what: &str, attack: impl Fn() -> Result<Went>) -> Result<()> {
    let kernel = Kernel::new();
    let lenient = Lenient::new(&kernel)?;
    let unhindered = attack().with_context(|| format!("{what}, while IPE only logs"))?;
    drop(lenient);
    ensure!(unhindered == Went::Through, "{what} does not even work while IPE only logs: {unhindered:?}");
    let enforced = attack().with_context(|| format!("{what}, while IPE enforces"))?;
    ensure!(enforced == Went::Refused(Errno::ACCESS), "{what}, while IPE enforces: {enforced:?}, not EACCES");
    println!("{what}: works while IPE only logs, EACCES while it enforces");
    Ok(())
}

/// That something goes through while IPE enforces.
pub(crate) fn allowed(what: &str, attempt: impl Fn() -> Result<Went>) -> Result<()> {
    let kernel = Kernel::new();
    ensure!(kernel.ipe().context("IPE is not active")?.is_enforcing()?, "IPE does not enforce");
    let went = attempt().with_context(|| what.to_owned())?;
    ensure!(went == Went::Through, "{what}: {went:?}");
    println!("{what}: allowed");
    Ok(())
}

/// Executes a program, which has to print just this if it runs.
pub(crate) fn execute(program: impl AsRef<Path>, says: &str) -> Result<Went> {
    let mut command = Command::new(program.as_ref());
    match command.output() {
        Err(error) => {
            let errno = Errno::from_io_error(&error);
            Ok(Went::Refused(errno.with_context(|| format!("{}: {error}", display(&command)))?))
        }
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stdout);
            ensure!(output.status.success() && said.trim_end() == says, "{}: {output:?}", display(&command));
            Ok(Went::Through)
        }
    }
}

/// Executes a program with another root directory, which has to print just this if it runs.
pub(crate) fn execute_in(root: &Path, words: &[&str], says: &str) -> Result<Went> {
    let mut command = Command::new(BUSYBOX);
    let output = attempt(command.arg("chroot").arg(root).args(words))?;
    let (said, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    // What busybox exits with, and says, when execve() is refused.
    if output.status.code() == Some(126) && error.contains("Permission denied") {
        return Ok(Went::Refused(Errno::ACCESS));
    }
    ensure!(output.status.success() && said.trim_end() == says, "{}: {output:?}", display(&command));
    Ok(Went::Through)
}

/// Makes an attack of `attacks/attack.c`.
pub(crate) fn attack(words: &[&str]) -> Result<Went> {
    /// What it exits with when the attack could not be made.
    const IMPOSSIBLE: i32 = 200;
    let mut command = Command::new(ATTACK);
    let output = attempt(command.args(words))?;
    match output.status.code() {
        Some(0) => Ok(Went::Through),
        Some(code) if code != IMPOSSIBLE => Ok(Went::Refused(Errno::from_raw_os_error(code))),
        _ => anyhow::bail!("{}: {output:?}", display(&command)),
    }
}
