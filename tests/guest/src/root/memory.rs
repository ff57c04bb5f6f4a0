//! The kernel's memory, and the machine's ports.

use super::{Tools, Tried};
use anyhow::Result;

pub(super) fn attempts(tools: &Tools) -> Result<Vec<Tried>> {
    Ok(vec![
        tools.root("opening /dev/mem", &["memory-device"])?,
        tools.root("using an input and output port", &["io-ports"])?,
    ])
}
