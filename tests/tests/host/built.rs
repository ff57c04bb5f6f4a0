//! What is in a UKI.

use crate::{Workshop, section, text};
use anyhow::{Result, ensure};
use sealpack_format::boot::{CommandLine, Etc, Hardening, ModuleOrder};
use sealpack_format::pe::Image as Program;
use sealpack_tests::files;
use sealpack_tests::host_image::{self, HostImage, INIT, KERNEL, STUB};
use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// The files of an initramfs, as cpio unpacks them.
fn initramfs(uki: &[u8]) -> Result<BTreeMap<String, Vec<u8>>> {
    let archive = zstd::stream::decode_all(&section(uki, ".initrd")?[..])?;
    let dir = tempfile::tempdir()?;
    let mut cpio = Command::new("cpio");
    cpio.args(["--quiet", "--extract", "--nonmatching", "dev/console"]).current_dir(dir.path());
    let mut cpio = cpio.stdin(Stdio::piped()).spawn()?;
    cpio.stdin.take().expect("it was asked for").write_all(&archive)?;
    ensure!(cpio.wait()?.success(), "cpio does not take the initramfs");
    let named = |path: PathBuf| Ok((text(path.strip_prefix(dir.path())?)?.to_owned(), fs::read(&path)?));
    files::below(dir.path())?.into_iter().map(named).collect()
}

#[test]
fn a_uki_has_the_images_kernel_and_a_command_line_that_names_the_image() -> Result<()> {
    let image = HostImage::new();
    let workshop = Workshop::new(&image)?;
    let made = workshop.build(&["-o", "sealed.efi", "--key", "boot.key", "--cert", "boot.crt"])?;
    let sealed = workshop.sealpack.json(["inspect", "site/host:3"])?;
    let uki = workshop.read("sealed.efi")?;
    ensure!(section(&uki, ".linux")? == image.get(&format!("boot/vmlinuz-{KERNEL}")));
    ensure!(section(&uki, ".uname")? == KERNEL.as_bytes());
    ensure!(section(&uki, ".sbat")? == section(image.get(STUB), ".sbat")?);
    let release = String::from_utf8(section(&uki, ".osrel")?)?;
    ensure!(release == "ID=test\nPRETTY_NAME=\"Test 1\"\nIMAGE_ID=host\nIMAGE_VERSION=7\n", "{release}");
    let line = section(&uki, ".cmdline")?;
    let parsed = CommandLine::parse(&line)?;
    ensure!(parsed.to_string().as_bytes() == line, "{parsed}");
    ensure!(sealed["metadata_image"]["fsverity_digest"] == parsed.boot().image.to_string().as_str());
    ensure!(made["metadata_root_hash"] == parsed.boot().root_hash.to_string().as_str());
    ensure!(made["command_line"] == parsed.to_string().as_str() && made["epoch"] == 7, "{made:#}");
    ensure!(made["signers"][0] == "CN=boot" && made["kernel"] == KERNEL, "{made:#}");
    Ok(())
}

#[test]
fn an_initramfs_has_what_was_signed_and_what_is_loaded_and_nothing_else() -> Result<()> {
    let image = HostImage::new();
    let workshop = Workshop::new(&image)?;
    let made = workshop.build(&["-o", "sealed.efi", "--unsigned", "--module", "dummy"])?;
    let uki = workshop.read("sealed.efi")?;
    let mut files = initramfs(&uki)?;
    ensure!(files.remove("cmdline") == Some(section(&uki, ".cmdline")?));
    ensure!(files.remove("init").as_deref() == Some(image.get(INIT)));
    ensure!(files.remove("policy.p7b") == Some(workshop.read("host.p7b")?));
    let certificate = files.remove("packs/0.der").unwrap_or_default();
    let shown = workshop.sealpack.json(["key", "show", text(&workshop.path("packs.crt"))?])?;
    fs::write(workshop.path("found.der"), certificate)?;
    let found = workshop.sealpack.json(["key", "show", text(&workshop.path("found.der"))?])?;
    ensure!(found["certificates"] == shown["certificates"], "{found:#}");
    let order = ModuleOrder::parse(&files.remove("modules/ORDER").unwrap_or_default())?;
    ensure!(
        order.to_string()
            == "loop.ko.xz\ndm-mod.ko.xz\ndm-bufio.ko.xz\ndm-verity.ko.xz keyring_unsealed=1\nerofs.ko.xz\n\
                overlay.ko.xz\n[virtio:d00000002v*]\n-virtio_blk.ko.xz\n[]\n-dummy.ko.xz\n",
        "{order}"
    );
    for module in order.modules() {
        let content = files.remove(&format!("modules/{}", module.file())).unwrap_or_default();
        ensure!(String::from_utf8(content)?.ends_with(&format!("/{} of {KERNEL}", module.file())));
    }
    ensure!(files.is_empty(), "besides: {:?}", files.keys());
    ensure!(made["modules"].as_array().map(Vec::len) == Some(order.modules().count()), "{made:#}");
    Ok(())
}

#[test]
fn the_same_inputs_give_the_same_bytes() -> Result<()> {
    let workshop = Workshop::new(&HostImage::new())?;
    for (first, second, how) in [
        ("a.efi", "b.efi", &["--unsigned"][..]),
        ("c.efi", "d.efi", &["--key", "boot.key", "--cert", "boot.crt"]),
    ] {
        workshop.build(&[&["-o", first], how].concat())?;
        workshop.build(&[&["-o", second], how].concat())?;
        ensure!(workshop.read(first)? == workshop.read(second)?, "{how:?}");
    }
    Ok(())
}

#[test]
fn what_is_asked_for_is_on_the_command_line() -> Result<()> {
    let workshop = Workshop::new(&HostImage::new())?;
    let more = [
        "--append",
        "console=ttyS0 quiet",
        "--append",
        "loglevel=3",
        "--off",
        "kexec,ptrace",
        "--etc",
        "persistent",
        "--data",
        "tank",
        "--deadline",
        "600",
        "--unsigned",
        "-o",
    ];
    workshop.build(&[&more[..], &["sealed.efi"]].concat())?;
    let parsed = CommandLine::parse(&section(&workshop.read("sealed.efi")?, ".cmdline")?)?;
    ensure!(parsed.others() == ["console=ttyS0", "quiet", "loglevel=3"], "{parsed}");
    let boot = parsed.boot();
    ensure!(
        boot.off == [Hardening::Kexec, Hardening::Ptrace].into() && boot.etc == Etc::Persistent,
        "{parsed}"
    );
    ensure!(boot.data_label.as_str() == "tank" && boot.deadline.to_string() == "600", "{parsed}");
    Ok(())
}

#[test]
fn the_newest_kernel_is_taken_unless_another_is_asked_for() -> Result<()> {
    let mut image = HostImage::new();
    image.add_kernel("6.12.9-test-amd64");
    let workshop = Workshop::new(&image)?;
    ensure!(workshop.build(&["--unsigned", "-o", "new.efi"])?["kernel"] == KERNEL);
    let older = ["--unsigned", "-o", "old.efi", "--kernel", "6.12.9-test-amd64"];
    ensure!(workshop.build(&older)?["kernel"] == "6.12.9-test-amd64");
    ensure!(section(&workshop.read("old.efi")?, ".uname")? == b"6.12.9-test-amd64");
    Ok(())
}

#[test]
fn in_a_directory_a_uki_is_named_by_the_epoch_of_the_seal() -> Result<()> {
    let workshop = Workshop::new(&HostImage::new())?;
    fs::create_dir(workshop.path("esp"))?;
    workshop.build(&["--unsigned", "-o", "esp"])?;
    ensure!(workshop.path("esp/sealed_7.efi").exists());
    Ok(())
}

#[test]
fn debians_stub_takes_the_sections_and_stays_as_it_is() -> Result<()> {
    let stub = host_image::systemd_boot()?.join("linuxx64.efi.stub");
    let workshop = Workshop::new(&HostImage::new())?;
    workshop.build(&["--unsigned", "-o", "sealed.efi", "--stub", text(&stub)?])?;
    let (stub, uki) = (fs::read(stub)?, workshop.read("sealed.efi")?);
    let (stub, uki) = (Program::parse(&stub)?, Program::parse(&uki)?);
    for (own, appended) in stub.sections().iter().zip(uki.sections()) {
        ensure!(own == appended && stub.section(&own.name) == uki.section(&own.name), "{own:?}");
    }
    let added: Vec<&str> =
        uki.sections()[stub.sections().len()..].iter().map(|section| section.name.as_str()).collect();
    ensure!(added == [".osrel", ".cmdline", ".uname", ".initrd", ".linux"], "{added:?}");
    Ok(())
}
