//! The broker: the one process that keeps what this one is about to give up.

use std::fs::File;
use std::path::Path;

use sealpack_format::broker::SOCKET;
use sealpack_kernel::Kernel;

use super::failure::Failure;
use crate::broker::{self, Opened};

const KERNEL_LOG: &str = "/dev/kmsg";

/// Starts the broker, which may update the policy of that name, and waits until it serves.
///
/// # Errors
/// Why there is none.
pub(super) fn start_broker(kernel: &Kernel, policy: &str) -> Result<(), Failure> {
    let log = File::options().write(true).open(KERNEL_LOG);
    let log = log.map_err(|error| Failure::at(Path::new(KERNEL_LOG), &error))?;
    let opened = Opened::new(kernel, Path::new(SOCKET), Some(policy), log)?;
    Ok(broker::fork(kernel, opened)?)
}
