//! Tools from crates.io that are compared with or that check the project, installed below target/.

use crate::packages::{self, Missing};
use anyhow::{Context, Result};
use sealpack_tests::oracle::{Algorithm, Cfsctl, install_crate};
use sealpack_tests::{command, debian, images, paths};
use std::process::Command;

/// `cargo xtask oracle`: cfsctl's digest of each fixture image, or why it refuses the image.
pub(crate) fn run() -> Result<()> {
    let cfsctl = install()?;
    packages::provide(&[debian::FOR_TESTS], Missing::InstallOrSay)?;
    for (name, build) in images::ALL {
        let image = build()?;
        for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
            let answer = cfsctl.image_digest(&image, algorithm).unwrap_or_else(|error| format!("{error:#}"));
            println!("{name} {} {answer}", algorithm.name());
        }
    }
    Ok(())
}

/// `cargo xtask fixtures`: builds all fixture images and says where they are.
pub(crate) fn fixtures() -> Result<()> {
    packages::provide(&[debian::FOR_TESTS], Missing::InstallOrSay)?;
    for (_, build) in images::ALL {
        let image = build()?;
        println!("{}", image.source());
        for layer in image.layer_blobs()? {
            println!("    {} bytes: {}", std::fs::metadata(&layer)?.len(), layer.display());
        }
    }
    Ok(())
}

/// Installs cfsctl, with the Debian packages that building it takes, unless it is there.
pub(crate) fn install() -> Result<Cfsctl> {
    if let Some(cfsctl) = Cfsctl::installed() {
        return Ok(cfsctl);
    }
    packages::provide(&[debian::FOR_ORACLE], Missing::InstallOrFail)?;
    eprintln!("# composefs-rs's cfsctl is built once, which takes some minutes");
    Cfsctl::install()
}

/// The version of cargo-deny that the configuration is written for.
const DENY_VERSION: &str = "0.20.2";

/// `cargo xtask deny`: bans, licences and sources. Advisories are not checked: their database is a git
/// repository, fetched at each run, and this must work where only the package registries can be reached.
pub(crate) fn deny() -> Result<()> {
    let program = paths::tools().join("bin/cargo-deny");
    let version = command::stdout(Command::new(&program).arg("--version")).unwrap_or_default();
    if !version.ends_with(DENY_VERSION) {
        eprintln!("# cargo-deny is built once, which takes some minutes");
        // Unoptimised it is built in half the time, and still checks in seconds.
        install_crate("cargo-deny", DENY_VERSION, &["--debug"])?;
    }
    let mut deny = Command::new(program);
    deny.args(["--workspace", "--locked", "check", "bans", "licenses", "sources"])
        .current_dir(paths::workspace());
    let status = deny.status().context("cannot start cargo-deny")?;
    anyhow::ensure!(status.success(), "cargo-deny found something");
    Ok(())
}
