//! No other kernel is loaded (Documentation/admin-guide/sysctl/kernel.rst, `kexec_load_disabled`).

use std::path::Path;

use crate::start::failure::Failure;
use crate::start::files;

const DISABLED: &str = "/proc/sys/kernel/kexec_load_disabled";

/// Has no kernel loaded from now on; it cannot be set back. One that is loaded already stays: nobody was there to do so.
pub(super) fn disable() -> Result<(), Failure> {
    let disabled = Path::new(DISABLED);
    // Where the kernel has no kexec there is nothing to switch off.
    match disabled.try_exists() {
        Ok(false) => Ok(()),
        Ok(true) => files::set_and_see(disabled, "1", "1"),
        Err(error) => Err(Failure::at(disabled, &error)),
    }
}
