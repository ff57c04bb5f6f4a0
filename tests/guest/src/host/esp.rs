//! Files on the EFI system partition of a disk, changed as somebody would who has the disk and no key.

use anyhow::Result;
use sealpack_tests::command::{run, stdout};
use std::path::Path;
use std::process::Command;

/// Where the partition begins.
const START: &str = "1M";

/// The directory of UKIs.
const UKIS: &str = "EFI/Linux";

/// Puts a file there; directories on its way are made.
///
/// # Errors
/// If mtools fails.
pub fn put(disk: &Path, path: &str, file: &Path) -> Result<()> {
    let mut at = String::from("::");
    let directories = path.rsplit_once('/').map_or("", |(directories, _)| directories);
    for name in directories.split('/').filter(|name| !name.is_empty()) {
        at = format!("{at}/{name}");
        // One that is there is an error.
        let _ = stdout(mtools("mmd", disk).args(["-D", "s", &at]));
    }
    run(mtools("mcopy", disk).arg("-o").arg(file).arg(format!("::/{path}"))).map(drop)
}

/// Copies a file from there.
///
/// # Errors
/// If mtools fails.
pub fn get(disk: &Path, path: &str, file: &Path) -> Result<()> {
    run(mtools("mcopy", disk).args(["-n", &format!("::/{path}")]).arg(file)).map(drop)
}

/// Removes all UKIs.
///
/// # Errors
/// If mtools fails.
pub fn remove_ukis(disk: &Path) -> Result<()> {
    run(mtools("mdel", disk).arg(format!("::/{UKIS}/*.efi"))).map(drop)
}

/// Puts a UKI there under this name.
///
/// # Errors
/// If mtools fails.
pub fn put_uki(disk: &Path, name: &str, uki: &Path) -> Result<()> {
    put(disk, &format!("{UKIS}/{name}"), uki)
}

fn mtools(program: &str, disk: &Path) -> Command {
    let mut command = Command::new(program);
    command.arg("-i").arg(format!("{}@@{START}", disk.display()));
    command
}
