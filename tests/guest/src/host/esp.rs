//! Files on the EFI system partition of a disk, changed as somebody would who has the disk and no key.

use anyhow::Result;
use sealpack_tests::command::{run, stdout};
use std::fs::File;
use std::os::unix::fs::FileExt as _;
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

/// Has the two tables differ, by a cluster that belongs to no file (FAT32: the reserved sectors at 14, a table's at 36).
///
/// # Errors
/// If the disk cannot be changed.
pub fn damage(disk: &Path) -> Result<()> {
    let file = File::options().read(true).write(true).open(disk)?;
    let start = 1 << 20;
    let number = |at: u64| -> Result<u64> {
        let mut bytes = [0; 4];
        file.read_exact_at(&mut bytes, start + at)?;
        Ok(u64::from(u32::from_le_bytes(bytes)))
    };
    let (reserved, table) = ((number(14)? & 0xffff) * 512, number(36)? * 512);
    // Half of it is far behind what is used.
    let entry = table / 2 / 4 * 4;
    Ok(file.write_all_at(&0x0fff_ffff_u32.to_le_bytes(), start + reserved + entry)?)
}
