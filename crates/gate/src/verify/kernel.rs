//! What the kernel has to say about an image that is mounted.

use sealpack_format::digest::RootHash;
use sealpack_kernel::Kernel;
use sealpack_mount::{ExecutedDevice, LiveDevice, live_devices, mounted, only_claimed};
use sealpack_store::{ImageRecord, ObjectForm, Store};

use super::report::Report;

/// Asks about the mounts of the image and its devices.
pub(super) fn ask(report: &mut Report, store: &Store, record: &ImageRecord, root_hash: Option<RootHash>) {
    let mounts = match mounted() {
        Ok(mounts) => mounts,
        Err(error) => return report.note("mounts", format!("cannot be read: {error}")),
    };
    let mounts: Vec<_> = mounts.into_iter().filter(|mount| mount.image == record.metadata_image).collect();
    for target in only_claimed(&record.metadata_image).unwrap_or_default() {
        let why = "calls itself a mount of the image, and has other layers";
        report.note("  not counted", format!("{} {why}", target.display()));
    }
    report.mounts = Some(mounts.iter().map(|mount| mount.target.clone()).collect());
    if mounts.is_empty() {
        return report.note("mounts", "none here");
    }
    for mount in &mounts {
        report.note("mounted on", mount.target.display());
    }
    if record.objects == ObjectForm::Files {
        let unchecked = mounts.iter().filter(|mount| !mount.objects_checked);
        for mount in unchecked {
            report.note("  contents", format!("not checked by the kernel on {}", mount.target.display()));
        }
        return;
    }
    let mut root_hashes: Vec<RootHash> = root_hash.into_iter().collect();
    match store.image_packs(record) {
        Ok(packs) => root_hashes.extend(packs.iter().map(|pack| pack.pack.root_hash)),
        Err(error) => report.bad("  devices", error),
    }
    let kernel = Kernel::default();
    let executed = match live_devices(&kernel, &root_hashes) {
        Ok(devices) => {
            devices.iter().for_each(|device| describe(report, device));
            let executed: Vec<_> = devices.iter().map(executed_from).collect();
            report.devices = Some(devices);
            if executed.is_empty() {
                report.note("  devices", "none: the mount is of plain files");
                return report.note("  enforced", "no: IPE tells files from others by their devices");
            }
            executed
        }
        Err(error) => {
            report.note("  devices", format!("not known: {error}"));
            Vec::new()
        }
    };
    match sealpack_mount::enforcement_in_force_for(&kernel, executed) {
        Ok(()) => report.note("  enforced", "yes, by the active IPE policy"),
        Err(why) => report.note("  enforced", format!("no: {why}")),
    }
}

fn executed_from(device: &LiveDevice) -> ExecutedDevice {
    ExecutedDevice { what: "the device", root_hash: device.root_hash, signed: device.signed }
}

fn describe(report: &mut Report, device: &LiveDevice) {
    let what = format!("  device {}", device.name);
    match &device.problem {
        Some(problem) => report.bad(what, problem),
        None if !device.intact => report.bad(what, "the kernel has read blocks that are not the right ones"),
        None if device.signed => report.good(what, "signed, and all that was read is right"),
        None => report.note(what, "not signed; all that was read is right"),
    }
}
