//! Devices that mounts have made, and mounts that are ended in the middle.

use super::images::{Store, busybox, target};
use anyhow::{Result, bail};
use sealpack_kernel::Kernel;
use sealpack_kernel::mountinfo;
use sealpack_tests::command::run;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

/// How long the kernel may take to remove what nobody uses any more; it does so after the last close has returned.
const PATIENCE: Duration = Duration::from_secs(6);

/// The names of all device-mapper devices.
pub(crate) fn devices() -> Result<BTreeSet<String>> {
    let kernel = Kernel::new();
    let mapper = kernel.device_mapper()?;
    Ok(mapper.devices()?.into_iter().map(|(name, _)| name).collect())
}

/// The names of all device-mapper devices, once those of the checks before have gone: that takes a moment, and what a check
/// finds at its beginning is what it compares with at its end.
pub(crate) fn settled() -> Result<BTreeSet<String>> {
    let is_of_mounts = |name: &String| name.starts_with("sealpack-");
    wait_for("the devices of other checks", || Ok(!devices()?.iter().any(is_of_mounts)))?;
    devices()
}

/// The files behind all loop devices.
pub(crate) fn loops() -> Result<BTreeSet<(PathBuf, String)>> {
    let mut loops = BTreeSet::new();
    for entry in fs::read_dir("/sys/block")? {
        let path = entry?.path();
        // Those that have no file have no such attribute.
        if let Ok(file) = fs::read_to_string(path.join("loop/backing_file")) {
            loops.insert((path, file));
        }
    }
    Ok(loops)
}

/// Waits until there are no other devices than `expected`.
pub(crate) fn ensure_none(expected: &BTreeSet<String>) -> Result<()> {
    wait_for("the devices", || Ok(devices()? == *expected))
}

/// Waits until no device is of a file of this store.
pub(crate) fn ensure_none_of(store: Store) -> Result<()> {
    let is_of = |file: &str| Path::new(file).starts_with(store.path());
    wait_for("the devices", || Ok(!loops()?.iter().any(|(_, file)| is_of(file))))
}

/// Waits until `done`, for something that takes a moment.
pub(crate) fn wait_for(what: &str, done: impl Fn() -> Result<bool>) -> Result<()> {
    let started = Instant::now();
    while started.elapsed() < PATIENCE {
        if done()? {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    bail!("{what}: after {} s there are still {:?}, {:?}", PATIENCE.as_secs(), devices()?, loops()?)
}

const NAME: &str = "killed";

/// How long a mount takes from its start to its end.
pub(crate) fn duration_of_mount() -> Result<Duration> {
    let started = Instant::now();
    run(Store::Sealed.sealpack(["mount", "one"]).arg(target(NAME)?))?;
    let duration = started.elapsed();
    busybox(["umount".as_ref(), target(NAME)?.as_os_str()])?;
    Ok(duration)
}

/// Starts a mount, kills it after `delay`, and unmounts what it has mounted by then. Says how far it was.
pub(crate) fn kill_mount_after(delay: Duration) -> Result<&'static str> {
    let target = target(NAME)?;
    let mut command = Store::Sealed.sealpack(["mount", "one"]);
    let mut mount = command.arg(&target).stdin(Stdio::null()).stdout(Stdio::null()).spawn()?;
    std::thread::sleep(delay);
    let had_ended = mount.try_wait()?.is_some();
    mount.kill()?;
    mount.wait()?;
    let mounts = mountinfo::read_own()?;
    let is_mounted = mounts.iter().any(|mount| mount.mount_point == target);
    if is_mounted {
        busybox(["umount".as_ref(), target.as_os_str()])?;
    }
    Ok(match (had_ended, is_mounted) {
        (true, _) => "it had ended",
        (false, true) => "it was mounted",
        (false, false) => "it was not mounted yet",
    })
}
