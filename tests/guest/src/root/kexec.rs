//! Another kernel.

use super::{Tools, Tried, Went};
use anyhow::{Context, Result};
use sealpack_kernel::{Errno, Kernel};
use std::fs;

const DISABLED: &str = "/proc/sys/kernel/kexec_load_disabled";

pub(super) fn attempts(tools: &Tools) -> Result<Vec<Tried>> {
    let kernel = tools.kernel.to_string_lossy().into_owned();
    let before = fs::read_to_string(DISABLED)?;
    // The policy of hosts denies kernels too: who has the right switches that off first.
    let off = SwitchedOff::if_allowed()?;
    let mut tried =
        vec![tools.root("the image's own kernel, with another command line", &["kexec", &kernel])?];
    drop(off);
    // Where it is allowed this would be all that there is to say.
    if before.trim() == "1" {
        let what = "the switch is set back".to_owned();
        let went = match fs::write(DISABLED, "0") {
            Ok(()) => Went::Through,
            Err(error) => Went::Refused(Errno::from_io_error(&error).unwrap_or(Errno::IO)),
        };
        tried.push(Tried { what, went, may_be_missing: false });
    }
    Ok(tried)
}

/// IPE denies nothing while this lives, if root may switch it off.
struct SwitchedOff;

impl SwitchedOff {
    fn if_allowed() -> Result<Option<Self>> {
        let kernel = Kernel::new();
        let ipe = kernel.ipe().context("IPE is not active")?;
        Ok(ipe.set_enforcing(false).is_ok().then_some(Self))
    }
}

impl Drop for SwitchedOff {
    fn drop(&mut self) {
        let kernel = Kernel::new();
        // Every check looks afterwards whether it enforces.
        let _ = kernel.ipe().map(|ipe| ipe.set_enforcing(true));
    }
}
