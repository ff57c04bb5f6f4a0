//! What no UKI is made of.

use crate::Workshop;
use anyhow::{Context, Result};
use sealpack_tests::host_image::{self, HostImage, INIT, KERNEL, STUB, program};
use sealpack_tests::refusal::Exit;
use std::fs;

/// That nothing is made of an image that was changed so.
fn refuses_changed(change: impl FnOnce(&mut HostImage), words: &[&str]) -> Result<()> {
    let mut image = HostImage::new();
    change(&mut image);
    Workshop::new(&image)?.refuses(Exit::Failed, &[], words)
}

#[test]
fn an_image_that_is_not_sealed_is_refused() -> Result<()> {
    let workshop = Workshop::with_pulled(&HostImage::new())?;
    workshop.refuses(Exit::Failed, &[], &["site/host:3 is not kept in packs", "`sealpack seal`"])?;
    workshop.succeeds(&["convert", "site/host:3", "--to", "packs"])?;
    workshop.refuses(Exit::Failed, &[], &["site/host:3 is not sealed", "`sealpack seal"])
}

#[test]
fn an_image_whose_seal_lacks_a_pack_or_is_by_another_is_refused() -> Result<()> {
    let workshop = Workshop::new(&HostImage::new())?;
    let other = ["--certificate", "policy.crt"];
    let build = ["host", "build", "site/host:3", "--policy", "host.p7b", "--unsigned", "-o", "refused.efi"];
    let words =
        ["the metadata image is signed by", "which is none of the 1 certificate given", "--certificate"];
    workshop.fails(Exit::Refused, &[&build[..], &other].concat(), &words)?;
    let packs = workshop.sealpack.store().join("packs/sha256");
    let pack = fs::read_dir(packs)?.next().context("there is no pack")??.path();
    fs::remove_file(pack)?;
    workshop.refuses(
        Exit::Failed,
        &[],
        &["site/host:3 is incomplete: the pack", "is missing", "pull the image again"],
    )
}

#[test]
fn a_policy_that_would_not_seal_the_host_is_refused() -> Result<()> {
    let workshop = Workshop::new(&HostImage::new())?;
    let with = |policy: &'static str, more: &[&'static str]| {
        let build = ["host", "build", "site/host:3", "--unsigned", "-o", "refused.efi", "--policy", policy];
        [&build[..], &["--certificate", "packs.crt"], more].concat()
    };
    let text = with("host.p7b.policy", &[]);
    workshop.fails(Exit::Failed, &text, &["host.p7b.policy is not signed", "`sealpack policy sign`"])?;
    let unknown = with("host.p7b", &[]);
    workshop.fails(
        Exit::Refused,
        &unknown,
        &["which is none of the 1 certificate given", "--policy-cert"],
    )?;
    fs::write(
        workshop.path("open.policy"),
        "policy_name=open policy_version=0.0.1\nDEFAULT action=ALLOW\nop=EXECUTE dmverity_signature=FALSE action=DENY\n",
    )?;
    workshop.succeeds(&[
        "policy",
        "sign",
        "open.policy",
        "--key",
        "packs.key",
        "--cert",
        "packs.crt",
        "-o",
        "open.p7b",
    ])?;
    let open = with("open.p7b", &[]);
    workshop.fails(
        Exit::Failed,
        &open,
        &["open.p7b does not deny execution by default", "`sealpack policy new host`"],
    )?;
    workshop.sign_policy(&["final", "--revoke", &root_hash(&workshop)?], "packs", "revoked.p7b")?;
    let revoked = with("revoked.p7b", &[]);
    workshop.fails(
        Exit::Failed,
        &revoked,
        &["revoked.p7b denies executing what is on the pack", "would not start"],
    )
}

/// Root can write to the initramfs as long as the machine runs, and into `.fs-verity` puts any key.
#[test]
fn a_policy_that_trusts_what_root_can_make_is_refused() -> Result<()> {
    let workshop = Workshop::new(&HostImage::new())?;
    let refuses = |policy: &str, wanted: &str| {
        let build = ["host", "build", "site/host:3", "--unsigned", "-o", "refused.efi", "--policy", policy];
        let build = [&build[..], &["--certificate", "packs.crt"]].concat();
        workshop.fails(Exit::Failed, &build, &[policy, wanted, "`sealpack policy new host`"])
    };
    workshop.sign_policy(&["early"], "packs", "early.p7b")?;
    refuses("early.p7b", "lets what is on the initramfs be executed, by op=EXECUTE boot_verified=TRUE")?;
    let text = "policy_name=keys policy_version=0.0.1\nDEFAULT action=ALLOW\nDEFAULT op=EXECUTE action=DENY\n\
                op=EXECUTE dmverity_signature=TRUE action=ALLOW\nop=EXECUTE fsverity_signature=TRUE action=ALLOW\n";
    fs::write(workshop.path("keys.policy"), text)?;
    let sign =
        ["policy", "sign", "keys.policy", "--key", "packs.key", "--cert", "packs.crt", "-o", "keys.p7b"];
    workshop.succeeds(&sign)?;
    refuses("keys.p7b", "lets what any key in the keyring .fs-verity signed be executed")
}

fn root_hash(workshop: &Workshop) -> Result<String> {
    let shown = workshop.sealpack.json(["inspect", "site/host:3"])?;
    let root_hash = shown["layers"][0]["pack"]["root_hash"].as_str();
    Ok(root_hash.with_context(|| format!("no root hash in {shown:#}"))?.to_owned())
}

#[test]
fn an_image_without_a_part_is_refused_by_the_parts_name() -> Result<()> {
    refuses_changed(
        |image| image.remove(STUB),
        &["has no /usr/lib/systemd/boot/efi/linuxx64.efi.stub", "install systemd-boot-efi"],
    )?;
    refuses_changed(|image| image.remove(INIT), &["has no /usr/lib/sealpack/init", "--init"])?;
    refuses_changed(
        |image| image.remove(&format!("boot/vmlinuz-{KERNEL}")),
        &["the image has no kernel: neither /boot/vmlinuz-VERSION nor /usr/lib/modules/VERSION/vmlinuz"],
    )?;
    refuses_changed(
        |image| image.remove(&format!("usr/lib/modules/{KERNEL}/modules.dep")),
        &["modules.dep: without it nobody knows", "run `depmod VERSION`"],
    )?;
    refuses_changed(
        |image| image.set(&format!("usr/lib/modules/{KERNEL}/modules.builtin"), ""),
        &["the kernel has no ext4, neither as a module nor built in"],
    )?;
    refuses_changed(
        |image| image.remove(&format!("usr/lib/modules/{KERNEL}/kernel/fs/erofs/erofs.ko.xz")),
        &[&format!("has no /usr/lib/modules/{KERNEL}/kernel/fs/erofs/erofs.ko.xz")],
    )
}

#[test]
fn a_kernel_that_cannot_keep_the_host_sealed_is_refused() -> Result<()> {
    let configuration = format!("boot/config-{KERNEL}");
    let change = |from: &'static str, to: &'static str| {
        let configuration = configuration.clone();
        move |image: &mut HostImage| {
            let text = String::from_utf8_lossy(image.get(&configuration)).replace(from, to);
            image.set(&configuration, text);
        }
    };
    refuses_changed(
        change("CONFIG_SECURITY_IPE=y", "# CONFIG_SECURITY_IPE is not set"),
        &["the kernel was built without CONFIG_SECURITY_IPE (/boot/config-6.12"],
    )?;
    refuses_changed(
        change("CONFIG_MODULE_DECOMPRESS=y\n", ""),
        &["CONFIG_MODULE_DECOMPRESS", "its modules are compressed, and it cannot decompress them"],
    )?;
    refuses_changed(
        change(",bpf,ipe", ""),
        &["the kernel has IPE, but does not use it", "--append 'lsm=…,ipe'"],
    )?;
    refuses_changed(
        |image| image.set(&format!("boot/vmlinuz-{KERNEL}"), "no kernel".repeat(100)),
        &["is not a kernel that firmware can start: this is not a PE image"],
    )
}

#[test]
fn options_that_cannot_be_are_refused() -> Result<()> {
    let workshop = Workshop::new(&HostImage::new())?;
    let failed = |arguments: &[&str], words: &[&str]| workshop.refuses(Exit::Failed, arguments, words);
    failed(&["--kernel", "1.0"], &["the image has no kernel \"1.0\", but 6.12.117-test-amd64", "--kernel"])?;
    failed(&["--module", "nosuch"], &["kernel 6.12.117-test-amd64: the kernel has no module \"nosuch\""])?;
    failed(&["--append", "ipe.enforce=0"], &["\"ipe.enforce=0\" may not be on the command line"])?;
    failed(&["--append", "sealpack.off=kexec"], &["cannot be added"])?;
    failed(&["--append", &"a".repeat(2048)], &["the kernel keeps 2047"])?;
    failed(&["--stub", "packs.crt"], &["the stub packs.crt: this is not a PE image", "--stub"])?;
    failed(&["--init", "packs.crt"], &["packs.crt cannot be a host's first process: it is no ELF"])?;
    failed(&["--init", "nosuch"], &["cannot read nosuch"])?;
    workshop.build(&["--unsigned", "-o", "whole.efi"])?;
    failed(&["--stub", "whole.efi"], &["whole.efi has a kernel in it already: it is a UKI"])?;
    fs::write(workshop.path("bare.stub"), program(&[(".text", b"program")]))?;
    failed(&["--stub", "bare.stub"], &["bare.stub does not say which systemd-stub it is", "--stub"])?;
    fs::write(workshop.path("old.stub"), host_image::stub("252.39-1~deb12u1"))?;
    failed(
        &["--stub", "old.stub"],
        &["old.stub is of systemd 252.39-1~deb12u1, and a sealed host needs", "257", "Debian 13"],
    )?;
    let usage = |arguments: &[&str], words: &[&str]| workshop.refuses(Exit::Usage, arguments, words);
    usage(&["--off", "nothing"], &["\"nothing\" is none of device-mapper"])?;
    usage(&["--etc", "disk"], &["neither tmpfs nor persistent"])?;
    usage(&["--key", "boot.key", "--cert", "boot.crt"], &["--unsigned"])?;
    let unsigned = [&crate::BUILD[..], &["-o", "refused.efi"]].concat();
    workshop.fails(Exit::Usage, &unsigned, &["--key"])
}

#[test]
fn a_file_that_is_there_stays_as_it_is_unless_it_is_to_be_replaced() -> Result<()> {
    let workshop = Workshop::new(&HostImage::new())?;
    fs::write(workshop.path("there.efi"), "mine")?;
    let build = ["--unsigned", "-o", "there.efi"];
    workshop.fails(
        Exit::Failed,
        &[&crate::BUILD[..], &build].concat(),
        &["there.efi is there already", "--force"],
    )?;
    workshop.build(&[&build[..], &["--force"]].concat())?;
    anyhow::ensure!(workshop.read("there.efi")?.starts_with(b"MZ"));
    Ok(())
}
