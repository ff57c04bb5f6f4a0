//! The data partition: found by its label, and mounted.

mod devices;
mod label;

use std::path::Path;
use std::time::{Duration, Instant};

use sealpack_format::boot::{DataLabel, data};
use sealpack_kernel::Kernel;
use sealpack_kernel::directory::Directory;
use sealpack_kernel::mount::MountAttributes;

use super::failure::Failure;
use super::mounts;
use crate::kernel_log::{self, Matters};
use label::Found;

/// How long devices are waited for: drivers find them in their own time.
const WAIT: Duration = Duration::from_secs(20);
/// Where the kernel lists them.
const CLASSES: &str = "/sys/class/block";
/// Where their files are.
const FILES: &str = "/dev";
/// How often they are looked at.
const INTERVAL: Duration = Duration::from_millis(50);

/// The data partition, mounted.
#[derive(Debug)]
pub(super) struct Data {
    /// Its device.
    pub(super) device: String,
    /// Its root directory, wherever that is mounted.
    pub(super) root: Directory,
}

/// Mounts the filesystem with that label at [`data::MOUNTED_AT`], so that nothing on it is executed, has set-user-ID bits,
/// or is a device.
///
/// # Errors
/// None with that label is there in time, or more than one; it cannot be mounted.
pub(super) fn mount(kernel: &Kernel, label: &DataLabel) -> Result<Data, Failure> {
    let Found { path, superblock } = wait_for(label)?;
    if !superblock.is_clean {
        let text = format!("{path} was not unmounted: the kernel replays its journal");
        kernel_log::write(Matters::Notice, &text);
    }
    if superblock.has_errors {
        let text = format!("the kernel found errors on {path} before: check it (e2fsck)");
        kernel_log::write(Matters::Warning, &text);
    }
    let target = Path::new(data::MOUNTED_AT);
    mounts::make_mount_point(target)?;
    mount_at(kernel, &path, target).map_err(|failure| label::explained(failure, &superblock))?;
    Ok(Data { root: mounts::open(target)?, device: path })
}

fn mount_at(kernel: &Kernel, device: &str, target: &Path) -> Result<(), Failure> {
    let context = kernel.fsopen("ext4")?;
    context.set_string("source", device)?;
    context.create()?;
    let attributes = MountAttributes { nosuid: true, nodev: true, noexec: true, read_only: false };
    let mount = context.mount(attributes)?;
    Ok(kernel.attach(&mount, mounts::open(target)?)?)
}

/// Whether a filesystem has the label, or several have, as far as devices are there yet.
pub(super) fn is_there(label: &DataLabel) -> bool {
    let devices = devices::all(Path::new(CLASSES), Path::new(FILES));
    devices.is_ok_and(|devices| match label::find(label, devices) {
        Ok(_) => true,
        Err(error) => !error.may_pass(),
    })
}

/// Waits until just one filesystem has the label.
fn wait_for(label: &DataLabel) -> Result<Found, Failure> {
    let begun = Instant::now();
    loop {
        match label::find(label, devices::all(Path::new(CLASSES), Path::new(FILES))?) {
            Err(error) if error.may_pass() && begun.elapsed() < WAIT => std::thread::sleep(INTERVAL),
            found => return found.map_err(Failure::from),
        }
    }
}
