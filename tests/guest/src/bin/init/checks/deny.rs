//! What does not run, because it is not on a signed device.

use super::Verdict;
use super::enforcement::{ATTACKED, PROGRAM, Went, allowed, attack, denied, execute, execute_in};
use super::images::{self, Mounted, Store};
use crate::system::BUSYBOX;
use anyhow::{Result, ensure};
use sealpack_guest::images::{OTHER_SCRIPT_SAYS, SCRIPT_SAYS};
use sealpack_kernel::Errno;
use sealpack_tests::command::{attempt, stdout};
use std::fs;
use std::process::Command;

const LIBRARY: &str = "/disk/attacks/preload.so";

pub(crate) fn unsigned_mount() -> Result<Verdict> {
    let signed = images::signed("one")?;
    let unsigned = images::unsigned("one", &images::target("unsigned")?)?;
    let run = |image: &images::Mounted| execute(image.path("bin/program"), ATTACKED);
    ensure!(fs::read(signed.path("bin/program"))? == fs::read(unsigned.path("bin/program"))?);
    allowed("the program from the signed mount", || run(&signed))?;
    denied("the same program from the unsigned mount", || run(&unsigned))?;
    Ok(Verdict::Shown)
}

pub(crate) fn unsigned_pack() -> Result<Verdict> {
    let signed = images::signed("one")?;
    let unsigned = Store::Unsealed.mount("one", &images::target("unsealed")?, "verified")?;
    let run = |image: &images::Mounted| execute(image.path("bin/program"), ATTACKED);
    denied("a program from a pack that nobody signed, the signed one being mounted", || run(&unsigned))?;
    allowed("the program from the signed pack", || run(&signed))?;
    let unknown = Store::Unknown
        .sealpack(["mount", "one", "--require", "signed"])
        .arg(&images::target("unknown")?)
        .output()?;
    let said = String::from_utf8_lossy(&unknown.stderr);
    ensure!(!unknown.status.success(), "an image whose seal is by an unknown key was mounted as signed");
    println!("an image sealed by an unknown key: {said}");
    Ok(Verdict::Shown)
}

/// The stage's policy revokes the pack of the upper layer of image two.
pub(crate) fn revoked_pack() -> Result<Verdict> {
    let one = images::signed("one")?;
    let two = Store::Sealed.mount("two", &images::target("two")?, "signed")?;
    denied("a script on a signed pack that was revoked", || {
        execute_in(two.root(), &["/bin/script"], OTHER_SCRIPT_SAYS)
    })?;
    allowed("a program of the same image on another pack", || {
        execute_in(two.root(), &["/bin/busybox", "echo", "it runs"], "it runs")
    })?;
    allowed("a script of another image", || execute_in(one.root(), &["/bin/script"], SCRIPT_SAYS))?;
    Ok(Verdict::Shown)
}

/// The policy allows what is on signed devices, but denies the upper pack of image `two` before that.
pub(crate) fn denied_device() -> Result<Verdict> {
    let target = images::target("denied-device")?;
    let mount = |more: &[&str]| {
        let mut mount = Store::Sealed.sealpack(["mount", "two"]);
        attempt(mount.arg(&target).args(more))
    };
    let refused = mount(&["--require", "enforced"])?;
    let why = String::from_utf8_lossy(&refused.stderr).into_owned();
    ensure!(!refused.status.success(), "it was mounted as enforced");
    let reason = "the active IPE policy digests denies executing what is on the pack with root hash ";
    ensure!(why.contains(reason) && why.contains(" by op=EXECUTE dmverity_roothash=sha256:"), "{why}");
    println!("--- {}", why.trim_end());
    let mounted = mount(&[])?;
    ensure!(mounted.status.success(), "{mounted:?}");
    let _two = Mounted::at(&target);
    let said = String::from_utf8_lossy(&mounted.stdout).into_owned();
    ensure!(said.contains("signed") && said.contains(reason) && !said.contains("enforced"), "{said}");
    let listed = super::mounts::of(&target)?;
    let why_not_more = listed["why_not_more"].as_str().unwrap_or_default();
    ensure!(listed["level"] == "signed" && why_not_more.contains(reason), "{listed}");
    drop(images::signed("one")?);
    Ok(Verdict::Shown)
}

pub(crate) fn overmount() -> Result<Verdict> {
    let signed = images::signed("one")?;
    let run = || execute(signed.path("bin/program"), ATTACKED);
    allowed("before the mount over it", run)?;
    let over = images::unsigned_over("one", signed.root())?;
    denied("after the mount over it", run)?;
    drop(over);
    allowed("after the unmount", run)?;
    Ok(Verdict::Shown)
}

pub(crate) fn bind_mount() -> Result<Verdict> {
    let signed = images::signed("one")?;
    let run = || execute(signed.path("bin/busybox"), ATTACKED);
    let over = images::bind(PROGRAM, signed.path("bin/busybox"))?;
    denied("a file bound over a signed one", run)?;
    drop(over);
    allowed("the signed one", || execute_in(signed.root(), &["/bin/busybox", "echo", "again"], "again"))?;
    Ok(Verdict::Shown)
}

pub(crate) fn upper_copy() -> Result<Verdict> {
    let image = images::writable("one")?;
    allowed("the program on the lower layer", || execute(image.path("bin/program"), ATTACKED))?;
    fs::copy(image.path("bin/program"), image.path("bin/copy"))?;
    denied("a copy of it on the upper layer", || execute(image.path("bin/copy"), ATTACKED))?;
    // A change of metadata only leaves the contents where they are; one of contents copies the file up.
    let said = stdout(Command::new(image.path("bin/program")).arg("map").arg(image.path("bin/busybox")))?;
    ensure!(said.starts_with("0 "), "{said}");
    fs::File::options().append(true).open(image.path("bin/busybox"))?;
    let busybox = image.path("bin/busybox");
    denied("a file that was copied up by opening it to write", || map(&busybox.to_string_lossy()))?;
    Ok(Verdict::Shown)
}

pub(crate) fn preload() -> Result<Verdict> {
    let image = images::writable("one")?;
    denied("LD_PRELOAD of an unsigned library", || load_unsigned_library(&image))?;
    Ok(Verdict::Shown)
}

/// Starts a program of a writable mount with a library in `LD_PRELOAD` that lies in its upper layer.
pub(crate) fn load_unsigned_library(image: &images::Mounted) -> Result<Went> {
    fs::copy(LIBRARY, image.path("tmp/preload.so"))?;
    let mut program = Command::new(BUSYBOX);
    program.arg("chroot").arg(image.root()).args(["/bin/busybox", "echo", "it runs"]);
    let said = stdout(program.env("LD_PRELOAD", "/tmp/preload.so"))?;
    // The dynamic linker warns and goes on without a library that it cannot map.
    match said.as_str() {
        "attacked\nit runs" => Ok(Went::Through),
        "it runs" => Ok(Went::Refused(Errno::ACCESS)),
        _ => anyhow::bail!("the program printed {said:?}"),
    }
}

fn map(path: &str) -> Result<Went> {
    attack(&["map", path])
}

pub(crate) fn mmap() -> Result<Verdict> {
    let image = images::signed("one")?;
    let signed = image.path("bin/program").to_string_lossy().into_owned();
    for (how, what) in [("map", "mmap with PROT_EXEC"), ("protect", "mprotect with PROT_EXEC")] {
        allowed(&format!("{what} of a signed file"), || attack(&[how, &signed]))?;
        denied(&format!("{what} of an unsigned file"), || attack(&[how, PROGRAM]))?;
    }
    Ok(Verdict::Shown)
}

pub(crate) fn memfd() -> Result<Verdict> {
    let image = images::signed("one")?;
    let signed = image.path("bin/program").to_string_lossy().into_owned();
    denied("a copy in memory of a signed program", || attack(&["in-memory", &signed]))?;
    denied("executable memory of no file", || attack(&["anonymous"]))?;
    Ok(Verdict::Shown)
}
