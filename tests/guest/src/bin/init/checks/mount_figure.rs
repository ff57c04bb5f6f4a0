//! How long an enforced mount takes, beside the same filesystems mounted by hand. It judges nothing: the machine is emulated.

use super::Verdict;
use super::images::{Mounted, Store, busybox, target};
use super::leftovers::{devices, loops, settled, wait_for};
use crate::by_hand::Lower;
use crate::system::{ITSELF, SEALPACK};
use anyhow::{Context, Result, ensure};
use sealpack_guest::figures::{self, KINDS};
use sealpack_kernel::Kernel;
use sealpack_kernel::dm::{DeviceMapper, DeviceName, Target};
use sealpack_tests::command::{attempt, run};
use sealpack_tests::files;
use sealpack_trust::seal::Seal;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// How often each is measured: as often as a ratio near 1 needs it.
const RUNS: usize = 15;

const IMAGE: &str = "two";
const LOWERS: &str = "/disk/lowers.json";

pub(crate) fn figure() -> Result<Verdict> {
    let at = target("figure-mount")?;
    fs::write(LOWERS, serde_json::to_vec(&lowers_of(&at)?)?)?;
    let first = attempt(&mut by_hand("erofs", &at))?;
    if !first.status.success() {
        let why = String::from_utf8_lossy(&first.stdout).into_owned();
        return Ok(Verdict::Inapplicable(format!("this kernel's overlayfs takes no descriptors: {why}")));
    }
    unmount(&at)?;
    let kinds: [&dyn Fn() -> Command; 3] =
        [&|| sealpack(&at), &|| by_hand("erofs", &at), &|| by_hand("verity", &at)];
    let mut samples: [Vec<Duration>; 3] = Default::default();
    // One round that fills the caches is not counted.
    for round in 0..=RUNS {
        for (kind, samples) in kinds.iter().zip(&mut samples) {
            let mut command = kind();
            let started = Instant::now();
            run(&mut command)?;
            let duration = started.elapsed();
            unmount(&at)?;
            if round > 0 {
                samples.push(duration);
            }
        }
    }
    fs::remove_file(LOWERS)?;
    for (kind, samples) in KINDS.iter().zip(&samples) {
        println!("{}", figures::line(kind, samples));
    }
    Ok(Verdict::Shown)
}

fn sealpack(at: &Path) -> Command {
    let mut command = Command::new(SEALPACK);
    command.arg("--store").arg(Store::Sealed.path());
    command.args(["--quiet", "mount", IMAGE, "--require", "enforced"]).arg(at);
    command
}

fn by_hand(kind: &str, at: &Path) -> Command {
    let mut command = Command::new(ITSELF);
    command.args(["by-hand", kind, LOWERS]).arg(at);
    command
}

/// Unmounts, and waits until all devices have gone, so that the next mount makes its own.
fn unmount(at: &Path) -> Result<()> {
    busybox(["umount".as_ref(), at.as_os_str()])?;
    let is_left = |name: &String| name.starts_with("sealpack-") || name.starts_with("by-hand-");
    let store = Store::Sealed.path();
    wait_for("the devices", || {
        let has_loop = loops()?.iter().any(|(_, file)| Path::new(file).starts_with(store));
        Ok(!has_loop && !devices()?.iter().any(is_left))
    })
}

/// The filesystems of the image, the metadata image first, as the devices of a mount by `sealpack` have them.
fn lowers_of(at: &Path) -> Result<Vec<Lower>> {
    let before = settled()?;
    run(&mut sealpack(at))?;
    let mounted = Mounted::at(at);
    let kernel = Kernel::new();
    let mapper = kernel.device_mapper()?;
    let seals = seals()?;
    let new = devices()?.into_iter().filter(|name| !before.contains(name));
    let mut lowers: Vec<Lower> =
        new.map(|name| lower(&mapper, &name.parse()?, &seals)).collect::<Result<_>>()?;
    ensure!(lowers.len() > 1, "the mount has {} devices", lowers.len());
    lowers.sort_by_key(|lower| lower.data == lower.hashes);
    drop(mounted);
    wait_for("the devices", || Ok(devices()? == before))?;
    Ok(lowers)
}

fn lower(mapper: &DeviceMapper<'_>, name: &DeviceName, seals: &[Seal]) -> Result<Lower> {
    let table = mapper.table(name)?.context("the device is gone")?;
    let [Target { parameters, .. }] = &table[..] else { anyhow::bail!("not one target: {table:?}") };
    // The fields of Documentation/admin-guide/device-mapper/verity.rst.
    let fields: Vec<&str> = parameters.split(' ').collect();
    let field = |number: usize| fields.get(number).copied().with_context(|| parameters.clone());
    let root_hash = field(8)?.to_owned();
    let parsed = root_hash.parse()?;
    let signature = seals.iter().find_map(|seal| seal.signatures(&parsed).first());
    Ok(Lower {
        data: file_of(field(1)?)?,
        hashes: file_of(field(2)?)?,
        data_blocks: field(5)?.parse()?,
        hash_start_block: field(6)?.parse()?,
        signature: signature.context("no seal has a signature of it")?.clone(),
        root_hash,
    })
}

/// The file that the loop device with that number reads.
fn file_of(number: &str) -> Result<PathBuf> {
    let path = format!("/sys/dev/block/{number}/loop/backing_file");
    Ok(fs::read_to_string(path)?.trim_end().into())
}

fn seals() -> Result<Vec<Seal>> {
    let files = files::below(&Store::Sealed.path().join("seals"))?;
    files.iter().map(|path| Ok(Seal::parse(&fs::read(path)?)?)).collect()
}
