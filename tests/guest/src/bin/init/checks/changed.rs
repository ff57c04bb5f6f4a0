//! Packs whose bytes were changed, before they are mounted and after.

use super::Verdict;
use super::enforcement::{ATTACKED, allowed, execute};
use super::images::{self, Store};
use super::leftovers;
use crate::device::{Attached, activate};
use crate::system::drop_caches;
use anyhow::{Context, Result, ensure};
use sealpack_kernel::Kernel;
use sealpack_kernel::mount::{MountAttributes, fd_path};
use sealpack_tests::command::attempt;
use std::fs::{self, File};
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// A block of 4096 bytes in the middle of this file of the image, which is in none of the first or last ones.
const FILE: &str = "bin/program";
const BLOCK: usize = 40;

/// A block of a pack with one bit changed, until this is dropped.
struct Changed {
    pack: File,
    position: u64,
    original: [u8; 4096],
}

impl Changed {
    fn new(pack: &Path, position: u64) -> Result<Self> {
        let file = File::options().read(true).write(true).open(pack)?;
        let mut original = [0; 4096];
        file.read_exact_at(&mut original, position)?;
        let changed = Self { pack: file, position, original };
        let mut bytes = original;
        bytes[1031] ^= 4;
        changed.write(&bytes)?;
        Ok(changed)
    }

    fn write(&self, bytes: &[u8]) -> Result<()> {
        self.pack.write_all_at(bytes, self.position)?;
        self.pack.sync_all()?;
        drop_caches()
    }
}

impl Drop for Changed {
    fn drop(&mut self) {
        if let Err(error) = self.write(&self.original) {
            println!("the pack stays changed: {error:#}");
        }
    }
}

/// No pack of the small images is larger.
const PACK_MAX_BYTES: u64 = 16 * 1024 * 1024;

/// The pack of a small image that has this block, and where in it.
fn find(block: &[u8]) -> Result<(PathBuf, u64)> {
    for entry in fs::read_dir(Store::Sealed.path().join("packs/sha256"))? {
        let path = entry?.path();
        if fs::metadata(&path)?.len() > PACK_MAX_BYTES {
            continue;
        }
        let bytes = fs::read(&path)?;
        if let Some(index) = bytes.chunks_exact(4096).position(|candidate| candidate == block) {
            return Ok((path, 4096 * index as u64));
        }
    }
    anyhow::bail!("no pack has the block")
}

fn block() -> Result<Vec<u8>> {
    let image = images::signed("one")?;
    Ok(fs::read(image.path(FILE))?[BLOCK * 4096..][..4096].to_vec())
}

fn read(image: &images::Mounted, block: usize) -> std::io::Result<[u8; 4096]> {
    let mut bytes = [0; 4096];
    File::open(image.path(FILE))?.read_exact_at(&mut bytes, 4096 * block as u64)?;
    Ok(bytes)
}

fn ensure_io_error(image: &images::Mounted) -> Result<()> {
    read(image, 1).context("a block that was not changed")?;
    let error = read(image, BLOCK).err().context("a changed block was read")?;
    ensure!(error.raw_os_error() == Some(5), "a changed block: {error}, not EIO");
    Ok(())
}

pub(crate) fn after_mounting() -> Result<Verdict> {
    let block = block()?;
    let (pack, position) = find(&block)?;
    let image = images::signed("one")?;
    let changed = Changed::new(&pack, position)?;
    ensure_io_error(&image)?;
    drop(changed);
    ensure!(read(&image, BLOCK)? == block[..], "the block is not what it was");
    println!("EIO while one bit of {} was changed, and none any more", pack.display());
    Ok(Verdict::Shown)
}

pub(crate) fn before_mounting() -> Result<Verdict> {
    let (pack, position) = find(&block()?)?;
    leftovers::ensure_none_of(Store::Sealed)?;
    let size = fs::metadata(&pack)?.len();
    for (what, position) in [
        ("the filesystem's superblock", 0),
        // The first block of the tree is the highest one; dm-verity's superblock is before it.
        ("the top of the tree", top_of_tree(&pack)?),
    ] {
        ensure!(position < size, "the pack ends before {what}");
        let changed = Changed::new(&pack, position)?;
        let target = images::target("changed")?;
        let mut mount = Store::Sealed.sealpack(["mount", "one", "--require", "signed"]);
        let output = attempt(mount.arg(&target))?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(!output.status.success(), "{what} was changed, and the image was mounted");
        ensure!(fs::read_dir(&target)?.next().is_none(), "{what} was changed, and something was mounted");
        println!("one bit of {what} was changed: {said}");
        drop(changed);
    }
    let changed = Changed::new(&pack, position)?;
    let image = images::signed("one").context("a changed block of a file hinders nobody else")?;
    ensure_io_error(&image)?;
    drop((image, changed));
    drop(images::signed("one").context("the pack is what it was")?);
    Ok(Verdict::Shown)
}

/// A device that the trusted key signed, whose files have their contents on another one, which nothing verifies: the
/// kernel executes them, and so Sealpack must not mount it.
pub(crate) fn device_slot() -> Result<Verdict> {
    const SLOT: &str = "/disk/slot";
    let kernel = Kernel::new();
    let mapper = kernel.device_mapper()?;
    let attached = Attached::new(&kernel, &format!("{SLOT}/device"), SLOT, Some("slot-signature"))?;
    let signature = fs::read(format!("{SLOT}/trusted.p7s"))?;
    let signed = activate(&kernel, &mapper, &"check-slot".parse()?, &attached, Some(&signature))?;
    let blob = File::open(format!("{SLOT}/blob"))?;
    let second = kernel.attach_loop(blob.as_fd())?;
    let context = kernel.fsopen("erofs")?;
    context.set_flag("ro")?;
    context.set_string("source", fd_path(&signed))?;
    context.set_string("device", second.path())?;
    context.create()?;
    let mount = context.mount(MountAttributes { read_only: true, ..MountAttributes::default() })?;
    allowed("a program whose contents are on a second device that nobody signed", || {
        execute(fd_path(&mount).join("program"), ATTACKED)
    })?;
    drop((mount, context, signed, attached, second));

    let (pack, _) = find(&block()?)?;
    leftovers::ensure_none_of(Store::Sealed)?;
    let kept = pack.with_extension("kept");
    fs::rename(&pack, &kept)?;
    fs::copy(format!("{SLOT}/device"), &pack)?;
    let target = images::target("slot")?;
    let mounted = attempt(Store::Sealed.sealpack(["mount", "one", "--require", "plain"]).arg(&target));
    fs::rename(&kept, &pack)?;
    let mounted = mounted?;
    let said = String::from_utf8_lossy(&mounted.stderr);
    println!("such a device as a pack: {said}");
    ensure!(!mounted.status.success() && said.contains("device"), "{mounted:?}");
    ensure!(fs::read_dir(&target)?.next().is_none(), "something was mounted");
    Ok(Verdict::Shown)
}

/// Where the highest block of a pack's tree is: behind dm-verity's superblock, which begins with "verity".
fn top_of_tree(pack: &Path) -> Result<u64> {
    let bytes = fs::read(pack)?;
    let superblock = bytes.chunks_exact(4096).position(|block| block.starts_with(b"verity\0\0"));
    let superblock = superblock.with_context(|| format!("{} has no tree", pack.display()))?;
    Ok(4096 * (superblock as u64 + 1))
}
