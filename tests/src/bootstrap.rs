//! Root directories of real Debian systems, built with mmdebstrap from the archives that apt on this host uses.

use crate::command::{self, quote, run, run_with_input};
use crate::debian;
use crate::tree_diff::EPOCH_SECONDS;
use anyhow::{Context, Result};
use std::io::{Seek, Write};
use std::path::Path;
use std::process::Command;

/// Builds a minimal system at `root`, which must not exist or be empty. Needs the superuser.
///
/// # Errors
/// If mmdebstrap is absent or fails; its log is in the message.
pub fn base(root: &Path) -> Result<()> {
    let mut sources = tempfile::tempfile()?;
    sources.write_all(debian::sources()?.as_bytes())?;
    sources.rewind()?;
    let mut command = mmdebstrap()?;
    command.args(["--variant=minbase", FORGET_HOST]).arg(debian::codename()?).arg(root).arg("-");
    run_with_input(&mut command, sources).context("the base system was not built").map(drop)
}

/// Builds at `root` the Debian release of that codename with `packages`, and then runs `script` in it by sh.
///
/// # Errors
/// As [`base`].
pub fn release(codename: &str, packages: &[&str], script: &str, root: &Path) -> Result<()> {
    release_for(codename, &[], packages, script, root)
}

/// As [`release`], for these architectures, this machine's first; none, for that one alone.
///
/// # Errors
/// As [`base`].
pub fn release_for(
    codename: &str,
    architectures: &[&str],
    packages: &[&str],
    script: &str,
    root: &Path,
) -> Result<()> {
    let source = format!("deb {} {codename} main", debian::archive_uri()?);
    let mut command = mmdebstrap()?;
    // mmdebstrap would empty /etc/machine-id after the script.
    command.args(["--variant=minbase", "--skip=cleanup/reproducible", FORGET_HOST]);
    command.arg(format!("--include={}", packages.join(",")));
    if !architectures.is_empty() {
        command.arg(format!("--architectures={}", architectures.join(",")));
    }
    command.arg(format!("--customize-hook=chroot \"$1\" sh -euc {}", quote(script)));
    command.arg(codename).arg(root).arg(source);
    run(&mut command).with_context(|| format!("the system of {codename} was not built")).map(drop)
}

/// Builds at `root` a copy of the system at `base` with `packages` installed and then `script` run in it by sh.
///
/// # Errors
/// As [`base`].
pub fn extend(base: &Path, root: &Path, packages: &[&str], script: &str) -> Result<()> {
    // mmdebstrap makes /dev itself.
    let copy = format!(
        r#"tar --directory {} --exclude='./dev/*' --xattrs --xattrs-include='*' --create . |
           tar --directory "$1" --xattrs --xattrs-include='*' --extract"#,
        quote(&base.to_string_lossy())
    );
    let install = format!(
        r#"chroot "$1" apt-get install --yes --quiet --no-install-recommends {}"#,
        packages.join(" ")
    );
    let mut command = mmdebstrap()?;
    command
        .args(["--variant=custom", "--skip=check/empty"])
        .arg(format!("--setup-hook={copy}"))
        .arg(format!("--customize-hook={install}"))
        .arg(format!("--customize-hook=chroot \"$1\" sh -euc {}", quote(script)))
        .args([FORGET_HOST, ""])
        .arg(root);
    run(&mut command).with_context(|| format!("the system with {packages:?} was not built")).map(drop)
}

/// What an image must not have of this host: how it reaches the archives, its resolver, its name.
const FORGET_HOST: &str =
    r#"--customize-hook=rm -f "$1"/etc/apt/apt.conf.d/99mmdebstrap "$1"/etc/resolv.conf "$1"/etc/hostname"#;

fn mmdebstrap() -> Result<Command> {
    anyhow::ensure!(command::is_root(), "building a Debian system needs the superuser");
    let mut command = Command::new("mmdebstrap");
    command.args(["--mode=root", "--format=directory"]).env("SOURCE_DATE_EPOCH", EPOCH_SECONDS.to_string());
    for line in debian::acquire_options()?.lines() {
        command.arg(format!("--aptopt={line}"));
    }
    Ok(command)
}
