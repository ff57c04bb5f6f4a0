//! Code that was written.

use super::{Tools, Tried, attempt};
use anyhow::Result;

pub(super) fn attempts(tools: &Tools) -> Result<Vec<Tried>> {
    let program = tools.programs.join("attack");
    let signed = program.to_string_lossy().into_owned();
    let what = "code written into a private mapping of a signed file";
    Ok(vec![attempt(what, &program, &["overwrite", &signed])?])
}
