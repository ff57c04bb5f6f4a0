//! That the host is up as it should be.

use super::read;
use anyhow::{Context, Result, ensure};
use sealpack_guest::host::task::Task;
use sealpack_guest::processes;
use std::fs;
use std::path::Path;
use std::process::Command;

/// The firmware's variable: four bytes of attributes, then 1 where Secure Boot is on.
const SECURE_BOOT: &str = "/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c";

/// Multi-user, no failed unit, and from firmware to IPE everything on.
pub(super) fn boots(_: &Task) -> Result<()> {
    let target = said(&["is-active", "multi-user.target"])?;
    ensure!(target == "active", "multi-user.target is {target}");
    let failed = said(&["list-units", "--state=failed", "--plain", "--no-legend"])?;
    ensure!(failed.is_empty(), "units have failed:\n{failed}\n{}", said(&["status", "--state=failed"])?);
    let state = said(&["is-system-running"])?;
    ensure!(state == "running", "systemd calls the system {state}");
    let secure_boot = fs::read(SECURE_BOOT).context("the firmware says nothing of Secure Boot")?;
    ensure!(secure_boot.get(4) == Some(&1), "Secure Boot is off: {secure_boot:?}");
    let enforce = read("/sys/kernel/security/ipe/enforce")?;
    ensure!(enforce == "1", "IPE's enforce is {enforce}");
    let lockdown = read("/sys/kernel/security/lockdown")?;
    ensure!(lockdown.contains("[integrity]"), "lockdown is {lockdown}");
    let root = fs::read_to_string("/proc/self/mountinfo")?;
    let root = root.lines().find(|line| line.split(' ').nth(4) == Some("/")).context("/ is not mounted")?;
    ensure!(root.contains(" - overlay "), "/ is no overlay: {root}");
    ensure!(
        processes::named("sealpack-watch")?.is_empty(),
        "the process with the start's deadline is still there"
    );
    Ok(())
}

/// Neither the credentials nor the extensions of the EFI system partition have come to the system.
pub(super) fn extra_files_ignored(_: &Task) -> Result<()> {
    ensure!(Path::new("/efi/loader/credentials/evil.cred").exists(), "the files are not on the partition");
    for place in
        ["/.extra", "/run/credentials/@system/evil", "/run/credentials/@encrypted/evil", "/run/extensions"]
    {
        ensure!(!Path::new(place).exists(), "there is {place}");
    }
    let mounts = fs::read_to_string("/proc/self/mountinfo")?;
    ensure!(!mounts.contains("sysext") && !mounts.contains("confext"), "an extension is mounted:\n{mounts}");
    Ok(())
}

/// What the firmware's tables have for systemd is not taken: units come from the image.
pub(super) fn credentials_ignored(_: &Task) -> Result<()> {
    let strings = fs::read("/sys/firmware/dmi/entries/11-0/raw").context("the tables cannot be read")?;
    let strings = String::from_utf8_lossy(&strings);
    ensure!(strings.contains("io.systemd.credential:"), "the credential is not in the tables: {strings:?}");
    for place in ["/run/evil", "/run/credentials/@system"] {
        ensure!(!Path::new(place).exists(), "systemd took what a hypervisor gave it: there is {place}");
    }
    let units = said(&["show", "--property=DropInPaths", "--value", "sysinit.target"])?;
    ensure!(!units.contains("evil"), "sysinit.target is what a hypervisor says: {units}");
    Ok(())
}

/// What systemctl prints, whatever it ends with.
fn said(arguments: &[&str]) -> Result<String> {
    let output = Command::new("systemctl").args(arguments).output().context("cannot start systemctl")?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// The machine's clock is decades back: when the first process ran, no certificate was valid yet. systemd then sets another
/// time.
pub(super) fn clock(_: &Task) -> Result<()> {
    let date = read("/sys/class/rtc/rtc0/date")?;
    ensure!(date.starts_with("1998-"), "the machine's clock is at {date}");
    Ok(())
}
