//! System calls by other tables than the architecture's own.

use super::{Tools, Tried};
use anyhow::Result;

pub(super) fn attempts(tools: &Tools) -> Result<Vec<Tried>> {
    let x32 = tools.root("a system call by x32's number", &["call-x32"])?;
    Ok(vec![
        tools.root("a 32-bit system call", &["call-int80"])?,
        // Debian's kernels have it and leave it off (syscall.x32=y).
        Tried { may_be_missing: true, ..x32 },
    ])
}
