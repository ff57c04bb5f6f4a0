//! What comes to a host after it was made: an image with one program, and policies, of which one revokes its pack.

use super::build::{POLICY, Workshop};
use super::esp;
use crate::keys::Key;
use anyhow::{Context, Result};
use sealpack_tests::images;
use sealpack_tests::layer_tar::{Entry, Member, archive};
use sealpack_tests::layout::Packing;
use std::fs;
use std::path::Path;

/// What the image is called.
pub const TOOL: &str = "sealpack.test/tool:1";

/// The program in it, and what it prints.
pub const PROGRAM: &str = "tool";
/// What that prints.
pub const SAYS: &str = "the tool runs";

/// Where the policies are on the EFI system partition.
const DIRECTORY: &str = "policies";

/// A policy that is offered to the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Update {
    /// A higher version, which revokes the image's pack.
    Revoking,
    /// One that is older than what the host was started with.
    Older,
    /// A higher version that somebody signed whom nobody knows.
    Unknown,
    /// One of another name.
    Other,
    /// One that revokes what the host is started from.
    LockingOut,
}

impl Update {
    /// All.
    pub const ALL: [Self; 5] = [Self::Revoking, Self::Older, Self::Unknown, Self::Other, Self::LockingOut];

    const fn name(self) -> &'static str {
        match self {
            Self::Revoking => "revoking",
            Self::Older => "older",
            Self::Unknown => "unknown",
            Self::Other => "other",
            Self::LockingOut => "locking-out",
        }
    }

    /// Its version; the host is started with 1.0.0.
    pub const fn version(self) -> &'static str {
        match self {
            Self::Revoking | Self::Other => "1.0.1",
            Self::Older => "0.9.9",
            Self::Unknown => "1.0.2",
            Self::LockingOut => "1.0.3",
        }
    }

    const fn policy(self) -> &'static str {
        match self {
            Self::Other => "another",
            _ => POLICY,
        }
    }

    /// The file in the booted host.
    pub fn file(self) -> String {
        format!("/efi/{DIRECTORY}/{}.p7b", self.name())
    }
}

/// Makes the image and brings it, sealed, into the store.
///
/// # Errors
/// If `sealpack` fails.
pub fn make_tool(workshop: &Workshop) -> Result<()> {
    // Larger than what is kept inside the metadata image.
    let script = format!("#!/bin/sh\necho '{SAYS}'\n{}\n", "#".repeat(100));
    let layer = archive(&[Entry::new(PROGRAM, Member::File(script.into_bytes())).mode(0o755)]);
    let image = images::at(&workshop.file("tool"), &[(layer, Packing::Gzip)])?;
    workshop.sealpack(&["pull", "--objects", "packs", &image.source(), "--name", TOOL])?;
    workshop.seal(TOOL)
}

/// Puts the policies onto the EFI system partition of a disk.
///
/// # Errors
/// If `sealpack` or mtools fails.
pub fn put_policies(workshop: &Workshop, disk: &Path) -> Result<()> {
    let pack = pack_of(workshop, TOOL)?;
    let hosts = pack_of(workshop, super::build::IMAGE)?;
    for update in Update::ALL {
        let text = workshop.file(&format!("{}.policy", update.name()));
        let signed = workshop.file(&format!("{}.p7b", update.name()));
        let revoked = match update {
            Update::LockingOut => &hosts,
            _ => &pack,
        };
        let (text, out) = (text.to_str().context("an odd path")?, signed.to_str().context("an odd path")?);
        let new = ["policy", "new", "host", "--name", update.policy(), "--version", update.version()];
        workshop.sealpack(&[&new[..], &["--revoke", revoked, "--force", "--output", text]].concat())?;
        let key = match update {
            Update::Unknown => &Key::unknown()?,
            _ => &workshop.keys().policy,
        };
        workshop.sealpack_signing(&["policy", "sign", text, "--force", "--output", out], key)?;
        esp::put(disk, &format!("{DIRECTORY}/{}.p7b", update.name()), &signed)?;
    }
    Ok(())
}

/// The root hash of an image's first pack.
fn pack_of(workshop: &Workshop, image: &str) -> Result<String> {
    let shown = workshop.json(&["inspect", image])?;
    let hash = shown["layers"][0]["pack"]["root_hash"].as_str();
    hash.map(str::to_owned).with_context(|| format!("no pack in {shown}"))
}

/// Whether a host has these files at all.
///
/// # Errors
/// If they are not there.
pub fn require_policies() -> Result<()> {
    Update::ALL.iter().try_for_each(|update| {
        fs::metadata(update.file()).map(drop).with_context(|| format!("no {}", update.file()))
    })
}
