//! The guest's disk: ext4 with fs-verity, and on it what the checks work with.
//!
//! | path | what |
//! | --- | --- |
//! | `layouts/busybox`, `layouts/oddities` | fixture images, tag `latest` |
//! | `signed/device` | EROFS, then dm-verity's superblock and tree |
//! | `signed/root-hash`, `signed/data-blocks` | the device's, as text |
//! | `signed/{trusted,unknown,extra}.p7s` | signatures of the root hash |
//! | `signed/other.p7s` | the trusted key's signature of another root hash |
//! | `keys/extra.der` | the certificate of a key that the firmware does not know |
//! | `policies/*` | IPE policies that allow everything, signed and not |

use crate::keys::Key;
use anyhow::{Context, Result};
use sealpack_tests::command::{run, stdout};
use sealpack_tests::images;
use std::fs;
use std::path::Path;
use std::process::Command;

/// A text in the filesystem of `signed/device`, at `text`, long enough not to be inline.
pub const SIGNED_TEXT: &str = "Only what was signed is read from here. ";

/// How often [`SIGNED_TEXT`] is repeated: a file of several blocks.
pub const SIGNED_TEXT_REPEATED: usize = 1000;

/// Writes the disk.
///
/// # Errors
/// If a fixture image or a tool is missing.
pub fn write(target: &Path) -> Result<()> {
    let dir = tempfile::tempdir_in(crate::place())?;
    let content = dir.path().join("content");
    for part in ["layouts", "signed", "keys", "policies"] {
        fs::create_dir_all(content.join(part))?;
    }
    for (name, image) in [("busybox", images::busybox()?), ("oddities", images::oddities()?)] {
        let mut copy = Command::new("cp");
        run(copy.arg("--recursive").arg(image.dir()).arg(content.join("layouts").join(name)))?;
    }
    write_device(dir.path(), &content.join("signed"))?;
    Key::extra()?.certificate_der(&content.join("keys/extra.der"))?;
    write_policies(&content.join("policies"))?;
    let mut mkfs =
        Command::new(sealpack_tests::command::find("mkfs.ext4").context("mkfs.ext4 is not installed")?);
    mkfs.args(["-q", "-F", "-O", "verity", "-b", "4096", "-d"]).arg(&content).arg(target).arg("256M");
    if target.exists() {
        fs::remove_file(target)?;
    }
    run(&mut mkfs).map(drop)
}

fn write_device(work: &Path, target: &Path) -> Result<()> {
    let (tree, device) = (work.join("tree"), target.join("device"));
    fs::create_dir(&tree)?;
    fs::write(tree.join("text"), SIGNED_TEXT.repeat(SIGNED_TEXT_REPEATED))?;
    run(Command::new("mkfs.erofs").arg(&device).arg(&tree))?;
    let data_blocks = fs::metadata(&device)?.len().div_ceil(4096);
    fs::File::options().write(true).open(&device)?.set_len(data_blocks * 4096)?;
    let mut veritysetup =
        Command::new(sealpack_tests::command::find("veritysetup").context("veritysetup is not installed")?);
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
    let keys = [("trusted", Key::trusted()?), ("unknown", Key::unknown()?), ("extra", Key::extra()?)];
    for (name, key) in &keys {
        key.sign_detached(&target.join("root-hash"), &target.join(format!("{name}.p7s")))?;
    }
    let other = work.join("other-root-hash");
    fs::write(&other, "00".repeat(32))?;
    keys[0].1.sign_detached(&other, &target.join("other.p7s"))
}

fn write_policies(target: &Path) -> Result<()> {
    let (trusted, unknown) = (Key::trusted()?, Key::unknown()?);
    for (file, name, version) in [
        ("first", "sealpack-test", "1.0.0"),
        ("second", "sealpack-test", "1.0.1"),
        ("older", "sealpack-older", "0.9.0"),
    ] {
        let (text, signed) = (target.join(format!("{file}.txt")), target.join(format!("{file}.p7b")));
        fs::write(&text, format!("policy_name={name} policy_version={version}\nDEFAULT action=ALLOW\n"))?;
        trusted.sign_embedded(&text, &signed)?;
    }
    unknown.sign_embedded(&target.join("first.txt"), &target.join("unknown.p7b"))
}
