//! A sealed host in an emulated machine: a Debian system with systemd in an ordinary OCI image, sealed, on a disk with UKI
//! and data partition, started by firmware with Secure Boot on and our own keys.
//!
//! What a boot needs, in its order: the [`image`], in it kernel and programs, and its seal; [`keys`] and firmware that
//! trusts them; the [`disk`]; the [`machine`]. In the booted system a service of the image, `sealpack-guest-probe`, runs
//! the [`checks`] that its [`task`] names, and reports with the lines of [`report`](crate::report).

pub mod build;
pub mod checks;
pub mod containers;
pub mod data;
pub mod demo;
pub mod esp;
pub mod figures;
pub mod fleet;
pub mod forge;
pub mod image;
pub mod keys;
pub mod machine;
pub mod page;
pub mod plain;
pub mod rescue;
pub mod run;
pub mod task;
pub mod updates;

use std::path::PathBuf;

/// Where everything about sealed hosts is kept.
pub fn place() -> PathBuf {
    crate::place().join("host")
}

/// What systemd-boot says when the firmware does not take a UKI.
const ACCESS_DENIED: &str = "Access denied";
