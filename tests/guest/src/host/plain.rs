//! The same system from a plain ext4 root: what a sealed host is measured beside. Firmware, boot loader, stub, kernel and
//! files are the same.

use super::build::Workshop;
use super::esp;
use crate::initramfs;
use crate::kernels::Kernel;
use anyhow::{Context, Result, ensure};
use sealpack_format::pe::{self, Image, NewSection};
use sealpack_tests::command::{find, run, run_with_input};
use sealpack_tests::images;
use std::fs::{self, File};
use std::io::{Seek, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where the data partition begins, and with it the root here.
const ROOT_START_BYTES: u64 = 257 * 1024 * 1024;

/// What a sealed host's fstab has, but for what lies on its data partition.
const FSTAB: &str = "LABEL=ESP /efi vfat umask=0077,nofail 0 0\n";

/// Makes the disk, of one that has the same boot loader.
///
/// # Errors
/// If something of the image cannot be read; if a tool is missing or fails.
pub fn disk(workshop: &Workshop, image: &images::Image, kernel: &Kernel, sealed: &Path) -> Result<PathBuf> {
    let tree = workshop.file("plain-tree");
    fs::create_dir(&tree)?;
    for blob in image.layer_blobs()? {
        extract(&blob, &tree)?;
    }
    fs::write(tree.join("etc/fstab"), FSTAB)?;
    let size_bytes = fs::metadata(sealed)?.len();
    let disk = workshop.file("plain-disk");
    let mut dd = Command::new("dd");
    dd.arg(format!("if={}", sealed.display())).arg(format!("of={}", disk.display()));
    run(dd.args(["bs=1M", "conv=sparse", "status=none"]).arg(format!("count={}", ROOT_START_BYTES >> 20)))?;
    File::options().write(true).open(&disk)?.set_len(size_bytes)?;
    let mke2fs = find("mke2fs").context("mke2fs is not installed")?;
    let mut mke2fs = Command::new(mke2fs);
    mke2fs.args(["-q", "-F", "-t", "ext4", "-b", "4096", "-L", "root", "-d"]).arg(&tree);
    mke2fs.args(["-E", &format!("offset={ROOT_START_BYTES}")]).arg(&disk);
    // Without the copy of the partition table at the end.
    run(mke2fs.arg(format!("{}k", (size_bytes - ROOT_START_BYTES - (1 << 20)) / 1024)))?;
    fs::remove_dir_all(&tree)?;
    esp::remove_ukis(&disk)?;
    esp::put_uki(&disk, "plain.efi", &uki(workshop, kernel)?)?;
    Ok(disk)
}

/// Unpacks a layer that is packed with zstd, or not at all.
fn extract(blob: &Path, tree: &Path) -> Result<()> {
    let mut file = File::open(blob)?;
    let mut plain = tempfile::tempfile()?;
    let is_packed = fs::read(blob)?.starts_with(&[0x28, 0xB5, 0x2F, 0xFD]);
    if is_packed {
        zstd::stream::copy_decode(&mut file, &mut plain)?;
    } else {
        std::io::copy(&mut file, &mut plain)?;
    }
    plain.rewind()?;
    let mut tar = Command::new("tar");
    tar.args(["--extract", "--numeric-owner", "--same-permissions", "--directory"]).arg(tree);
    run_with_input(&mut tar, plain).map(drop)
}

/// What is run first: it loads the disk's driver, and goes over to the disk.
const INIT: &str = "#!/bin/busybox sh
busybox mount -t devtmpfs dev /dev
for module in MODULES; do busybox insmod /modules/$module.ko; done
busybox mount -t ext4 /dev/vda2 /root
exec busybox switch_root /root /usr/lib/systemd/systemd
";

fn uki(workshop: &Workshop, kernel: &Kernel) -> Result<PathBuf> {
    let order = fs::read_to_string(kernel.modules().join("order"))?;
    let end = order.find("virtio_blk").context("the kernel has no driver of the disk")? + "virtio_blk".len();
    let modules: Vec<&str> = order[..end].lines().collect();
    let init = workshop.file("plain-init");
    fs::write(&init, INIT.replace("MODULES", &modules.join(" ")))?;
    let packed = workshop.file("plain-initramfs");
    initramfs::write_minimal(kernel, &modules, &init, &packed)?;
    let packed = zstd::encode_all(fs::read(packed)?.as_slice(), 3)?;
    let stub = workshop.stub()?;
    let linux = fs::read(kernel.image())?;
    let sections = [
        (".osrel", b"ID=plain\nPRETTY_NAME=plain\n".as_slice()),
        (".cmdline", b"audit=1 audit_backlog_limit=8192 console=ttyS0"),
        (".linux", &linux),
        (".initrd", &packed),
    ];
    let sections = sections.map(|(name, content)| NewSection { name, content, is_code: name == ".linux" });
    let unsigned = workshop.file("plain.unsigned");
    File::create(&unsigned)?.write_all(&pe::append_sections(&Image::parse(&stub)?, &sections)?)?;
    let signed = workshop.file("plain.efi");
    let key = &workshop.keys().boot;
    let mut sbsign = Command::new("sbsign");
    sbsign.arg("--key").arg(key.key()).arg("--cert").arg(key.certificate());
    run(sbsign.arg("--output").arg(&signed).arg(unsigned))?;
    ensure!(signed.exists(), "sbsign wrote nothing");
    Ok(signed)
}
