//! Capabilities that nobody on the host has.

use sealpack_kernel::Kernel;
use sealpack_kernel::capabilities::CapabilitySet;

use crate::start::failure::Failure;

/// Takes a capability from this process and from all that it executes.
pub(super) fn give_up(kernel: &Kernel, capability: CapabilitySet) -> Result<(), Failure> {
    kernel.give_up_capabilities(capability)?;
    if kernel.is_in_bounding_set(capability)? || kernel.effective_capabilities()?.contains(capability) {
        return Err(Failure::new(format!("{capability:?} was given up, and is still there")));
    }
    Ok(())
}
