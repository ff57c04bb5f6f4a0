//! Filesystems on dm-verity devices, in one file each, with signatures of their root hashes.

use crate::keys::Key;
use anyhow::{Context, Result};
use sealpack_tests::command::{find, run, stdout};
use std::fs;
use std::path::Path;
use std::process::Command;

/// Makes `target/device`, an EROFS of `tree` with dm-verity's superblock and tree behind it, and beside it
/// `root-hash`, `data-blocks` and `trusted.p7s`, the trusted key's signature.
pub(super) fn write(tree: &Path, target: &Path) -> Result<()> {
    let device = target.join("device");
    run(Command::new("mkfs.erofs").args(["-x", "-1", "--all-root"]).arg(&device).arg(tree))?;
    let data_blocks = fs::metadata(&device)?.len().div_ceil(4096);
    fs::File::options().write(true).open(&device)?.set_len(data_blocks * 4096)?;
    let mut veritysetup = Command::new(find("veritysetup").context("veritysetup is not installed")?);
    veritysetup
        .args(["format", "--salt=-", "--data-block-size=4096", "--hash-block-size=4096"])
        .arg(format!("--data-blocks={data_blocks}"))
        .arg(format!("--hash-offset={}", data_blocks * 4096))
        .args([&device, &device]);
    let said = stdout(&mut veritysetup)?;
    let root_hash = said
        .lines()
        .find_map(|line| line.strip_prefix("Root hash:"))
        .context("veritysetup prints no root hash")?
        .trim();
    fs::write(target.join("root-hash"), root_hash)?;
    fs::write(target.join("data-blocks"), data_blocks.to_string())?;
    Key::trusted()?.sign_detached(&target.join("root-hash"), &target.join("trusted.p7s"))
}
