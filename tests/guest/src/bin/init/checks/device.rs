//! Signed devices.

use super::{Verdict, ensure_refused};
use crate::device::{Attached, activate, mount};
use crate::system::drop_caches;
use anyhow::{Context, Result, ensure};
use sealpack_guest::disk::{SIGNED_TEXT, SIGNED_TEXT_REPEATED};
use sealpack_kernel::dm::{Device, DeviceMapper, DeviceName, Target};
use sealpack_kernel::mount::fd_path;
use sealpack_kernel::{Errno, Error, Kernel};
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

const SIGNED: &str = "/disk/signed";

/// Activates the device with this signature, and what came of it.
fn try_signature(signature: &str) -> Result<Result<Device, Error>> {
    let kernel = Kernel::new();
    let mapper = kernel.device_mapper()?;
    let name: DeviceName = format!("check-{}", std::process::id()).parse()?;
    let attached = Attached::new(&kernel, &format!("{SIGNED}/device"), SIGNED, Some("sealpack-check"))?;
    let signature = fs::read(format!("{SIGNED}/{signature}"))?;
    let result = activate(&kernel, &mapper, &name, &attached, Some(&signature));
    if result.is_err() {
        ensure!(mapper.status(&name)?.is_none(), "a refused device is still there");
    }
    Ok(result)
}

pub(crate) fn accepted(signature: &str) -> Result<()> {
    let device = try_signature(signature)??;
    let mut block = [0; 4096];
    File::open(fd_path(&device))?.read_exact_at(&mut block, 0).context("reading the device")
}

pub(crate) fn refused(signature: &str, errno: Errno) -> Result<Verdict> {
    ensure_refused(signature, try_signature(signature)?, errno)?;
    Ok(Verdict::Shown)
}

pub(crate) fn signed() -> Result<Verdict> {
    let kernel = Kernel::new();
    let mapper = kernel.device_mapper()?;
    let name: DeviceName = "check-signed".parse()?;
    let attached = Attached::new(&kernel, &format!("{SIGNED}/device"), SIGNED, Some("check-signed-key"))?;
    let signature = fs::read(format!("{SIGNED}/trusted.p7s"))?;
    let device = activate(&kernel, &mapper, &name, &attached, Some(&signature))?;
    // The device keeps it from here on.
    drop(attached);
    let status = mapper.status(&name)?.context("the device is gone while it is open")?;
    ensure!(status.number == device.number(), "{status:?} is not of {}", device.number());
    ensure!(status.read_only && status.has_table && !status.suspended, "{status:?}");
    ensure!(status.removed_when_unused && status.open_count == 1, "{status:?}");
    ensure!(mapper.devices()?.contains(&("check-signed".into(), device.number())), "it is not listed");

    let mount = mount(&kernel, &device)?;
    drop(device);
    let text = fs::read_to_string(fd_path(&mount).join("text"))?;
    ensure!(text == SIGNED_TEXT.repeat(SIGNED_TEXT_REPEATED), "another text was read");
    let again = mapper.open(&name).context("a mounted device that will be removed cannot be opened again")?;
    drop((again, mount));
    ensure!(gone(&mapper, &name)?, "the device is still there after the last unmount");
    ensure!(mapper.table(&name)?.is_none(), "a device that is not there has a table");
    Ok(Verdict::Shown)
}

/// Whether the device goes within a few seconds: it does so after the last close has returned.
fn gone(mapper: &DeviceMapper<'_>, name: &DeviceName) -> Result<bool> {
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(10) {
        if mapper.status(name)?.is_none() {
            return Ok(true);
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(false)
}

pub(crate) fn corrupted() -> Result<Verdict> {
    let kernel = Kernel::new();
    let mapper = kernel.device_mapper()?;
    let (name, path) = ("check-corrupted".parse()?, "/disk/corrupted");
    let mut bytes = fs::read(format!("{SIGNED}/device"))?;
    let changed = 2 * 4096;
    bytes[changed] ^= 1;
    fs::write(path, &bytes)?;
    drop_caches()?;
    let attached = Attached::new(&kernel, path, SIGNED, None)?;
    let device = activate(&kernel, &mapper, &name, &attached, None)?;
    let (file, mut block) = (File::open(fd_path(&device))?, [0; 4096]);
    file.read_exact_at(&mut block, 0).context("a good block")?;
    let read = file.read_exact_at(&mut block, changed as u64);
    let error = read.err().context("a changed block was read")?;
    ensure!(error.raw_os_error() == Some(5), "a changed block: {error}, not EIO");
    let said: Vec<_> = mapper.target_status(&name)?.unwrap_or_default();
    ensure!(matches!(&said[..], [Target { parameters, .. }] if parameters.starts_with('C')), "{said:?}");
    drop((device, file, attached));
    ensure!(gone(&mapper, &name)?, "the device is still there");
    fs::remove_file(path)?;
    Ok(Verdict::Shown)
}

pub(crate) fn table() -> Result<Verdict> {
    let kernel = Kernel::new();
    let mapper = kernel.device_mapper()?;
    for (name, key) in [("check-unsigned", None), ("check-table", Some("check-table-key"))] {
        let name: DeviceName = name.parse()?;
        let attached = Attached::new(&kernel, &format!("{SIGNED}/device"), SIGNED, key)?;
        let signature = fs::read(format!("{SIGNED}/trusted.p7s"))?;
        let device = activate(&kernel, &mapper, &name, &attached, Some(&signature))?;
        let table = mapper.table(&name)?.context("there is no table")?;
        let expected = attached.table.target();
        ensure!(table == [expected.clone()], "not {expected:?} but {table:?}");
        ensure_refused("a second device of the name", mapper.create(&name), Errno::BUSY)?;
        let removed = mapper.remove(&name);
        ensure_refused("removing an open device", removed, Errno::BUSY)?;
        drop((device, attached));
        ensure!(gone(&mapper, &name)?, "{name} is still there");
    }
    Ok(Verdict::Shown)
}
