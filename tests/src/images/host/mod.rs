//! The system of a sealed host's image: Debian 13 with systemd and what such an image has to have, but for the kernel
//! and Sealpack itself, which are layers of their own over it.

use super::cached;
use crate::{bootstrap, tree_diff};
use anyhow::Result;
use std::path::PathBuf;

/// The release: the first whose systemd, stub and boot loader can do what a sealed host needs.
pub const RELEASE: &str = "trixie";

/// The packages, besides those that Debian calls essential.
pub const PACKAGES: &[&str] = &[
    "dbus",
    "dmsetup",
    "kmod",
    "libpam-systemd",
    "openssh-server",
    "python3",
    "systemd",
    "systemd-boot",
    "systemd-boot-efi",
    "systemd-sysv",
    "udev",
];

/// What is run in it by sh after the installation.
pub const SETUP: &str = include_str!("setup.sh");

/// The system as one layer, a file of tar. Needs the superuser and a minute, the first time.
///
/// # Errors
/// If it is not there yet and cannot be built: not root, tools missing, archive not reachable.
pub fn layer() -> Result<PathBuf> {
    let image = cached("host", &stamp(), |dir| {
        let root = tempfile::Builder::new().prefix("work-").tempdir_in(crate::paths::fixtures())?;
        let root = root.path().join("root");
        bootstrap::release(RELEASE, PACKAGES, SETUP, &root)?;
        tree_diff::write_layer(None, &root, &dir.join("layer.tar"))
    })?;
    Ok(image.dir.join("layer.tar"))
}

/// Changes when the layer has to be built anew.
pub fn stamp() -> String {
    format!("1 {RELEASE} {PACKAGES:?} {SETUP}")
}
