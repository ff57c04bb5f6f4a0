//! What mounts that were killed left behind.

use std::path::Path;

use sealpack_format::digest::RootHash;
use sealpack_kernel::dm::{DeviceMapper, DeviceName, DeviceStatus};
use sealpack_kernel::{Errno, Kernel};

use super::{LOCK_PATIENCE, is_race};
use crate::error::Error;
use crate::plan::NAME_PREFIX;

const DOING: &str = "removing devices that were left behind";

/// Removes devices of ours that nobody has open and that do not go by themselves: a process that
/// is killed between making a device and opening it leaves one. Returns their names.
///
/// Loads no module: where device-mapper is not in the kernel, there is nothing to remove. Who may not remove devices leaves
/// them to those who make them: the broker removes its own.
///
/// # Errors
/// [`Error::Call`].
pub fn remove_leftovers(kernel: &Kernel) -> Result<Vec<DeviceName>, Error> {
    if !kernel.has_device_mapper() {
        return Ok(Vec::new());
    }
    let mapper = kernel.device_mapper().map_err(|error| Error::call(DOING, error));
    match mapper.and_then(|mapper| sweep(&mapper)) {
        Err(error) if is_refused(&error) => Ok(Vec::new()),
        result => result,
    }
}

/// Whether something failed for want of privilege.
fn is_refused(error: &Error) -> bool {
    match error {
        Error::Privilege(_) => true,
        Error::Call { error, .. } => error.errno() == Errno::ACCESS,
        _ => false,
    }
}

/// The root hashes of all devices of ours, which those who use them may know by nothing else: of packs, and of
/// metadata images.
///
/// # Errors
/// [`Error::Call`].
pub fn root_hashes_in_use(kernel: &Kernel) -> Result<Vec<RootHash>, Error> {
    if !kernel.has_device_mapper() {
        return Ok(Vec::new());
    }
    let devices = kernel.device_mapper().and_then(|mapper| mapper.devices());
    match devices.map_err(|error| Error::call("listing the devices in use", error)) {
        Ok(devices) => Ok(devices.iter().filter_map(|(name, _)| root_hash_of(name)).collect()),
        Err(error) if is_refused(&error) => shown_root_hashes(Path::new("/sys/block")),
        Err(error) => Err(error),
    }
}

/// The same, as sysfs shows it to everybody.
fn shown_root_hashes(blocks: &Path) -> Result<Vec<RootHash>, Error> {
    let failed = |error| Error::Io { what: "the list of devices", path: blocks.to_owned(), error };
    let mut hashes = Vec::new();
    for entry in std::fs::read_dir(blocks).map_err(failed)? {
        // Other devices have no such name, and one may have gone since.
        let name = std::fs::read_to_string(entry.map_err(failed)?.path().join("dm/name"));
        hashes.extend(name.ok().and_then(|name| root_hash_of(name.trim_end())));
    }
    Ok(hashes)
}

/// As [`remove_leftovers`].
pub(super) fn sweep(mapper: &DeviceMapper<'_>) -> Result<Vec<DeviceName>, Error> {
    let call = |error| Error::call(DOING, error);
    let has_ours = |names: &[(String, _)]| names.iter().any(|(name, _)| is_ours(name));
    if !has_ours(&mapper.devices().map_err(call)?) {
        return Ok(Vec::new());
    }
    // With the lock, nobody is just making one.
    let _lock = mapper.lock(LOCK_PATIENCE).map_err(call)?;
    let mut removed = Vec::new();
    for (name, _) in mapper.devices().map_err(call)? {
        let Some(name) = is_ours(&name).then(|| name.parse::<DeviceName>().ok()).flatten() else { continue };
        if !mapper.status(&name).map_err(call)?.as_ref().is_some_and(is_leftover) {
            continue;
        }
        match mapper.remove(&name) {
            Ok(()) => removed.push(name),
            Err(error) if is_race(&error) => {}
            Err(error) => return Err(call(error)),
        }
    }
    Ok(removed)
}

/// Whether nobody has the device open, and its last user's end would not remove it.
pub(super) const fn is_leftover(status: &DeviceStatus) -> bool {
    status.open_count == 0 && !status.removed_when_unused
}

/// Whether a device's name is one that mounts give.
fn is_ours(name: &str) -> bool {
    root_hash_of(name).is_some()
}

/// The root hash in a device's name that mounts give.
pub(super) fn root_hash_of(name: &str) -> Option<RootHash> {
    parts_of(name).map(|(hash, _)| hash)
}

/// The root hash and the number in a device's name that mounts give.
pub(super) fn parts_of(name: &str) -> Option<(RootHash, u64)> {
    let rest = name.strip_prefix(NAME_PREFIX)?;
    let rest = rest.strip_prefix("s-").or_else(|| rest.strip_prefix("u-"))?;
    let (hash, number) = rest.split_once('-').unwrap_or((rest, "1"));
    Some((hash.parse().ok()?, number.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use sealpack_kernel::Kernel;
    use sealpack_kernel::dm::DeviceNumber;

    use super::*;
    use crate::plan::Device;

    #[test]
    fn devices_of_ours_are_known_by_their_names_whatever_number_they_have() {
        let root_hash = "ab".repeat(32).parse().unwrap();
        let device = Device { root_hash, data_blocks: 5, tree: None, signatures: Vec::new() };
        for (is_signed, number) in [(true, 1), (false, 1), (true, 2), (false, 16)] {
            let name = device.name(is_signed, number);
            assert!(is_ours(name.as_str()), "{name}");
            assert_eq!(root_hash_of(name.as_str()), Some(root_hash));
        }
        let hash = "ab".repeat(32);
        assert_eq!(device.name(true, 1).as_str(), format!("sealpack-s-{hash}"));
        assert_eq!(device.name(false, 2).as_str(), format!("sealpack-u-{hash}-2"));
        for other in ["sealpack-", "sealpack-s-", "sealpack-s-abc", "sealpack-check", "vg-root"] {
            assert!(!is_ours(other), "{other}");
        }
        assert!(!is_ours(&format!("sealpack-x-{hash}")));
        assert!(!is_ours(&format!("sealpack-s-{hash}-old")));
        assert!(!is_ours(&format!("other-sealpack-s-{hash}")));
    }

    #[test]
    fn devices_are_known_by_what_sysfs_shows_too() {
        let blocks = tempfile::tempdir().unwrap();
        let hash = "cd".repeat(32);
        for (block, name) in
            [("dm-0", format!("sealpack-s-{hash}-16001\n")), ("dm-1", "vg-root\n".to_owned())]
        {
            std::fs::create_dir_all(blocks.path().join(block).join("dm")).unwrap();
            std::fs::write(blocks.path().join(block).join("dm/name"), name).unwrap();
        }
        std::fs::create_dir(blocks.path().join("vda")).unwrap();
        assert_eq!(shown_root_hashes(blocks.path()).unwrap(), [hash.parse().unwrap()]);
    }

    #[test]
    fn only_what_nobody_has_open_and_stays_is_a_leftover() {
        let fresh = DeviceStatus {
            number: DeviceNumber { major: 254, minor: 0 },
            open_count: 0,
            read_only: true,
            suspended: true,
            has_table: false,
            has_loaded_table: false,
            removed_when_unused: false,
        };
        assert!(is_leftover(&fresh));
        assert!(is_leftover(&DeviceStatus { has_table: true, suspended: false, ..fresh }));
        assert!(!is_leftover(&DeviceStatus { open_count: 1, ..fresh }));
        assert!(!is_leftover(&DeviceStatus { removed_when_unused: true, ..fresh }));
    }

    #[test]
    fn without_device_mapper_in_the_kernel_nothing_is_asked_of_it() {
        if Kernel::new().has_device_mapper() {
            eprintln!("skipped: device-mapper is in this kernel");
            return;
        }
        let kernel = Kernel::with_hook(|call| panic!("{call}"));
        assert_eq!(remove_leftovers(&kernel).unwrap(), []);
    }
}
