//! What is kept of `/etc`.

use super::{read, stdout};
use anyhow::{Context, Result, bail, ensure};
use sealpack_guest::host::task::Task;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// What the first boot leaves for the next, on the data partition.
const NOTES: &str = "/var/lib/sealpack-probe";

const HOSTNAME: &str = "/etc/hostname";

/// What the list names and the image has otherwise.
const HOST_KEY: &str = "/etc/ssh/ssh_host_ed25519_key.pub";

/// Something that the list does not name.
const OTHER: &str = "/etc/other";

/// In the first boot, changes some files; the unit keeps them when the host goes down. In the next, looks at them.
pub(super) fn etc(_: &Task) -> Result<()> {
    wait_until_kept()?;
    if Path::new(NOTES).exists() { come_back() } else { change() }
}

/// Nothing else waits for the unit.
fn wait_until_kept() -> Result<()> {
    let started = Instant::now();
    loop {
        let unit = stdout("systemctl", &["show", "--property=SubState", "--value", "sealpack-keep.service"])?;
        match unit.as_str() {
            "exited" => return Ok(()),
            "running" if started.elapsed() < Duration::from_secs(60) => {
                std::thread::sleep(Duration::from_millis(100));
            }
            other => bail!("sealpack-keep.service is {other}"),
        }
    }
}

fn change() -> Result<()> {
    fs::create_dir(NOTES)?;
    for path in ["/etc/machine-id", HOST_KEY] {
        fs::copy(path, note(path)).with_context(|| format!("this host has made no {path}"))?;
        // Kept after the start already.
        ensure!(read(&kept(path))? == read(path)?, "{path} is not kept");
    }
    ensure!(read("/etc/machine-id")?.len() == 32, "this host has no identity");
    ensure!(!Path::new(&kept("/etc/passwd")).exists(), "what is as in the image is kept");
    fs::write(HOSTNAME, "renamed\n")?;
    fs::write(OTHER, "not named\n")?;
    Ok(())
}

fn come_back() -> Result<()> {
    for path in ["/etc/machine-id", HOST_KEY] {
        let (was, is) = (read(&note(path))?, read(path)?);
        ensure!(was == is, "{path} was {was}, and is {is}");
    }
    let hostname = read(HOSTNAME)?;
    ensure!(hostname == "renamed", "{HOSTNAME} is {hostname}");
    let name = read("/proc/sys/kernel/hostname")?;
    ensure!(name == "renamed", "the host is called {name}");
    ensure!(!Path::new(OTHER).exists(), "{OTHER} came back, which nothing names");
    Ok(())
}

/// With no room on the data partition: the host is up, and what cannot be kept is named.
pub(super) fn nowhere(_: &Task) -> Result<()> {
    let target = stdout("systemctl", &["is-active", "multi-user.target"])?;
    ensure!(target == "active", "multi-user.target is {target}");
    let kept = Command::new("sealpack").args(["host", "keep"]).output().context("cannot start sealpack")?;
    let said = String::from_utf8_lossy(&kept.stderr);
    ensure!(!kept.status.success(), "host keep has found room: {said}");
    ensure!(said.contains("/data/etc") && said.contains("No space left on device"), "it says: {said}");
    let files =
        stdout("find", &["/data/etc", "-type", "f", "(", "-empty", "-o", "-name", ".sealpack*", ")"])?;
    ensure!(files == "/data/etc/.sealpack-keep.lock", "something half-done is there: {files}");
    Ok(())
}

fn note(path: &str) -> String {
    format!("{NOTES}/{}", path.rsplit('/').next().unwrap_or_default())
}

fn kept(path: &str) -> String {
    format!("/data{path}")
}
