//! Programs that nobody signed, wherever root can put one.

use super::{Tools, Tried, Went, attempt};
use anyhow::{Context, Result, ensure};
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
    tried.push(extension(tools)?);
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

/// Executes a copy of a signed program that an extension has put into `/usr/bin`: nothing keeps root from the merging, only
/// a mask keeps it from the next boot.
fn extension(tools: &Tools) -> Result<Tried> {
    let top = Path::new("/run/extensions/sealpack-attack");
    let (programs, releases) = (top.join("usr/bin"), top.join("usr/lib/extension-release.d"));
    fs::create_dir_all(&programs)?;
    fs::create_dir_all(&releases)?;
    fs::write(releases.join("extension-release.sealpack-attack"), "ID=_any\n")?;
    put(tools, &programs.join("sealpack-attack"))?;
    // From here to the other end, programs of the image are seen through what is over them, and are executed.
    sysext("merge")?;
    let went = execute(Path::new("/usr/bin/sealpack-attack"));
    let merged = Path::new("/usr/bin/sealpack-attack").exists();
    sysext("unmerge")?;
    fs::remove_dir_all(top)?;
    // As it was before, if that was not there.
    let _ = fs::remove_dir("/run/extensions");
    ensure!(merged, "the extension was not merged");
    Ok(Tried { what: "a program of an extension over /usr".to_owned(), went, may_be_missing: false })
}

fn sysext(verb: &str) -> Result<()> {
    let output = Command::new("systemd-sysext").args([verb, "--no-reload"]).output()?;
    ensure!(output.status.success(), "systemd-sysext {verb}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// Executes a copy of a signed program from there.
fn from(tools: &Tools, place: &Path, what: String) -> Result<Tried> {
    let copy = place.join("sealpack-attack");
    put(tools, &copy)?;
    let went = execute(&copy);
    fs::remove_file(&copy)?;
    Ok(Tried { what, went, may_be_missing: false })
}

/// Writes a copy of a signed program.
fn put(tools: &Tools, copy: &Path) -> Result<()> {
    // Not fs::copy: it takes the mode along, which may be that of a program already, and says less.
    fs::write(copy, fs::read(tools.programs.join("root"))?)
        .with_context(|| format!("{} cannot be written", copy.display()))?;
    Ok(fs::set_permissions(copy, fs::Permissions::from_mode(0o755))?)
}

fn execute(program: &Path) -> Went {
    match Command::new(program).output() {
        Ok(_) => Went::Through,
        Err(error) => Went::Refused(Errno::from_io_error(&error).unwrap_or(Errno::IO)),
    }
}
