//! Files of a directory and of all that is in it.

use anyhow::{Context, Result};
use std::path::{Path, PathBuf};

/// All below `directory` that is no directory, in order; links are not followed.
///
/// # Errors
/// If something cannot be listed.
pub fn below(directory: &Path) -> Result<Vec<PathBuf>> {
    let (mut found, mut pending) = (Vec::new(), vec![directory.to_path_buf()]);
    while let Some(dir) = pending.pop() {
        for entry in std::fs::read_dir(&dir).with_context(|| format!("cannot list {}", dir.display()))? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                pending.push(entry.path());
            } else {
                found.push(entry.path());
            }
        }
    }
    found.sort();
    Ok(found)
}
