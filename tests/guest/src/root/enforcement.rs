//! IPE's own switches.

use super::{Tools, Tried, Went};
use anyhow::{Context, Result};
use sealpack_kernel::{Errno, Kernel};

pub(super) fn attempts(tools: &Tools) -> Result<Vec<Tried>> {
    let kernel = Kernel::new();
    let ipe = kernel.ipe().context("IPE is not active")?;
    // With the right to, the kernel looks at what it is given and finds that it is none.
    let loaded = match ipe.load(b"no policy") {
        Err(error) if error.errno() != Errno::BADMSG => Went::Refused(error.errno()),
        _ => Went::Through,
    };
    Ok(vec![
        tools.root("0 is written to IPE's enforce", &["switch-off"])?,
        Tried { what: "a policy is handed to the kernel".to_owned(), went: loaded, may_be_missing: false },
    ])
}

/// Whether IPE denies.
pub(super) fn is_enforcing() -> Result<bool> {
    let kernel = Kernel::new();
    Ok(kernel.ipe().context("IPE is not active")?.is_enforcing()?)
}
