//! Files on the data partition of a disk, changed as somebody would who has the disk.

use anyhow::{Context, Result, ensure};
use sealpack_tests::command::{find, run, stdout};
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::process::Command;

/// The number of the partition in the table.
const PARTITION: usize = 2;

/// The packs, on the partition.
const PACKS: &str = "/store/packs/sha256";

/// Removes one of the packs.
///
/// # Errors
/// If there is none, or debugfs fails.
pub fn remove_a_pack(disk: &Path) -> Result<()> {
    let listed = debugfs(disk, &format!("ls -p {PACKS}"))?;
    // /INODE/MODE/USER/GROUP/NAME/SIZE/
    let mut names = listed.lines().filter_map(|line| line.split('/').nth(5));
    let pack = names.find(|name| name.ends_with(".pack")).with_context(|| format!("no packs in {listed}"))?;
    debugfs(disk, &format!("rm {PACKS}/{pack}"))?;
    ensure!(!debugfs(disk, &format!("ls -p {PACKS}"))?.contains(pack), "debugfs did not remove {pack}");
    Ok(())
}

/// Where a superblock is, behind the partition's start.
const SUPERBLOCK_BYTES: u64 = 1024;

/// Where it says how many inodes there are, behind its own start (`s_inodes_count`, fs/ext4/ext4.h).
const INODES_BYTES: u64 = 0;

/// Changes one byte of the superblock, so that its checksum is not right any more.
///
/// # Errors
/// If the disk cannot be changed.
pub fn damage(disk: &Path) -> Result<()> {
    let at = start_bytes(disk)? + SUPERBLOCK_BYTES + INODES_BYTES;
    let file = File::options().read(true).write(true).open(disk)?;
    let mut byte = [0];
    file.read_exact_at(&mut byte, at)?;
    Ok(file.write_all_at(&[!byte[0]], at)?)
}

/// Leaves not a block free.
///
/// # Errors
/// If debugfs fails.
pub fn fill(disk: &Path) -> Result<()> {
    debugfs(disk, "write /dev/null fill")?;
    let free = || -> Result<u64> {
        let told = debugfs(disk, "stats -h")?;
        let free = told.lines().find_map(|line| line.strip_prefix("Free blocks:"));
        Ok(free.with_context(|| format!("how many blocks are free is not in {told}"))?.trim().parse()?)
    };
    // The file's own map takes blocks too.
    for left in [64, 8] {
        let last = free()?.saturating_sub(1);
        // The second time what is before the first time's part.
        debugfs(disk, &format!("fallocate /fill {left} {last}"))?;
    }
    ensure!(free()? < 16, "{} blocks are free", free()?);
    Ok(())
}

fn debugfs(disk: &Path, request: &str) -> Result<String> {
    let debugfs = find("debugfs").context("debugfs is not installed")?;
    let partition = format!("{}?offset={}", disk.display(), start_bytes(disk)?);
    stdout(Command::new(debugfs).args(["-w", "-R", request]).arg(partition))
}

/// Where the partition begins.
fn start_bytes(disk: &Path) -> Result<u64> {
    let sfdisk = find("sfdisk").context("sfdisk is not installed")?;
    let table = run(Command::new(sfdisk).arg("--json").arg(disk))?.stdout;
    let table: serde_json::Value = serde_json::from_slice(&table)?;
    let start = table["partitiontable"]["partitions"][PARTITION - 1]["start"].as_u64();
    Ok(start.with_context(|| format!("there is no second partition: {table}"))? * 512)
}
