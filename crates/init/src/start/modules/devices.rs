//! Which devices there are, by the names that drivers are chosen by.

use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

/// Buses whose devices are there as soon as they are; `modules.alias` names those that the host's maker took.
const BUSES: [&str; 6] = ["acpi", "pci", "platform", "virtio", "vmbus", "xen"];
/// What the processors can do.
const PROCESSORS: &str = "devices/system/cpu/modalias";
/// The kernel's limit for a file of sysfs.
const NAME_MAX_BYTES: u64 = 4096;

/// The names of all devices. What cannot be read has none.
pub(super) fn names(sysfs: &Path) -> Vec<String> {
    let mut names: Vec<String> = name_in(&sysfs.join(PROCESSORS)).into_iter().collect();
    for bus in BUSES {
        let devices = fs::read_dir(sysfs.join("bus").join(bus).join("devices"));
        let devices = devices.into_iter().flatten().flatten();
        names.extend(devices.filter_map(|device| name_in(&device.path().join("modalias"))));
    }
    names
}

fn name_in(file: &Path) -> Option<String> {
    let mut name = String::new();
    File::open(file).ok()?.take(NAME_MAX_BYTES).read_to_string(&mut name).ok()?;
    Some(name.trim_end().to_owned())
}
