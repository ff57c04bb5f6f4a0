//! Processes of the machine that this runs on, by what lists of processes call them.

use anyhow::Result;
use std::fs;
use std::path::PathBuf;

/// The directories in `/proc` of the processes of that name (`comm`: 15 bytes of it at most).
///
/// # Errors
/// If `/proc` cannot be listed.
pub fn named(name: &str) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let process = entry?.path();
        if fs::read_to_string(process.join("comm")).is_ok_and(|comm| comm.trim_end() == name) {
            found.push(process);
        }
    }
    Ok(found)
}
