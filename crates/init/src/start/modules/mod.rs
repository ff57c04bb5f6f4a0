//! The modules of the initramfs.

mod devices;

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use sealpack_format::boot::{Module, ModuleGroup, ModuleOrder, initramfs};
use sealpack_kernel::Kernel;

use super::failure::Failure;
use super::files;
use crate::kernel_log::{self, Matters};

/// More than any list has.
const ORDER_MAX_BYTES: usize = 1024 * 1024;

/// Loads the modules below `root`, in the order and with the parameters of their list: those that every host needs, and those
/// whose devices `sysfs` has, until none are found by what was loaded. Those for hardware that need not be there may
/// refuse: most answer `ENODEV`, and what depends on them `ENOENT`.
///
/// # Errors
/// The list cannot be read; the kernel does not take one that every host needs.
pub(super) fn load(kernel: &Kernel, root: &Path, sysfs: &Path) -> Result<(), Failure> {
    let directory = root.join(initramfs::MODULES);
    let order = ModuleOrder::parse(&files::read(&directory.join(initramfs::ORDER), ORDER_MAX_BYTES)?)?;
    let mut loading = Loading { kernel, directory, tried: HashSet::new(), refused: Vec::new() };
    let mut waiting: Vec<&ModuleGroup> = order.groups().iter().collect();
    loop {
        let devices = devices::names(sysfs);
        let is_for = |group: &ModuleGroup| {
            let matches = |name: &String| group.devices.iter().any(|pattern| pattern.matches(name));
            group.devices.is_empty() || devices.iter().any(matches)
        };
        let (now, later): (Vec<_>, Vec<_>) = waiting.into_iter().partition(|group| is_for(group));
        if now.is_empty() {
            break;
        }
        for group in now {
            group.modules.iter().try_for_each(|module| loading.load(module))?;
        }
        waiting = later;
    }
    if !loading.refused.is_empty() {
        let text = format!("modules that found nothing to do: {}", loading.refused.join(", "));
        kernel_log::write(Matters::Notice, &text);
    }
    Ok(())
}

/// What was loaded, or was to be.
struct Loading<'l> {
    kernel: &'l Kernel,
    directory: PathBuf,
    tried: HashSet<&'l str>,
    refused: Vec<&'l str>,
}

impl<'l> Loading<'l> {
    fn load(&mut self, module: &'l Module) -> Result<(), Failure> {
        if !self.tried.insert(module.file()) {
            return Ok(());
        }
        let loaded = self.kernel.load_module(&self.directory.join(module.file()), module.parameters());
        if loaded.is_err() && module.is_optional() {
            self.refused.push(module.file());
        } else {
            loaded?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::{Arc, Mutex};

    use sealpack_kernel::Errno;

    use super::*;

    #[test]
    fn modules_are_loaded_in_order_and_the_first_that_is_refused_is_named() {
        let root = tempfile::tempdir().unwrap();
        let directory = root.path().join("modules");
        fs::create_dir(&directory).unwrap();
        for name in ["a.ko.xz", "b.ko", "c.ko"] {
            fs::write(directory.join(name), "").unwrap();
        }
        fs::write(directory.join("ORDER"), "b.ko\na.ko.xz keyring_unsealed=1\nc.ko\n").unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let calls = seen.clone();
        let kernel = Kernel::with_hook(move |call| {
            if call.name != "finit_module" {
                return None;
            }
            calls.lock().unwrap().push(call.arguments.clone());
            // The first is there already.
            Some(if call.arguments.contains("/b.ko") { Errno::EXIST } else { Errno::NOEXEC })
        });
        let failure = load(&kernel, root.path(), Path::new("/nosuch")).unwrap_err();
        assert!(
            failure.why.contains("a.ko.xz\", \"keyring_unsealed=1\", MODULE_INIT_COMPRESSED_FILE): ENOEXEC")
        );
        assert_eq!(seen.lock().unwrap().len(), 2);
    }

    /// The drivers of other machines' disks are in every initramfs, and refuse where they find none.
    #[test]
    fn a_module_for_hardware_that_is_not_there_does_not_end_the_boot() {
        let root = tempfile::tempdir().unwrap();
        let directory = root.path().join("modules");
        fs::create_dir(&directory).unwrap();
        for name in ["hv.ko", "loop.ko"] {
            fs::write(directory.join(name), "").unwrap();
        }
        fs::write(directory.join("ORDER"), "-hv.ko\nloop.ko\n").unwrap();
        let refusing = |refused: &'static str| {
            Kernel::with_hook(move |call| {
                let is_load = call.name == "finit_module";
                is_load.then(|| if call.arguments.contains(refused) { Errno::NODEV } else { Errno::EXIST })
            })
        };
        load(&refusing("/hv.ko"), root.path(), Path::new("/nosuch")).unwrap();
        assert!(
            load(&refusing("/loop.ko"), root.path(), Path::new("/nosuch"))
                .unwrap_err()
                .why
                .contains("/loop.ko")
        );
    }

    #[test]
    fn a_driver_is_loaded_where_its_device_is_also_where_another_driver_finds_that() {
        let (root, sysfs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let modules = root.path().join("modules");
        fs::create_dir(&modules).unwrap();
        for name in ["loop.ko", "virtio_pci.ko", "virtio_blk.ko", "nvme.ko", "scsi.ko"] {
            fs::write(modules.join(name), "").unwrap();
        }
        let order = "loop.ko\n[virtio:d00000002v*]\n-scsi.ko\n-virtio_blk.ko\n[pci:v00001AF4d*]\n-virtio_pci.ko\n-scsi.ko\n\
                     [pci:v*bc01sc08*]\n-nvme.ko\n";
        fs::write(modules.join("ORDER"), order).unwrap();
        let bus = sysfs.path().to_owned();
        let add = move |place: &str, name: &str| {
            let device = bus.join(place);
            fs::create_dir_all(&device).unwrap();
            fs::write(device.join("modalias"), format!("{name}\n")).unwrap();
        };
        add("bus/pci/devices/0000:00:03.0", "pci:v00001AF4d00001042sv0sd0bc01sc00i00");
        let loaded = Arc::new(Mutex::new(Vec::new()));
        let calls = loaded.clone();
        let kernel = Kernel::with_hook(move |call| {
            if call.name != "finit_module" {
                return None;
            }
            let file = call.arguments.split('"').nth(1).unwrap().rsplit('/').next().unwrap().to_owned();
            if file == "virtio_pci.ko" {
                add("bus/virtio/devices/virtio0", "virtio:d00000002v00001AF4");
            }
            calls.lock().unwrap().push(file);
            Some(Errno::EXIST)
        });
        load(&kernel, root.path(), sysfs.path()).unwrap();
        assert_eq!(*loaded.lock().unwrap(), ["loop.ko", "virtio_pci.ko", "scsi.ko", "virtio_blk.ko"]);
    }

    #[test]
    fn a_list_that_is_damaged_loads_nothing() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("modules")).unwrap();
        fs::write(root.path().join("modules/ORDER"), "../x.ko\n").unwrap();
        let kernel = Kernel::with_hook(|_| panic!("nothing is to be called"));
        assert!(
            load(&kernel, root.path(), Path::new("/nosuch"))
                .unwrap_err()
                .why
                .contains("not the name of a module's file")
        );
    }
}
