//! Other processes: their memory, descriptors and control.

use super::{Tools, Tried};
use anyhow::Result;

pub(super) fn attempts(tools: &Tools) -> Result<Vec<Tried>> {
    [
        ("tracing another process of root's", "trace"),
        ("writing its memory with process_vm_writev", "write-memory"),
        ("writing its memory through /proc/PID/mem", "memory-file"),
        ("taking one of its descriptors", "take-descriptor"),
    ]
    .into_iter()
    .map(|(what, argument)| tools.root(what, &[argument]))
    .collect()
}
