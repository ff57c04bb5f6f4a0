//! What a first process does for the system.

use crate::device;
use anyhow::{Context, Result};
use rustix::mount::{MountFlags, mount};
use rustix::system::{RebootCommand, finit_module, reboot};
use sealpack_guest::initramfs::MODULES;
use std::fs::{self, File};
use std::path::Path;

/// The program under test.
pub(crate) const SEALPACK: &str = "/tools/bin/sealpack";

/// The first process of a sealed host, which is its broker too.
pub(crate) const HOST_INIT: &str = "/tools/bin/sealpack-init";

/// A shell and the usual commands.
pub(crate) const BUSYBOX: &str = "/tools/bin/busybox";

/// This program, where it may run whatever the policy.
pub(crate) const ITSELF: &str = "/tools/bin/sealpack-guest-init";

/// The attacks, as programs that are signed themselves.
pub(crate) const ATTACK: &str = "/tools/bin/attack";

/// Mounts the usual filesystems, the disk and the signed device with the tools, and loads the modules.
pub(crate) fn prepare() -> Result<()> {
    for (source, target, fs_type) in [
        ("proc", "/proc", "proc"),
        ("sysfs", "/sys", "sysfs"),
        ("devtmpfs", "/dev", "devtmpfs"),
        ("securityfs", "/sys/kernel/security", "securityfs"),
        ("tmpfs", "/tmp", "tmpfs"),
    ] {
        mount_at(source, target, fs_type)?;
    }
    let modules = Path::new(MODULES);
    for name in fs::read_to_string(modules.join("order"))?.lines() {
        let path = modules.join(format!("{name}.ko"));
        let file = File::open(&path).with_context(|| format!("cannot open {}", path.display()))?;
        // Otherwise the kernels that have a keyring of dm-verity's own would close it at once. Those that have
        // none ignore a parameter that they do not know.
        let parameters = if name == "dm_verity" { c"keyring_unsealed=1" } else { c"" };
        finit_module(&file, parameters, 0).with_context(|| format!("cannot load {name}"))?;
    }
    mount_at("/dev/vda", "/disk", "ext4")?;
    device::mount_signed("/disk/tools", "/tools").context("the tools cannot be mounted")
}

fn mount_at(source: &str, target: &str, fs_type: &str) -> Result<()> {
    mount(source, target, fs_type, MountFlags::empty(), None)
        .with_context(|| format!("cannot mount {source} at {target}"))
}

/// Forgets what was read from disks, so that it is read again.
pub(crate) fn drop_caches() -> Result<()> {
    rustix::fs::sync();
    fs::write("/proc/sys/vm/drop_caches", "3").context("cannot drop the caches")
}

/// Ends the machine.
pub(crate) fn power_off() {
    rustix::fs::sync();
    if let Err(error) = reboot(RebootCommand::PowerOff) {
        println!("the machine cannot be turned off: {error}");
    }
}
