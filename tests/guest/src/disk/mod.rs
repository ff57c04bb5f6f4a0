//! The guest's disk: ext4 with fs-verity, and on it what the checks work with.
//!
//! | path | what |
//! | --- | --- |
//! | `tools/device` | the programs that the checks are made of, on a device that the trusted key signed |
//! | `layouts/busybox`, `layouts/oddities` | fixture images, tag `latest` |
//! | `signed/device` | EROFS, then dm-verity's superblock and tree |
//! | `signed/root-hash`, `signed/data-blocks` | the device's, as text |
//! | `signed/{trusted,unknown,extra}.p7s` | signatures of the root hash |
//! | `signed/other.p7s` | the trusted key's signature of another root hash |
//! | `keys/extra.der` | the certificate of a key that the firmware does not know |
//! | `policies/*` | IPE policies, signed and not |
//! | `attacks/program`, `attacks/preload.so`, `attacks/module.ko` | a program, a library and a module that nobody signed |

mod device;
mod policies;

use crate::kernels::Kernel;
use crate::keys::Key;
use crate::programs::Programs;
use crate::{attacks, images as small_images};
use anyhow::{Context, Result};
use sealpack_tests::command::run;
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
pub fn write(kernel: &Kernel, programs: &Programs, target: &Path) -> Result<()> {
    let dir = tempfile::tempdir_in(crate::place())?;
    let content = dir.path().join("content");
    for part in ["tools", "layouts", "signed", "keys", "policies", "attacks"] {
        fs::create_dir_all(content.join(part))?;
    }
    for (name, image) in [("busybox", images::busybox()?), ("oddities", images::oddities()?)] {
        let mut copy = Command::new("cp");
        run(copy.arg("--recursive").arg(image.dir()).arg(content.join("layouts").join(name)))?;
    }
    attacks::program(&content.join("attacks/program"))?;
    attacks::library(&content.join("attacks/preload.so"))?;
    let module = fs::read(kernel.spare_module())?;
    fs::write(content.join("attacks/module.ko"), crate::modules::without_signature(&module)?)?;
    write_tools(programs, dir.path(), &content)?;
    write_device(dir.path(), &content.join("signed"))?;
    Key::extra()?.certificate_der(&content.join("keys/extra.der"))?;
    policies::write(&content.join("policies"))?;
    let mut mkfs =
        Command::new(sealpack_tests::command::find("mkfs.ext4").context("mkfs.ext4 is not installed")?);
    mkfs.args(["-q", "-F", "-O", "verity", "-b", "4096", "-d"]).arg(&content).arg(target).arg("512M");
    if target.exists() {
        fs::remove_file(target)?;
    }
    run(&mut mkfs).map(drop)
}

/// What runs once a policy decides what may.
fn write_tools(programs: &Programs, work: &Path, content: &Path) -> Result<()> {
    let tree = work.join("tools");
    let bin = tree.join("bin");
    fs::create_dir_all(&bin)?;
    let busybox = sealpack_tests::command::find("busybox").context("busybox is not installed")?;
    for (name, program) in [
        ("sealpack-guest-init", programs.init.as_path()),
        ("sealpack", &programs.sealpack),
        ("busybox", &busybox),
        ("attack", &content.join("attacks/program")),
    ] {
        fs::copy(program, bin.join(name)).with_context(|| format!("cannot copy {}", program.display()))?;
    }
    for (name, image) in small_images::pair(&work.join("images"))? {
        let root = tree.join("images").join(name);
        fs::create_dir_all(&root)?;
        for blob in image.layer_blobs()? {
            run(Command::new("tar").arg("-xf").arg(blob).arg("-C").arg(&root))?;
        }
        run(Command::new("cp").arg("-a").arg(&root).arg(content.join("layouts").join(name)))?;
    }
    device::write(&tree, &content.join("tools"))
}

fn write_device(work: &Path, target: &Path) -> Result<()> {
    let tree = work.join("tree");
    fs::create_dir(&tree)?;
    fs::write(tree.join("text"), SIGNED_TEXT.repeat(SIGNED_TEXT_REPEATED))?;
    device::write(&tree, target)?;
    let root_hash = target.join("root-hash");
    for (name, key) in [("unknown", Key::unknown()?), ("extra", Key::extra()?)] {
        key.sign_detached(&root_hash, &target.join(format!("{name}.p7s")))?;
    }
    let other = work.join("other-root-hash");
    fs::write(&other, "00".repeat(32))?;
    Key::trusted()?.sign_detached(&other, &target.join("other.p7s"))
}
