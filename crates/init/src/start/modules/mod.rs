//! The modules of the initramfs.

mod devices;

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use sealpack_format::boot::{Module, ModuleGroup, ModuleOrder, initramfs};
use sealpack_kernel::Kernel;

use super::failure::Failure;
use super::files;
use crate::kernel_log::{self, Matters};

/// More than any list has.
const ORDER_MAX_BYTES: usize = 1024 * 1024;

/// How long drivers are waited for to find the data partition, until those of all other hardware are loaded too.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often it is looked for.
const INTERVAL: Duration = Duration::from_millis(20);

/// Loads the modules below `root`, in the order and with the parameters of their list: those that every host needs, and those
/// whose devices `sysfs` has, until none are found by what was loaded. Those for hardware that need not be there may
/// refuse: most answer `ENODEV`, and what depends on them `ENOENT`.
///
/// Names of devices say where the data partition is only if their bus tells them, and in time: some do later, some of a kernel
/// that is not known here may not at all. After this step it is too late, since a policy decides then. So where
/// `is_data_there` does not hold soon, all that is left is loaded too.
///
/// # Errors
/// The list cannot be read; the kernel does not take one that every host needs.
pub(super) fn load(
    kernel: &Kernel,
    root: &Path,
    sysfs: &Path,
    is_data_there: impl Fn() -> bool,
) -> Result<(), Failure> {
    let directory = root.join(initramfs::MODULES);
    let order = ModuleOrder::parse(&files::read(&directory.join(initramfs::ORDER), ORDER_MAX_BYTES)?)?;
    let waiting = order.groups().iter().collect();
    let mut loading = Loading { kernel, directory, waiting, tried: HashSet::new(), refused: Vec::new() };
    let begun = Instant::now();
    loop {
        loading.load_for(sysfs)?;
        if loading.waiting.is_empty() || is_data_there() {
            break;
        }
        if begun.elapsed() >= PATIENCE {
            let text =
                "the data partition is not to be seen: drivers are loaded for what else a disk may be behind";
            kernel_log::write(Matters::Notice, text);
            loading.load_rest()?;
            break;
        }
        std::thread::sleep(INTERVAL);
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
    /// What there was no device for yet.
    waiting: Vec<&'l ModuleGroup>,
    tried: HashSet<&'l str>,
    refused: Vec<&'l str>,
}

impl<'l> Loading<'l> {
    /// Loads the groups that are for devices of `sysfs`, until what was loaded finds no more of these.
    fn load_for(&mut self, sysfs: &Path) -> Result<(), Failure> {
        loop {
            let devices = devices::names(sysfs);
            let is_for = |group: &&ModuleGroup| {
                let matches = |name: &String| group.devices.iter().any(|pattern| pattern.matches(name));
                group.devices.is_empty() || devices.iter().any(matches)
            };
            let (now, later): (Vec<_>, Vec<_>) =
                std::mem::take(&mut self.waiting).into_iter().partition(is_for);
            self.waiting = later;
            if now.is_empty() {
                return Ok(());
            }
            self.load_groups(now)?;
        }
    }

    /// Loads what is left, whatever it is for.
    fn load_rest(&mut self) -> Result<(), Failure> {
        let rest = std::mem::take(&mut self.waiting);
        self.load_groups(rest)
    }

    fn load_groups(&mut self, groups: Vec<&'l ModuleGroup>) -> Result<(), Failure> {
        groups.into_iter().flat_map(|group| &group.modules).try_for_each(|module| self.load(module))
    }

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
        let failure = load(&kernel, root.path(), Path::new("/nosuch"), || true).unwrap_err();
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
        load(&refusing("/hv.ko"), root.path(), Path::new("/nosuch"), || true).unwrap();
        assert!(
            load(&refusing("/loop.ko"), root.path(), Path::new("/nosuch"), || true)
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
        load(&kernel, root.path(), sysfs.path(), || true).unwrap();
        assert_eq!(*loaded.lock().unwrap(), ["loop.ko", "virtio_pci.ko", "scsi.ko", "virtio_blk.ko"]);
    }

    /// Xen's and Hyper-V's buses name their devices when they come to it; and of some hardware no name is known here.
    #[test]
    fn a_driver_is_loaded_whose_device_comes_later_and_in_the_end_those_of_all_others() {
        let (root, sysfs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let modules = root.path().join("modules");
        fs::create_dir(&modules).unwrap();
        let order = "loop.ko\n[xen:vbd]\n-xen_blkfront.ko\n[of:N*]\n-virtio_mmio.ko\n";
        fs::write(modules.join("ORDER"), order).unwrap();
        for name in ["loop.ko", "xen_blkfront.ko", "virtio_mmio.ko"] {
            fs::write(modules.join(name), "").unwrap();
        }
        let loaded = Arc::new(Mutex::new(Vec::new()));
        let calls = loaded.clone();
        let kernel = Kernel::with_hook(move |call| {
            let file = call.arguments.split('"').nth(1)?.rsplit('/').next()?.to_owned();
            (call.name == "finit_module").then(|| {
                calls.lock().unwrap().push(file);
                Errno::EXIST
            })
        });
        let looks = std::cell::Cell::new(0);
        let device = sysfs.path().join("bus/xen/devices/vbd-51712");
        let finds = |is_disk: bool| {
            looks.set(looks.get() + 1);
            if looks.get() == 3 {
                fs::create_dir_all(&device).unwrap();
                fs::write(device.join("modalias"), "xen:vbd\n").unwrap();
            }
            is_disk && looks.get() > 3
        };
        load(&kernel, root.path(), sysfs.path(), || finds(true)).unwrap();
        assert_eq!(loaded.lock().unwrap().drain(..).collect::<Vec<_>>(), ["loop.ko", "xen_blkfront.ko"]);
        let begun = Instant::now();
        load(&kernel, root.path(), sysfs.path(), || finds(false)).unwrap();
        assert_eq!(*loaded.lock().unwrap(), ["loop.ko", "xen_blkfront.ko", "virtio_mmio.ko"]);
        assert!(begun.elapsed() >= PATIENCE);
    }

    #[test]
    fn a_list_that_is_damaged_loads_nothing() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("modules")).unwrap();
        fs::write(root.path().join("modules/ORDER"), "../x.ko\n").unwrap();
        let kernel = Kernel::with_hook(|_| panic!("nothing is to be called"));
        assert!(
            load(&kernel, root.path(), Path::new("/nosuch"), || true)
                .unwrap_err()
                .why
                .contains("not the name of a module's file")
        );
    }
}
