//! Updates of the policy.

use super::{read, stdout};
use anyhow::{Context, Result, bail, ensure};
use sealpack_guest::host::build::POLICY;
use sealpack_guest::host::task::Task;
use sealpack_guest::host::updates::{PROGRAM, SAYS, TOOL, Update};
use std::fs;
use std::io::ErrorKind;
use std::process::{Command, Output};

/// Where the tool's image is mounted.
const MOUNT: &str = "/run/sealpack-tool";

/// The tool runs; policies that are no updates are refused; the one that revokes its pack is taken, and kept.
pub(super) fn policy(_: &Task) -> Result<()> {
    fs::create_dir(MOUNT)?;
    stdout("sealpack", &["mount", "--require", "enforced", TOOL, MOUNT])?;
    let said = stdout(&program(), &[])?;
    ensure!(said == SAYS, "the tool says {said:?}");
    for (update, status, words) in [
        (Update::Older, 3, "never goes back"),
        (Update::Unknown, 3, "trusts no certificate of the signer"),
        (Update::Other, 1, "a policy of another name"),
        (Update::LockingOut, 3, "that this host is booted from"),
    ] {
        let output = load(&["--update"], update)?;
        refused(&output, status, words).with_context(|| format!("{update:?}"))?;
    }
    refused(&load(&[], Update::Revoking)?, 1, "only updates the active one")?;
    ensure!(kept()?.is_empty(), "what was refused is kept: {:?}", kept()?);
    let version = active()?;
    ensure!(version == "1.0.0", "the active version is {version}");

    let output = load(&["--update"], Update::Revoking)?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(output.status.success() && said.contains("kept for the next boot"), "{output:?}");
    is_revoked()?;
    // Once more, as somebody does who is not sure.
    let again = load(&["--update"], Update::Revoking)?;
    ensure!(again.status.success(), "{again:?}");
    ensure!(kept()? == [format!("{POLICY}-{}.p7b", Update::Revoking.version())], "{:?}", kept()?);
    stdout("sealpack", &["umount", MOUNT])?;
    refused(&mount()?, 3, "denies executing what is on")
}

/// After the next boot the same holds, and it is told where it came from.
pub(super) fn survives(_: &Task) -> Result<()> {
    let version = active()?;
    ensure!(version == Update::Revoking.version(), "the active version is {version}");
    let file = format!("{POLICY}-{}.p7b", Update::Revoking.version());
    let status = stdout("sealpack", &["host", "status", "--json"])?;
    let status: serde_json::Value = serde_json::from_str(&status)?;
    ensure!(status["host"]["policy_update"] == file, "{status:#}");
    fs::create_dir(MOUNT)?;
    refused(&mount()?, 3, "denies executing what is on")?;
    stdout("sealpack", &["mount", TOOL, MOUNT])?;
    is_revoked()?;
    stdout("sealpack", &["umount", MOUNT]).map(drop)
}

/// The version is the active one, and the tool does not start.
fn is_revoked() -> Result<()> {
    let version = active()?;
    ensure!(version == Update::Revoking.version(), "the active version is {version}");
    match Command::new(program()).output() {
        Err(error) if error.kind() == ErrorKind::PermissionDenied => Ok(()),
        other => bail!("the tool was not refused: {other:?}"),
    }
}

fn mount() -> Result<Output> {
    Ok(Command::new("sealpack").args(["mount", "--require", "enforced", TOOL, MOUNT]).output()?)
}

fn load(options: &[&str], update: Update) -> Result<Output> {
    Ok(Command::new("sealpack").args(["policy", "load"]).args(options).arg(update.file()).output()?)
}

fn refused(output: &Output, status: i32, words: &str) -> Result<()> {
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.code() == Some(status) && said.contains(words), "{words:?}: {output:?}");
    Ok(())
}

fn program() -> String {
    format!("{MOUNT}/{PROGRAM}")
}

fn active() -> Result<String> {
    read(&format!("/sys/kernel/security/ipe/policies/{POLICY}/version"))
}

/// The names of the kept policies.
fn kept() -> Result<Vec<String>> {
    let entries = fs::read_dir("/data/policies").context("there is no place for kept policies")?;
    entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
}
