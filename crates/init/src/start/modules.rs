//! The modules of the initramfs.

use std::path::Path;

use sealpack_format::boot::{ModuleOrder, initramfs};
use sealpack_kernel::Kernel;

use super::failure::Failure;
use super::files;
use crate::kernel_log::{self, Matters};

/// More than any list has.
const ORDER_MAX_BYTES: usize = 1024 * 1024;

/// Loads the modules below `root`, in the order and with the parameters of their list. Those for hardware that need not be
/// there may refuse: most answer `ENODEV`, and what depends on them `ENOENT`.
///
/// # Errors
/// The list cannot be read; the kernel does not take one that every host needs.
pub(super) fn load(kernel: &Kernel, root: &Path) -> Result<(), Failure> {
    let directory = root.join(initramfs::MODULES);
    let order = ModuleOrder::parse(&files::read(&directory.join(initramfs::ORDER), ORDER_MAX_BYTES)?)?;
    let mut without = Vec::new();
    for module in order.modules() {
        let loaded = kernel.load_module(&directory.join(module.file()), module.parameters());
        if loaded.is_err() && module.is_optional() {
            without.push(module.file());
        } else {
            loaded?;
        }
    }
    if !without.is_empty() {
        let text = format!("modules for hardware that is not there: {}", without.join(", "));
        kernel_log::write(Matters::Notice, &text);
    }
    Ok(())
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
        let failure = load(&kernel, root.path()).unwrap_err();
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
        load(&refusing("/hv.ko"), root.path()).unwrap();
        assert!(load(&refusing("/loop.ko"), root.path()).unwrap_err().why.contains("/loop.ko"));
    }

    #[test]
    fn a_list_that_is_damaged_loads_nothing() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("modules")).unwrap();
        fs::write(root.path().join("modules/ORDER"), "../x.ko\n").unwrap();
        let kernel = Kernel::with_hook(|_| panic!("nothing is to be called"));
        assert!(load(&kernel, root.path()).unwrap_err().why.contains("not the name of a module's file"));
    }
}
