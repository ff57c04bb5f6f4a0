//! Disks that boot, as far as that is seen without booting them, and what no disk is made of.

use crate::Workshop;
use anyhow::{Result, ensure};
use sealpack_tests::command::{find, run, stdout};
use sealpack_tests::host_image::{HostImage, boot_loader};
use sealpack_tests::refusal::Exit;
use sealpack_tests::{schema, skip};
use std::fs;
use std::process::Command;

/// Where the image has systemd-boot.
const BOOT_LOADER: &str = "usr/lib/systemd/boot/efi/systemd-bootx64.efi";

/// What is the same in all calls.
const DISK: [&str; 3] = ["host", "disk", "site/host:3"];

/// With a signed UKI, `sealed_7.efi`; `None` where e2fsprogs is not installed.
fn workshop() -> Result<Option<Workshop>> {
    if find("mke2fs").is_none() {
        skip("e2fsprogs is not installed");
        return Ok(None);
    }
    let mut image = HostImage::new();
    image.set(BOOT_LOADER, boot_loader("257.13-1~deb13u1"));
    let workshop = Workshop::new(&image)?;
    workshop.build(&["-o", "sealed_7.efi", "--key", "boot.key", "--cert", "boot.crt"])?;
    Ok(Some(workshop))
}

fn with_key<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&DISK[..], &["--key", "boot.key", "--cert", "boot.crt"], more].concat()
}

#[test]
fn a_disk_has_a_signed_loader_the_uki_and_the_image_and_is_made_twice_the_same() -> Result<()> {
    let Some(workshop) = workshop()? else { return Ok(()) };
    for disk in ["one.img", "other.img"] {
        let arguments = with_key(&["--size", "1GiB", "--uki", "sealed_7.efi", "-o", disk]);
        let output = workshop.attempt(&[&["--json"], &arguments[..]].concat())?;
        ensure!(output.status.success(), "{output:?}");
        let made = schema::document(&output.stdout)?;
        ensure!(made["data_label"] == "sealpack-data" && made["size_bytes"] == 1 << 30, "{made:#}");
    }
    let same = Command::new("cmp").args([workshop.path("one.img"), workshop.path("other.img")]).output()?;
    ensure!(same.status.success(), "{same:?}");
    let esp = format!("{}@@1M", workshop.path("one.img").display());
    if find("mcopy").is_some() && find("sbverify").is_some() {
        for (path, file) in [("EFI/BOOT/BOOTX64.EFI", "loader"), ("EFI/Linux/sealed_7+3.efi", "uki")] {
            let mut mcopy = Command::new("mcopy");
            run(mcopy.args(["-i", &esp, &format!("::/{path}")]).arg(workshop.path(file)))?;
            let mut sbverify = Command::new("sbverify");
            run(sbverify.arg("--cert").arg(workshop.path("boot.crt")).arg(workshop.path(file)))?;
        }
        ensure!(workshop.read("uki")? == workshop.read("sealed_7.efi")?);
    } else {
        skip("mtools or sbsigntool is not installed");
    }
    let data = format!("{}?offset={}", workshop.path("one.img").display(), 257 << 20);
    let listed = stdout(Command::new(find("debugfs").unwrap_or_default()).args([
        "-R",
        "ls -l /store/packs/sha256",
        &data,
    ]))?;
    let packs = listed.lines().filter(|line| line.contains(".pack")).collect::<Vec<_>>();
    ensure!(packs.len() == 1 && packs[0].split_whitespace().nth(3) == Some("0"), "{listed}");
    Ok(())
}

#[test]
fn a_disk_is_made_whole_or_not_at_all() -> Result<()> {
    let Some(workshop) = workshop()? else { return Ok(()) };
    let fails = |exit, arguments: &[&str], words: &[&str]| {
        workshop.fails(exit, &with_key(&[arguments, &["-o", "refused.img"]].concat()), words)
    };
    let uki = ["--uki", "sealed_7.efi"];
    fails(
        Exit::Failed,
        &[&uki[..], &["--size", "300MiB"]].concat(),
        &["314572800 bytes", "takes", "--size"],
    )?;
    fails(Exit::Failed, &["--uki", "boot.crt"], &["boot.crt is no UKI", "`sealpack host build`"])?;
    fails(Exit::Failed, &["--uki", "gone.efi"], &["cannot read gone.efi"])?;
    fails(Exit::Failed, &[&uki[..], &uki].concat(), &["two UKIs are called", "sealed_7+3.efi"])?;
    fails(Exit::Failed, &[&uki[..], &["--keys", "."]].concat(), &["PK.auth", "db.auth"])?;
    fails(Exit::Failed, &[&uki[..], &["--keys", "gone"]].concat(), &["cannot read gone: No such file"])?;
    let nowhere = with_key(&["--uki", "sealed_7.efi", "-o", "gone/disk.img"]);
    workshop.fails(Exit::Failed, &nowhere, &["cannot write to gone: No such file"])?;
    let directory = with_key(&["--uki", "sealed_7.efi", "-o", "layout"]);
    workshop.fails(Exit::Failed, &directory, &["layout is a directory", "name a file in it"])?;
    fs::write(workshop.path("there.img"), "something else")?;
    let there = with_key(&["--uki", "sealed_7.efi", "-o", "there.img"]);
    workshop.fails(Exit::Failed, &there, &["there.img is there already", "--force"])?;
    ensure!(workshop.read("there.img")? == b"something else");
    let unsigned = [&DISK[..], &uki, &["-o", "refused.img"]].concat();
    workshop.fails(Exit::Usage, &unsigned, &["--key"])?;
    let pack = fs::read_dir(workshop.sealpack.store().join("packs/sha256"))?.next();
    let pack = pack.ok_or_else(|| anyhow::anyhow!("there is no pack"))??.path();
    let mut bytes = fs::read(&pack)?;
    bytes[5000] ^= 1;
    fs::remove_file(&pack)?;
    fs::write(&pack, &bytes[..bytes.len() - 4096])?;
    fails(Exit::Refused, &uki, &["the pack should have", "but there are", "`sealpack fsck --repair`"])?;
    fs::write(&pack, bytes)?;
    if !signs_loader(&workshop)? {
        return Ok(());
    }
    let damaged = [&DISK[..], &uki, &["--boot-loader", "loader", "-o", "refused.img"]].concat();
    workshop.fails(Exit::Refused, &damaged, &["site/host:3 is not whole in the store", "`sealpack fsck"])
}

/// Puts a boot loader that somebody signed elsewhere into the file `loader`; whether that can be done.
fn signs_loader(workshop: &Workshop) -> Result<bool> {
    if find("sbsign").is_none() {
        skip("sbsigntool is not installed");
        return Ok(false);
    }
    fs::write(workshop.path("unsigned"), boot_loader("257.13-1~deb13u1"))?;
    let mut sbsign = Command::new("sbsign");
    sbsign.args(["--key", "boot.key", "--cert", "boot.crt", "--output", "loader", "unsigned"]);
    run(sbsign.current_dir(workshop.path(".")))?;
    Ok(true)
}

/// Such a disk was made once, and the machine said `Access Denied` when somebody had carried it there.
#[test]
fn what_firmware_would_not_start_is_not_put_on_a_disk() -> Result<()> {
    let Some(workshop) = workshop()? else { return Ok(()) };
    let fails = |exit, arguments: &[&str], words: &[&str]| {
        workshop.fails(exit, &with_key(&[arguments, &["-o", "refused.img"]].concat()), words)
    };
    workshop.build(&["--unsigned", "-o", "unsigned.efi"])?;
    fails(Exit::Failed, &["--uki", "unsigned.efi"], &["unsigned.efi is not signed", "host build", "sbsign"])?;
    let mut changed = workshop.read("sealed_7.efi")?;
    let place = changed.len() / 2;
    changed[place] ^= 1;
    fs::write(workshop.path("changed.efi"), changed)?;
    fails(Exit::Refused, &["--uki", "changed.efi"], &["changed.efi was changed after it was signed"])?;
    let loader = |file: &str, words: &[&str]| {
        let disk = ["--uki", "sealed_7.efi", "--boot-loader", file, "-o", "refused.img"];
        workshop.fails(Exit::Failed, &[&DISK[..], &disk].concat(), words)
    };
    fs::write(workshop.path("none"), "signed elsewhere")?;
    loader("none", &["the boot loader none: this is not a PE image"])?;
    fs::write(workshop.path("bare"), boot_loader("257.13-1~deb13u1"))?;
    loader("bare", &["the boot loader bare is not signed"])?;
    fs::write(workshop.path("old"), boot_loader("252.39-1~deb12u1"))?;
    loader("old", &["the boot loader old is of systemd 252.39-1~deb12u1", "257", "Debian 13"])?;
    loader("sealed_7.efi", &["the boot loader sealed_7.efi does not say which systemd-boot it is"])?;
    if signs_loader(&workshop)? {
        let disk = ["--uki", "sealed_7.efi", "--boot-loader", "loader", "-o", "made.img"];
        workshop.succeeds(&[&DISK[..], &disk].concat())?;
    }
    Ok(())
}

#[test]
fn a_uki_of_another_image_or_an_image_that_is_not_sealed_is_refused() -> Result<()> {
    let Some(workshop) = workshop()? else { return Ok(()) };
    let mut other = HostImage::new();
    other.set(BOOT_LOADER, boot_loader("258-1"));
    let source = other.layout(&workshop.path("other"))?.source();
    workshop.succeeds(&["pull", "--objects", "packs", &source, "--name", "site/host:4"])?;
    let disk = ["host", "disk", "site/host:4", "--uki", "sealed_7.efi", "-o", "refused.img"];
    let disk = [&disk[..], &["--key", "boot.key", "--cert", "boot.crt"]].concat();
    workshop.fails(Exit::Refused, &disk, &["site/host:4 has no seal", "`sealpack seal"])?;
    workshop.succeeds(&["seal", "site/host:4", "--key", "packs.key", "--cert", "packs.crt"])?;
    workshop.fails(Exit::Refused, &disk, &["sealed_7.efi starts the metadata image", "site/host:4"])
}
