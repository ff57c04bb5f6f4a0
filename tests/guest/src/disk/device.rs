//! Filesystems on dm-verity devices, in one file each, with signatures of their root hashes.

use crate::keys::Key;
use anyhow::{Context, Result};
use sealpack_format::pack;
use sealpack_tests::command::{find, run, stdout};
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;

/// Makes `target/device`, an EROFS of `tree` with dm-verity's superblock and tree behind it, and beside it
/// `root-hash`, `data-blocks` and `trusted.p7s`, the trusted key's signature.
pub(super) fn write(tree: &Path, target: &Path) -> Result<()> {
    run(mkfs().arg(target.join("device")).arg(tree))?;
    seal(target)
}

/// As [`write`], but all contents of files are on a second device, `target/blob`, which nothing verifies. As far as
/// its name tells, the device is a pack.
pub(super) fn write_with_slot(tree: &Path, target: &Path) -> Result<()> {
    let device = target.join("device");
    let blob = format!("--blobdev={}", target.join("blob").display());
    run(mkfs().args(["--chunksize=4096", &blob]).arg(&device).arg(tree))?;
    let file = fs::File::options().write(true).open(&device)?;
    // Nothing else is there: the superblock begins at 1024.
    file.write_all_at(pack::VERSION_NAME.as_bytes(), 0)?;
    seal(target)
}

fn mkfs() -> Command {
    let mut mkfs = Command::new("mkfs.erofs");
    mkfs.args(["-x", "-1", "--all-root"]);
    mkfs
}

fn seal(target: &Path) -> Result<()> {
    let device = target.join("device");
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
