//! What two images with a common base share, and that nothing of a mount stays behind.

use super::images::{self, Store};
use super::{Verdict, leftovers};
use crate::system::{ATTACK, drop_caches};
use anyhow::{Context, Result, ensure};
use sealpack_guest::images::LIBRARY;
use sealpack_tests::command::{run, stdout};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

/// How many mounts are killed, at moments from their start to their end.
const KILLED: u32 = 12;

/// How many pages of a file are in the page cache, and how many it has. Reads none of them.
fn resident(path: &Path) -> Result<(u64, u64)> {
    let said = stdout(Command::new(ATTACK).arg("resident").arg(path))?;
    let (cached, all) = said.split_once(' ').with_context(|| format!("{said:?} are not two numbers"))?;
    Ok((cached.parse()?, all.parse()?))
}

pub(crate) fn pages() -> Result<Verdict> {
    let (one, two) = (images::signed("one")?, images::signed("two")?);
    drop_caches()?;
    let (before, all) = resident(&two.path(LIBRARY))?;
    ensure!(before == 0 && all > 100, "{before} of {all} pages are cached before anybody read them");
    fs::read(one.path(LIBRARY))?;
    let (after, all) = resident(&two.path(LIBRARY))?;
    println!("read through one mount, {after} of {all} pages are in the cache of the other one");
    ensure!(after == all, "only {after} of {all} pages are shared");
    Ok(Verdict::Shown)
}

pub(crate) fn device() -> Result<Verdict> {
    let before = leftovers::settled()?;
    let one = images::signed("one")?;
    let of_one: BTreeSet<_> = leftovers::devices()?.difference(&before).cloned().collect();
    let two = images::signed("two")?;
    let of_both: BTreeSet<_> = leftovers::devices()?.difference(&before).cloned().collect();
    println!("image one has {of_one:?}, with image two there are {of_both:?}");
    ensure!(of_one.len() == 3, "a metadata image and two packs are not {} devices", of_one.len());
    ensure!(of_both.is_superset(&of_one) && of_both.len() == 5, "the pack of the common base is not shared");
    drop(one);
    // The device of the base stays for the second image.
    leftovers::wait_for("the devices of one image only", || {
        let now: BTreeSet<_> = leftovers::devices()?.difference(&before).cloned().collect();
        Ok(now.len() == 3 && now.intersection(&of_one).count() == 1)
    })?;
    fs::read(two.path(LIBRARY)).context("through the mount that is left")?;
    drop(two);
    leftovers::ensure_none(&before)?;
    Ok(Verdict::Shown)
}

/// A mounted image has three signed devices, which nothing was read from that is not right.
pub(crate) fn verify() -> Result<Verdict> {
    let one = images::signed("one")?;
    let said = stdout(&mut Store::Sealed.sealpack(["--json", "--trust", "/disk/trust", "verify", "one"]))?;
    println!("{said}");
    let report: Value = serde_json::from_str(&said).context("what verify prints")?;
    let devices = report["devices"].as_array().context("no devices are listed")?;
    let is_good = |device: &&Value| device["signed"] == true && device["intact"] == true;
    ensure!(devices.len() == 3 && devices.iter().filter(is_good).count() == 3, "{devices:#?}");
    ensure!(report["mounts"][0]["target"] == one.root().to_string_lossy().as_ref(), "{}", report["mounts"]);
    Ok(Verdict::Shown)
}

pub(crate) fn nothing_left() -> Result<Verdict> {
    let (devices, loops) = (leftovers::settled()?, leftovers::loops()?);
    let is_clean = || Ok(leftovers::devices()? == devices && leftovers::loops()? == loops);
    drop(images::signed("one")?);
    leftovers::wait_for("what was mounted", is_clean)?;
    let duration = leftovers::duration_of_mount()?;
    for step in 1..=KILLED {
        let delay = duration * step / KILLED;
        let how = leftovers::kill_mount_after(delay)?;
        let cleared =
            leftovers::wait_for("what was killed", is_clean).map(|()| "nothing is left").or_else(|_| {
                // A device that nobody has opened yet does not go by itself.
                run(&mut Store::Sealed.sealpack(["gc"]))?;
                leftovers::wait_for("what was killed, and gc", is_clean).map(|()| "gc removed a device")
            });
        println!("killed after {} ms: {how}, {}", delay.as_millis(), cleared?);
    }
    drop(images::signed("one").context("a mount after all that")?);
    drop(Store::Unsealed.mount("one", &images::target("unsealed")?, "verified")?);
    leftovers::wait_for("what is not sealed", is_clean)?;
    Ok(Verdict::Shown)
}
