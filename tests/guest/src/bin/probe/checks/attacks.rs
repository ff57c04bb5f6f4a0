//! What root tries, and what becomes of it.

use super::Check;
use anyhow::{Context, Result};
use sealpack_guest::host::task::Task;
use sealpack_guest::root::{Area, Tools};
use std::fs;
use std::path::Path;

/// The check of that name.
pub(super) fn find(name: &str) -> Option<Check> {
    Some(match Area::find(name)?.check {
        "host_enforce_stays" => |task| judge("host_enforce_stays", task),
        "host_no_foreign_tables" => |task| judge("host_no_foreign_tables", task),
        "host_no_foreign_abi" => |task| judge("host_no_foreign_abi", task),
        "host_no_written_mappings" => |task| judge("host_no_written_mappings", task),
        "host_no_kexec" => |task| judge("host_no_kexec", task),
        "host_no_ptrace" => |task| judge("host_no_ptrace", task),
        "host_helpers_confined" => |task| judge("host_helpers_confined", task),
        "host_locked_down" => |task| judge("host_locked_down", task),
        "host_no_unsigned_programs" => |task| judge("host_no_unsigned_programs", task),
        _ => return None,
    })
}

/// Every attempt is refused; where the hardening is off, every one succeeds.
fn judge(name: &str, task: &Task) -> Result<()> {
    let area = Area::find(name).with_context(|| format!("there are no attempts for {name}"))?;
    let tools = tools()?;
    if task.is_bare && area.hardening.is_some() {
        area.require_open(&tools)
    } else {
        area.require_closed(&tools)
    }
}

/// What attacks are made with.
pub(crate) fn tools() -> Result<Tools> {
    Ok(Tools { programs: "/usr/lib/sealpack-probe".into(), kernel: kernel()? })
}

/// The kernel that runs, as the image has it.
fn kernel() -> Result<std::path::PathBuf> {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let release = release.trim();
    let places = [format!("/usr/lib/modules/{release}/vmlinuz"), format!("/boot/vmlinuz-{release}")];
    let place = places.iter().find(|place| Path::new(place).exists());
    Ok(place.with_context(|| format!("the image has none of {}", places.join(", ")))?.into())
}
