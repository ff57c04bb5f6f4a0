//! Programs that nobody signed, wherever root can put one.

use super::{Tools, Tried, Went};
use anyhow::{Context, Result};
use sealpack_kernel::Errno;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

/// Directories that can be written on every sealed host.
const PLACES: [&str; 5] = ["/run", "/dev/shm", "/etc", "/data", "/var"];

pub(super) fn attempts(tools: &Tools) -> Result<Vec<Tried>> {
    let mut tried = Vec::new();
    for place in PLACES.map(Path::new) {
        if place.exists() {
            tried.push(from(tools, place)?);
        }
    }
    Ok(tried)
}

/// Executes a copy of a signed program from there.
fn from(tools: &Tools, place: &Path) -> Result<Tried> {
    let copy = place.join("sealpack-attack");
    // Not fs::copy: it takes the mode along, which may be that of a program already, and says less.
    fs::write(&copy, fs::read(tools.programs.join("root"))?)
        .with_context(|| format!("{} cannot be written", place.display()))?;
    fs::set_permissions(&copy, fs::Permissions::from_mode(0o755))?;
    let went = match Command::new(&copy).output() {
        Ok(_) => Went::Through,
        Err(error) => Went::Refused(Errno::from_io_error(&error).unwrap_or(Errno::IO)),
    };
    fs::remove_file(&copy)?;
    let what = format!("a program that was copied to {}", place.display());
    Ok(Tried { what, went, may_be_missing: false })
}
