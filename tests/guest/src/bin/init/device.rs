//! dm-verity devices, activated with the kernel's own calls, without what `sealpack` adds to them.

use anyhow::{Context, Result, ensure};
use sealpack_kernel::dm::{Device, DeviceMapper, DeviceName, DeviceNumber, VerityTable};
use sealpack_kernel::loopdev::LoopDevice;
use sealpack_kernel::mount::{DetachedMount, MountAttributes, fd_path};
use sealpack_kernel::{Error, Kernel};
use std::fs::{self, File};
use std::os::fd::AsFd;
use std::path::Path;

/// Loop device and table of a file with data and tree, whose table the files beside it describe: `root-hash` and
/// `data-blocks` in the directory `described`.
pub(crate) struct Attached {
    _loop_device: LoopDevice,
    pub(crate) table: VerityTable,
}

impl Attached {
    pub(crate) fn new(kernel: &Kernel, path: &str, described: &str, key: Option<&str>) -> Result<Self> {
        let file = File::open(path).with_context(|| format!("cannot open {path}"))?;
        let loop_device = kernel.attach_loop(file.as_fd())?;
        let text = |name: &str| fs::read_to_string(format!("{described}/{name}"));
        let (number, data_blocks) = (DeviceNumber::of_open(&loop_device)?, text("data-blocks")?.parse()?);
        let table = VerityTable {
            data: number,
            hashes: number,
            data_blocks,
            hash_start_block: data_blocks + 1,
            root_hash: text("root-hash")?.parse()?,
            signature_key: key.map(str::to_owned),
        };
        Ok(Self { _loop_device: loop_device, table })
    }
}

/// In the order that leaves nothing behind when it is cut short.
pub(crate) fn activate(
    kernel: &Kernel,
    mapper: &DeviceMapper<'_>,
    name: &DeviceName,
    attached: &Attached,
    signature: Option<&[u8]>,
) -> Result<Device, Error> {
    activate_table(kernel, mapper, name, &attached.table, signature)
}

/// The same, of a table whose devices the caller has open.
pub(crate) fn activate_table(
    kernel: &Kernel,
    mapper: &DeviceMapper<'_>,
    name: &DeviceName,
    table: &VerityTable,
    signature: Option<&[u8]>,
) -> Result<Device, Error> {
    mapper.create(name)?;
    let load = || {
        let key = table.signature_key.as_deref().zip(signature);
        let _lent = key.map(|(key, signature)| kernel.add_thread_key(key, signature)).transpose()?;
        mapper.load(name, table)
    };
    if let Err(error) = load() {
        mapper.remove(name)?;
        return Err(error);
    }
    let device = mapper.open(name)?;
    mapper.remove_when_unused(name)?;
    mapper.resume(name)?;
    Ok(device)
}

/// The filesystem on an activated device.
pub(crate) fn mount(kernel: &Kernel, device: &Device) -> Result<DetachedMount> {
    let context = kernel.fsopen("erofs")?;
    context.set_flag("ro")?;
    context.set_string("source", fd_path(device))?;
    context.create()?;
    Ok(context.mount(MountAttributes { read_only: true, ..MountAttributes::default() })?)
}

/// Mounts the signed device of the directory `of` at `target`, until somebody unmounts it.
pub(crate) fn mount_signed(of: &str, target: &str) -> Result<()> {
    let kernel = Kernel::new();
    let mapper = kernel.device_mapper()?;
    let name = Path::new(of).file_name().context("a directory has a name")?;
    let name: DeviceName = format!("guest-{}", name.to_string_lossy()).parse()?;
    let attached = Attached::new(&kernel, &format!("{of}/device"), of, Some("guest-signature"))?;
    let signature = fs::read(format!("{of}/trusted.p7s"))?;
    let device = activate(&kernel, &mapper, &name, &attached, Some(&signature))?;
    let mount = self::mount(&kernel, &device)?;
    let directory = File::open(target).with_context(|| format!("cannot open {target}"))?;
    ensure!(directory.metadata()?.is_dir(), "{target} is not a directory");
    Ok(kernel.attach(&mount, &directory)?)
}
