//! A host that is kept up to date: what it does in each of its starts, and what it finds in the next.

use super::{boots, stdout};
use anyhow::{Context, Result, ensure};
use rustix::fs::{IFlags, ioctl_getflags, ioctl_setflags};
use sealpack_guest::host::fleet::{
    BAD, BOTH, COMPLAINT, DENIED, GIVEN, LOADER, NEW_ONLY, STABLE, VERSION_FILE, Version,
};
use sealpack_guest::host::task::Task;
use sealpack_tests::schema;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::process::Command;

/// The directory of UKIs.
const UKIS: &str = "/efi/EFI/Linux";

/// The packs of the host's store.
const PACKS: &str = "/data/store/packs/sha256";

/// Where the firmware's variables of keys are, with their vendor (UEFI specification, 32.6.1).
const KEYS_OF_FIRMWARE: &str = "/sys/firmware/efi/efivars";
const VENDOR: &str = "d719b2cb-3d3a-4596-a3bc-dad00e67656f";

/// What differs between the versions is one layer: its pack.
const PACKS_OF_AN_UPDATE: usize = 1;

/// Has the firmware trust the new keys beside the old ones, and the boot loader signed by both.
pub(super) fn takes_new_keys(_: &Task) -> Result<()> {
    is(Version::First)?;
    change("db", BOTH)?;
    let (loader, new) = ("/efi/EFI/BOOT/BOOTX64.EFI", "/efi/EFI/BOOT/BOOTX64.new");
    fs::copy(format!("/efi/{GIVEN}/{LOADER}"), new)?;
    File::open(new)?.sync_all()?;
    fs::rename(new, loader)?;
    Ok(File::open("/efi/EFI/BOOT")?.sync_all()?)
}

/// Brings the update: the pack of the layer that differs, and no other.
pub(super) fn upgrades(_: &Task) -> Result<()> {
    let before = packs()?;
    bring(STABLE, Version::Second, "+3")?;
    let new: Vec<String> = packs()?.difference(&before).cloned().collect();
    ensure!(new.len() == PACKS_OF_AN_UPDATE, "not one pack is new: {new:?}");
    ensure!(ukis()?.len() == 2, "there are not two UKIs: {:?}", ukis()?);
    Ok(())
}

/// Brings an image and its UKI as docs/sealed-hosts.md does.
fn bring(name: &str, version: Version, tries: &str) -> Result<()> {
    stdout("sealpack", &["pull", "--require", "sealed", name])?;
    // The number of the newest is the highest.
    let number = 99_999_999_990 + version as u64;
    let (given, new) =
        (format!("/efi/{GIVEN}/{}.efi", version.word()), format!("{UKIS}/sealed_{number}.new"));
    fs::copy(given, &new)?;
    stdout("sync", &["--file-system", "/efi"])?;
    fs::rename(new, format!("{UKIS}/sealed_{number}{tries}.efi"))?;
    stdout("sync", &["--file-system", "/efi"]).map(drop)
}

/// The update runs, is blessed, and nothing has failed.
pub(super) fn upgraded(task: &Task) -> Result<()> {
    is(Version::Second)?;
    boots::boots(task)?;
    is_blessed()?;
    let host = status()?;
    ensure!(host["names"] == serde_json::json!([STABLE]), "{host:#}");
    ensure!(host["last_refused"].is_null(), "{host:#}");
    Ok(())
}

/// From the next start on the firmware trusts the new keys only.
pub(super) fn drops_old_keys(_: &Task) -> Result<()> {
    let before = keys_of(".platform")?;
    for key in ["host-boot:", "host-boot-next:"] {
        ensure!(before.iter().any(|other| other.contains(key)), "{key} is not among {before:?}");
    }
    change("db", NEW_ONLY)
}

/// Goes to the version whose start is not good, with one try.
pub(super) fn takes_a_bad_version(_: &Task) -> Result<()> {
    bring(BAD, Version::Bad, "+1")
}

/// The bad version was tried and left, and `host status` tells which and why.
pub(super) fn falls_back(task: &Task) -> Result<()> {
    is(Version::Second)?;
    boots::boots(task)?;
    let names = ukis()?;
    ensure!(names.iter().any(|name| name.ends_with("+0-1.efi")), "none has failed: {names:?}");
    let host = status()?;
    let refused = &host["refused"];
    ensure!(refused["step"] == "boot-complete" && refused["names"] == serde_json::json!([BAD]), "{host:#}");
    let why = format!("site-check.service has failed (exit-code, status 7): {COMPLAINT}");
    ensure!(refused["reason"].as_str().is_some_and(|reason| reason.contains(&why)), "{host:#}");
    let text = stdout("sealpack", &["host", "status"])?;
    ensure!(text.contains(&format!("boot refused, boot-complete: {why}")) && text.contains(BAD), "{text}");
    Ok(())
}

/// The old keys are gone, and what was signed by both runs. What the old boot key has signed is denied from now on.
pub(super) fn keys_rotated(_: &Task) -> Result<()> {
    let keys = keys_of(".platform")?;
    ensure!(keys.iter().any(|key| key.contains("host-boot-next:")), "{keys:?}");
    for gone in ["host-boot:", "host-policy:", "host-packs:"] {
        ensure!(!keys.iter().any(|key| key.contains(gone)), "{gone} is still among {keys:?}");
    }
    change("dbx", DENIED)
}

/// After a power cut: the host is up, whichever version it is, and the update can be brought to its end.
pub(super) fn survives_power_cut(task: &Task) -> Result<()> {
    boots::boots(task)?;
    stdout("sealpack", &["fsck"])?;
    status().map(drop)
}

/// Hands a change to the firmware, as docs/keys.md does.
fn change(variable: &str, file: &str) -> Result<()> {
    let path = format!("{KEYS_OF_FIRMWARE}/{variable}-{VENDOR}");
    if let Ok(variable) = File::open(&path) {
        let flags = ioctl_getflags(&variable)?;
        ioctl_setflags(&variable, flags - IFlags::IMMUTABLE)?;
    }
    let change = fs::read(format!("/efi/{GIVEN}/{file}"))?;
    fs::write(&path, change).with_context(|| format!("the firmware does not take {file}"))
}

/// What the keys of a keyring are called.
fn keys_of(ring: &str) -> Result<Vec<String>> {
    let document = document(&["host", "status"])?;
    let rings = document["keyrings"].as_array().context("no keyrings")?;
    let ring = rings.iter().find(|other| other["name"] == ring);
    let ring = ring.with_context(|| format!("no such keyring in {document:#}"))?;
    let descriptions = ring["descriptions"].as_array().with_context(|| format!("{ring:#}"))?;
    // A name, a colon, and the key's identifier.
    Ok(descriptions.iter().filter_map(Value::as_str).map(str::to_owned).collect())
}

fn is(version: Version) -> Result<()> {
    let text = fs::read_to_string(VERSION_FILE)?;
    let word = text.lines().next().unwrap_or_default();
    ensure!(word == version.word(), "the version that runs is {word}, and not {}", version.word());
    Ok(())
}

/// What runs counts no tries any more.
fn is_blessed() -> Result<()> {
    // It does so on its own.
    stdout("systemctl", &["start", "systemd-bless-boot.service"])?;
    let names = ukis()?;
    ensure!(names.iter().all(|name| !name.contains('+')), "something still counts its tries: {names:?}");
    Ok(())
}

fn status() -> Result<Value> {
    Ok(document(&["host", "status"])?["host"].clone())
}

fn document(arguments: &[&str]) -> Result<Value> {
    let output = Command::new("sealpack").args(arguments).arg("--json").output()?;
    ensure!(output.status.success(), "{output:?}");
    schema::document(&output.stdout)
}

fn packs() -> Result<BTreeSet<String>> {
    names(PACKS)
}

fn ukis() -> Result<BTreeSet<String>> {
    names(UKIS)
}

fn names(directory: &str) -> Result<BTreeSet<String>> {
    let entries = fs::read_dir(directory).with_context(|| format!("cannot list {directory}"))?;
    Ok(entries
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect::<std::io::Result<_>>()?)
}
