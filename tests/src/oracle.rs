//! composefs-rs's command line `cfsctl`, the oracle for the digests of metadata images and the peer to measure.

use crate::command::{run, stdout};
use crate::images::Image;
use crate::paths;
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The version that is compared with. A newer one may define digests anew.
pub const VERSION: &str = "0.9.4";

/// The fs-verity algorithm of a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// SHA-256 over blocks of 4 KiB.
    Sha256,
    /// SHA-512 over blocks of 4 KiB.
    Sha512,
}

impl Algorithm {
    /// The name that `sealpack --digest` takes.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
        }
    }
}

/// An installed `cfsctl`.
#[derive(Clone, Debug)]
pub struct Cfsctl {
    program: PathBuf,
}

impl Cfsctl {
    /// The one that [`Cfsctl::install`] put under the target directory, if it is there.
    pub fn installed() -> Option<Self> {
        let program = paths::tools().join("bin/cfsctl");
        let version = stdout(Command::new(&program).arg("--version")).ok()?;
        version.split_whitespace().any(|word| word == VERSION).then_some(Self { program })
    }

    /// Builds it from crates.io unless it is there: five minutes on two cores.
    ///
    /// # Errors
    /// If cargo fails; what it says is on standard error.
    pub fn install() -> Result<Self> {
        if let Some(installed) = Self::installed() {
            return Ok(installed);
        }
        install_crate("composefs-ctl", VERSION, &["--no-default-features", "--features", "oci,pre-6.15"])?;
        Self::installed().context("cargo installed composefs-ctl, but its cfsctl does not run")
    }

    /// The fs-verity digest of the metadata image that composefs-rs makes of `image`, in hex.
    ///
    /// # Errors
    /// If cfsctl refuses the image; its message is in the error.
    pub fn image_digest(&self, image: &Image, algorithm: Algorithm) -> Result<String> {
        self.digest_of_source(&image.source(), algorithm, "allowlist-only")
    }

    /// As [`Cfsctl::image_digest`], of an image in a layout (`oci:DIR:TAG`), with one of its rules for xattrs:
    /// `allowlist-only` or `keep-user-xattrs`.
    ///
    /// # Errors
    /// If cfsctl refuses the image; its message is in the error.
    pub fn digest_of_source(&self, source: &str, algorithm: Algorithm, xattrs: &str) -> Result<String> {
        let repository = tempfile::tempdir_in(paths::fixtures())?;
        let repository = repository.path().join("repository");
        run(&mut self.init(&repository, algorithm))?;
        run(self.command(&repository).args(["oci", "pull", source, "image"]))?;
        let mut compute = self.command(&repository);
        compute.args(["oci", "compute-id", "image", "--xattrs", xattrs]);
        stdout(&mut compute)
    }

    /// The command that makes an empty repository; without fs-verity, which the filesystem may not have.
    pub fn init(&self, repository: &Path, algorithm: Algorithm) -> Command {
        let mut command = self.command(repository);
        command.args(["init", "--insecure", "--algorithm", &format!("fsverity-{}-12", algorithm.name())]);
        command
    }

    /// The command that pulls `image` from its layout.
    pub fn pull(&self, repository: &Path, image: &Image) -> Command {
        let mut command = self.command(repository);
        command.args(["oci", "pull", &image.source(), image.tag()]);
        command
    }

    /// The command that prints its version, and does nothing else.
    pub fn version_command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("--version");
        command
    }

    /// A command on a repository, to be continued.
    pub fn command(&self, repository: &Path) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("--repo").arg(repository).env("RUST_BACKTRACE", "0");
        command
    }
}

/// Installs the programs of a crate under the target directory, with these options of `cargo install`.
///
/// # Errors
/// If cargo fails; what it says is on standard error.
pub fn install_crate(name: &str, version: &str, options: &[&str]) -> Result<()> {
    let tools = paths::tools();
    let mut cargo = Command::new("cargo");
    cargo
        .args(["install", &format!("{name}@{version}"), "--locked", "--root"])
        .arg(&tools)
        .arg("--target-dir")
        .arg(tools.join("build"))
        .args(options)
        .stdin(Stdio::null());
    let status = cargo.status().context("cannot start cargo")?;
    anyhow::ensure!(status.success(), "{} ended with {status}", crate::command::display(&cargo));
    // The programs stay; what was needed to build them takes a gigabyte.
    match std::fs::remove_dir_all(tools.join("build")) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}
