//! The filter of system calls, as the last: what this process does itself is judged by it from then on.

use sealpack_kernel::Kernel;

use crate::filter::{Architecture, Rules, program};
use crate::start::failure::Failure;

/// Installs the filter, for this process and all that it starts, unless it would refuse nothing.
pub(super) fn install(kernel: &Kernel, rules: Rules) -> Result<(), Failure> {
    let architecture = Architecture::here()
        .ok_or_else(|| Failure::new("the system calls of this architecture are not known to this program"))?;
    match program(&architecture, rules)? {
        Some(program) => Ok(kernel.filter_system_calls(&program)?),
        None => Ok(()),
    }
}
