//! Files on the data partition of a disk, changed as somebody would who has the disk.

use anyhow::{Context, Result, ensure};
use sealpack_tests::command::{find, run, stdout};
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
