//! The modules of the initramfs.

use std::path::Path;

use sealpack_format::boot::{ModuleOrder, initramfs};
use sealpack_kernel::Kernel;

use super::failure::Failure;
use super::files;
use crate::kernel_log::{self, Matters};

/// More than any list has.
const ORDER_MAX_BYTES: usize = 1024 * 1024;

/// Loads the modules below `root`, in the order and with the parameters of their list.
///
/// # Errors
/// The list cannot be read; the kernel does not take one of those that have to be there.
pub(super) fn load(kernel: &Kernel, root: &Path) -> Result<(), Failure> {
    let directory = root.join(initramfs::MODULES);
    let order = ModuleOrder::parse(&files::read(&directory.join(initramfs::ORDER), ORDER_MAX_BYTES)?)?;
    for module in order.modules() {
        match kernel.load_module(&directory.join(module.file()), module.parameters()) {
            Ok(_) => {}
            // A driver of what this machine does not have may say so.
            Err(error) if module.is_optional() => kernel_log::write(Matters::Warning, &error.to_string()),
            Err(error) => return Err(error.into()),
        }
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
        for name in ["a.ko.xz", "b.ko", "c.ko", "d.ko"] {
            fs::write(directory.join(name), "").unwrap();
        }
        fs::write(directory.join("ORDER"), "b.ko\n-d.ko\na.ko.xz keyring_unsealed=1\nc.ko\n").unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let calls = seen.clone();
        let kernel = Kernel::with_hook(move |call| {
            if call.name != "finit_module" {
                return None;
            }
            calls.lock().unwrap().push(call.arguments.clone());
            // The first is there already; the second is no module, and may be none.
            Some(if call.arguments.contains("/b.ko") { Errno::EXIST } else { Errno::NOEXEC })
        });
        let failure = load(&kernel, root.path()).unwrap_err();
        assert!(
            failure.why.contains("a.ko.xz\", \"keyring_unsealed=1\", MODULE_INIT_COMPRESSED_FILE): ENOEXEC")
        );
        assert_eq!(seen.lock().unwrap().len(), 3);
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
