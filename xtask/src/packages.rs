//! Debian packages: installed where that is allowed, named where it is not.

use anyhow::{Result, bail};
use sealpack_tests::{command, debian, debian::Package};

/// What to do about packages that are missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Missing {
    /// Install them when root; print the line that would otherwise, and go on.
    InstallOrSay,
    /// As before, but without them there is nothing to go on with.
    InstallOrFail,
    /// Print the line and go on.
    Say,
}

/// Sees to it that `packages` are there, and says what it does.
pub(crate) fn provide(packages: &[&[Package]], missing: Missing) -> Result<()> {
    provide_by(packages, missing, debian::install)
}

/// As [`provide`] for what the guest needs, some of which may be in the release's backports only.
pub(crate) fn provide_for_guest(missing: Missing) -> Result<()> {
    provide_by(&[debian::FOR_GUEST, debian::FOR_HOST], missing, debian::install_with_backports)
}

fn provide_by(
    packages: &[&[Package]],
    missing: Missing,
    install: impl Fn(&[Package]) -> Result<()>,
) -> Result<()> {
    let wanted: Vec<Package> = packages.iter().flat_map(|group| debian::missing(group)).collect();
    if wanted.is_empty() {
        return Ok(());
    }
    let line = debian::install_line(&wanted);
    if missing != Missing::Say && command::is_root() && command::find("apt-get").is_some() {
        eprintln!("# {line}");
        return install(&wanted);
    }
    eprintln!("Not installed, and needed here:");
    for package in &wanted {
        eprintln!("  {:16} {}", package.name, package.purpose);
    }
    eprintln!("This installs them:\n  sudo {line}");
    if missing == Missing::InstallOrFail {
        bail!("{} packages are missing", wanted.len());
    }
    Ok(())
}
