//! A host that is kept up to date: what it does in each of its starts, and what it finds in the next.

use super::{boots, stdout};
use anyhow::{Context, Result, ensure};
use rustix::fs::{IFlags, ioctl_getflags, ioctl_setflags, syncfs};
use sealpack_guest::host::fleet::{
    BAD, BOTH, COMPLAINT, DENIED, GIVEN, LOADER, NEW_ONLY, OTHER, STABLE, VERSION_FILE, Version,
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
    // All of it: on FAT, the entry of a file that takes another one's place is written with the file, and not with the directory.
    Ok(syncfs(File::open("/efi/EFI/BOOT")?)?)
}

/// Brings the update: the pack of the layer that differs, and no other.
pub(super) fn upgrades(_: &Task) -> Result<()> {
    let before = packs()?;
    stdout("sealpack", &["host", "upgrade", STABLE])?;
    let new: Vec<String> = packs()?.difference(&before).cloned().collect();
    ensure!(new.len() == PACKS_OF_AN_UPDATE, "not one pack is new: {new:?}");
    ensure!(ukis()?.len() == 2, "there are not two UKIs: {:?}", ukis()?);
    // Once more, there is nothing to do.
    stdout("sealpack", &["host", "upgrade", STABLE])?;
    ensure!(ukis()?.len() == 2, "there are not two UKIs: {:?}", ukis()?);
    Ok(())
}

/// The update runs, is blessed, and nothing has failed.
pub(super) fn upgraded(task: &Task) -> Result<()> {
    is(Version::Second)?;
    boots::boots(task)?;
    is_blessed()?;
    let host = status()?;
    is_called(&host, STABLE)?;
    ensure!(host["last_refused"].is_null(), "{host:#}");
    Ok(())
}

/// What the fallback needs stays when all that nothing needs goes.
pub(super) fn keeps_fallback(_: &Task) -> Result<()> {
    let before = packs()?;
    stdout("sealpack", &["gc", "--keep-previous", "0"])?;
    let gone: Vec<String> = before.difference(&packs()?).cloned().collect();
    ensure!(gone.is_empty(), "gc has removed packs of the fallback: {gone:?}");
    ensure!(ukis()?.len() == 2, "there are not two UKIs: {:?}", ukis()?);
    Ok(())
}

/// Goes to an image of another name.
pub(super) fn switches(_: &Task) -> Result<()> {
    stdout("sealpack", &["host", "switch", OTHER]).map(drop)
}

/// That image runs; what it was started from is signed by the new keys only, and where the kernel has a keyring for packs
/// alone, only the new one is there.
pub(super) fn switched(task: &Task) -> Result<()> {
    is(Version::Other)?;
    boots::boots(task)?;
    is_blessed()?;
    is_called(&status()?, OTHER)?;
    let keys = fs::read_to_string("/proc/keys")?;
    if keys.lines().any(|line| line.contains(" keyring ") && line.contains(".dm-verity:")) {
        let packs = keys_of(".dm-verity")?;
        ensure!(packs.iter().any(|key| key.contains("host-packs-next:")), "{packs:?}");
        ensure!(!packs.iter().any(|key| key.contains("host-packs:")), "{packs:?}");
    }
    Ok(())
}

/// Goes back to what ran before.
pub(super) fn rolls_back(_: &Task) -> Result<()> {
    stdout("sealpack", &["host", "rollback"]).map(drop)
}

/// What ran before runs.
pub(super) fn rolled_back(task: &Task) -> Result<()> {
    is(Version::Second)?;
    boots::boots(task)?;
    is_called(&status()?, STABLE)
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
    let before = ukis()?;
    stdout("sealpack", &["host", "switch", BAD])?;
    let new: Vec<String> = ukis()?.difference(&before).cloned().collect();
    let [new] = &new[..] else { anyhow::bail!("there is not one new UKI: {new:?}") };
    let once = new.replace("+3.efi", "+1.efi");
    ensure!(*new != once, "its tries are not counted: {new}");
    fs::rename(format!("{UKIS}/{new}"), format!("{UKIS}/{once}"))?;
    Ok(File::open(UKIS)?.sync_all()?)
}

/// The bad version was tried and left, and `host status` tells which and why.
pub(super) fn falls_back(task: &Task) -> Result<()> {
    is(Version::Second)?;
    boots::boots(task)?;
    let names = ukis()?;
    ensure!(names.iter().any(|name| name.ends_with("+0-1.efi")), "none has failed: {names:?}");
    let host = status()?;
    let refused = &host["refused"];
    ensure!(refused["step"] == "boot-complete", "{host:#}");
    is_called(refused, BAD)?;
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
    stdout("sealpack", &["host", "upgrade", STABLE])?;
    ensure!(ukis()?.len() == 2, "there are not two UKIs: {:?}", ukis()?);
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

/// The name is among those of what is shown.
fn is_called(shown: &Value, name: &str) -> Result<()> {
    let names = shown["names"].as_array().with_context(|| format!("no names in {shown:#}"))?;
    ensure!(names.iter().any(|other| other == name), "{name} is not among {names:?}");
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
