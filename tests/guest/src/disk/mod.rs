//! The guest's disk: ext4 with fs-verity, and on it what the checks work with.
//!
//! | path | what |
//! | --- | --- |
//! | `tools/device` | the programs that the checks are made of, on a device that the trusted key signed |
//! | `layouts/{busybox,oddities,one,two}` | fixture images, tag `latest` |
//! | `sealed/store` | images in packs, pulled from a registry with the seals that the trusted key published there |
//! | `trust` | a trust store with the trusted key's certificate |
//! | `pulled/store` | for the demo: what it pulled before |
//! | `unknown/store`, `unsealed/store` | images in packs, sealed by the unknown key, by nobody |
//! | `signed/device` | EROFS, then dm-verity's superblock and tree |
//! | `signed/root-hash`, `signed/data-blocks` | the device's, as text |
//! | `rotation/store` | images in packs, `one` sealed by the retiring key, `two` by that and the succeeding one |
//! | `signed/{trusted,unknown,extra,next}.p7s` | signatures of the root hash |
//! | `signed/other.p7s` | the trusted key's signature of another root hash |
//! | `slot/*` | such a device with a slot for a second one, `slot/blob`, where the contents are |
//! | `small` | another ext4 with fs-verity, empty, in a file |
//! | `keys/{extra,next}.der` | certificates of keys that the firmware does not know |
//! | `keys/{rsa2048,rsa3072,rsa4096,p256,p384}.{key,pem}` | keys that the firmware knows, with their certificates |
//! | `policies/*` | IPE policies, signed and not |
//! | `attacks/program`, `attacks/preload.so`, `attacks/module.ko` | a program, a library and a module that nobody signed |

mod device;
mod policies;
mod published;
mod sealed;

pub use policies::{RULES, TOO_MANY_RULES};

use crate::kernels::Kernel;
use crate::keys::{KINDS, Key};
use crate::programs::Programs;
use crate::{attacks, images as small_images};
use anyhow::{Context, Result};
use sealpack_tests::command::run;
use sealpack_tests::images;
use std::fs;
use std::path::Path;
use std::process::Command;

/// What the demo's image is called in the store that it pulled.
pub const PYTHON: &str = "demo/python:1";

/// A text in the filesystem of `signed/device`, at `text`, long enough not to be inline.
pub const SIGNED_TEXT: &str = "Only what was signed is read from here. ";

/// How often [`SIGNED_TEXT`] is repeated: a file of several blocks.
pub const SIGNED_TEXT_REPEATED: usize = 1000;

/// Writes the disk, with a copy of the store `pulled` if there is one.
///
/// # Errors
/// If a fixture image or a tool is missing.
pub fn write(kernel: &Kernel, programs: &Programs, pulled: Option<&Path>, target: &Path) -> Result<()> {
    let dir = tempfile::tempdir_in(crate::place())?;
    let content = dir.path().join("content");
    for part in ["tools", "layouts", "signed", "slot", "keys", "policies", "attacks"] {
        fs::create_dir_all(content.join(part))?;
    }
    let small = small_images::pair(&dir.path().join("images"))?;
    let fixtures = [("busybox", images::busybox()?), ("oddities", images::oddities()?)];
    for (name, image) in fixtures.iter().chain(&small) {
        copy(image.dir(), &content.join("layouts").join(name))?;
    }
    if let Some(store) = pulled {
        fs::create_dir_all(content.join("pulled"))?;
        copy(store, &content.join("pulled/store"))?;
    }
    sealed::write(programs, &small, &content)?;
    attacks::program(&content.join("attacks/program"))?;
    attacks::library(&content.join("attacks/preload.so"))?;
    let module = fs::read(kernel.spare_module())?;
    fs::write(content.join("attacks/module.ko"), crate::modules::without_signature(&module)?)?;
    write_tools(programs, dir.path(), &content)?;
    write_device(dir.path(), &content.join("signed"))?;
    let slot = dir.path().join("slot");
    fs::create_dir(&slot)?;
    fs::copy(content.join("attacks/program"), slot.join("program"))?;
    device::write_with_slot(&slot, &content.join("slot"))?;
    Key::extra()?.certificate_der(&content.join("keys/extra.der"))?;
    Key::next()?.certificate_der(&content.join("keys/next.der"))?;
    for kind in KINDS {
        let key = Key::of_kind(kind, programs)?;
        for (file, suffix) in [(key.key(), "key"), (key.certificate(), "pem")] {
            fs::copy(file, content.join(format!("keys/{kind}.{suffix}")))?;
        }
    }
    policies::write(programs, dir.path(), &small[0].1, &content.join("policies"))?;
    let small = dir.path().join("small");
    fs::create_dir(&small)?;
    make_filesystem(&small, &content.join("small"), SMALL_BYTES)?;
    let size_bytes = used_bytes(&content)? * 11 / 10 + ROOM_BYTES;
    make_filesystem(&content, target, size_bytes)
}

fn copy(source: &Path, target: &Path) -> Result<()> {
    run(Command::new("cp").arg("--archive").arg(source).arg(target)).map(drop)
}

/// Of a filesystem that can be searched block by block.
const SMALL_BYTES: u64 = 32 * 1024 * 1024;

/// Room for what checks write (stores of files, copies of programs) beside a tenth for inodes and the like.
const ROOM_BYTES: u64 = 256 * 1024 * 1024;

fn make_filesystem(content: &Path, target: &Path, size_bytes: u64) -> Result<()> {
    let mkfs = sealpack_tests::command::find("mkfs.ext4").context("mkfs.ext4 is not installed")?;
    if target.exists() {
        fs::remove_file(target)?;
    }
    let mut command = Command::new(mkfs);
    command.args(["-q", "-F", "-O", "verity", "-b", "4096", "-d"]).arg(content).arg(target);
    run(command.arg(format!("{}k", size_bytes / 1024))).map(drop)
}

/// The sizes of all files below `dir`, in whole blocks.
fn used_bytes(dir: &Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(dir).with_context(|| format!("cannot list {}", dir.display()))? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        bytes += if metadata.is_dir() {
            used_bytes(&entry.path())?
        } else {
            metadata.len().next_multiple_of(4096)
        };
    }
    Ok(bytes)
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
        ("sealpack-init", &programs.host_init),
        ("busybox", &busybox),
        ("attack", &content.join("attacks/program")),
    ] {
        fs::copy(program, bin.join(name)).with_context(|| format!("cannot copy {}", program.display()))?;
    }
    device::write(&tree, &content.join("tools"))
}

fn write_device(work: &Path, target: &Path) -> Result<()> {
    let tree = work.join("tree");
    fs::create_dir(&tree)?;
    fs::write(tree.join("text"), SIGNED_TEXT.repeat(SIGNED_TEXT_REPEATED))?;
    device::write(&tree, target)?;
    let root_hash = target.join("root-hash");
    for (name, key) in [("unknown", Key::unknown()?), ("extra", Key::extra()?), ("next", Key::next()?)] {
        key.sign_detached(&root_hash, &target.join(format!("{name}.p7s")))?;
    }
    let other = work.join("other-root-hash");
    fs::write(&other, "00".repeat(32))?;
    Key::trusted()?.sign_detached(&other, &target.join("other.p7s"))
}
