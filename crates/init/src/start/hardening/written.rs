//! What was written is not executed.

use sealpack_kernel::Kernel;

use crate::start::failure::Failure;

/// Has no memory become executable that was not so when it was mapped, in this process and in all that it executes.
pub(super) fn refuse(kernel: &Kernel) -> Result<(), Failure> {
    kernel.refuse_written_code()?;
    if kernel.refuses_written_code()? {
        return Ok(());
    }
    Err(Failure::new("PR_SET_MDWE was taken, and does not hold"))
}
