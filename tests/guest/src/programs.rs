//! Static programs of this workspace, to run in the guest.

use anyhow::Result;
use sealpack_tests::command::run;
use sealpack_tests::paths;
use std::path::PathBuf;
use std::process::Command;

/// The target that the C library can be linked statically for without installing another toolchain.
const TARGET: &str = "x86_64-unknown-linux-gnu";

/// The programs that go into the guest.
#[derive(Clone, Debug)]
pub struct Programs {
    /// Its first process.
    pub init: PathBuf,
    /// `sealpack`.
    pub sealpack: PathBuf,
    /// A sealed host's first process, and its broker.
    pub host_init: PathBuf,
    /// What runs checks in a booted sealed host.
    pub probe: PathBuf,
    /// What serves containerd there.
    pub snapshotter: PathBuf,
}

/// Builds them.
///
/// # Errors
/// If they do not compile.
pub fn build() -> Result<Programs> {
    build_as("guest")
}

/// Builds them as users have them, for figures.
///
/// # Errors
/// If they do not compile.
pub fn build_release() -> Result<Programs> {
    build_as("release")
}

/// Builds them in a profile whose directory is called as it is.
fn build_as(profile: &str) -> Result<Programs> {
    let mut cargo = Command::new("cargo");
    cargo
        .args(["build", "--quiet", "--profile", profile, "--target", TARGET])
        .args([
            "--package",
            "sealpack",
            "--package",
            "sealpack-init",
            "--package",
            "sealpack-snapshotter",
            "--package",
            "sealpack-guest",
            "--bins",
        ])
        .args(["--config", &format!("target.{TARGET}.rustflags = ['-Ctarget-feature=+crt-static']")])
        .env_remove("RUSTFLAGS")
        .current_dir(paths::workspace());
    run(&mut cargo)?;
    let dir = paths::target().join(TARGET).join(profile);
    Ok(Programs {
        init: dir.join("sealpack-guest-init"),
        sealpack: dir.join("sealpack"),
        host_init: dir.join("sealpack-init"),
        probe: dir.join("sealpack-guest-probe"),
        snapshotter: dir.join("sealpack-snapshotter"),
    })
}
