//! Programs that nobody signed, wherever root can put one.

use super::{Tools, Tried, Went, attempt};
use anyhow::{Context, Result};
use rustix::mount::{MountFlags, mount_remount};
use sealpack_kernel::Errno;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

/// Directories that can be written on every sealed host.
const PLACES: [&str; 5] = ["/run", "/dev/shm", "/etc", DATA, "/var"];

pub(super) fn attempts(tools: &Tools) -> Result<Vec<Tried>> {
    let mut tried = Vec::new();
    for place in PLACES.map(Path::new) {
        if place.exists() {
            let what = format!("a program that was copied to {}", place.display());
            tried.push(from(tools, place, what)?);
        }
    }
    let data = Path::new(DATA);
    let what = format!("the same once {DATA} is mounted so that programs may execute");
    remount(data, MountFlags::empty()).context("it cannot be mounted so")?;
    let attempt_there = from(tools, data, what);
    remount(data, MountFlags::NOEXEC)?;
    tried.push(attempt_there?);
    let program = tools.programs.join("attack");
    let signed = program.to_string_lossy().into_owned();
    tried.push(attempt("a program in memory only", &program, &["in-memory", &signed])?);
    tried.push(attempt("memory of no file that can be executed", &program, &["anonymous"])?);
    Ok(tried)
}

/// The data partition, which is mounted noexec.
const DATA: &str = "/data";

/// Changes how it is mounted there.
fn remount(place: &Path, more: MountFlags) -> Result<()> {
    let flags = MountFlags::BIND | MountFlags::NOSUID | MountFlags::NODEV | more;
    Ok(mount_remount(place, flags, "")?)
}

/// Executes a copy of a signed program from there.
fn from(tools: &Tools, place: &Path, what: String) -> Result<Tried> {
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
    Ok(Tried { what, went, may_be_missing: false })
}
