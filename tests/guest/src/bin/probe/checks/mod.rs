//! The checks. Each leaves the host as it found it, but for what only a boot takes back.

mod attacks;
mod boots;
pub(crate) mod containers;
mod fallback;
mod keeping;
mod modules;
mod status;
mod updates;

pub(crate) use attacks::tools;

use anyhow::{Context, Result, ensure};
use sealpack_guest::host::task::Task;
use std::fs;
use std::process::Command;

type Check = fn(&Task) -> Result<()>;

/// The check of that name.
pub(crate) fn find(name: &str) -> Option<Check> {
    Some(match name {
        "host_boots" | "host_by_the_page" | "host_by_shim" | "host_keys_enrolled" => boots::boots,
        "host_extra_files_ignored" => boots::extra_files_ignored,
        "host_credentials_ignored" => boots::credentials_ignored,
        "host_modules_from_image" => modules::from_image,
        "host_clock_far_off" => boots::clock,
        "host_status_tells" => status::tells,
        "host_data_full" => keeping::nowhere,
        "host_keeps_etc" => keeping::etc,
        "host_policy_update" => updates::policy,
        "host_revocation_survives_reboot" => updates::survives,
        "host_containers_run" => containers::run,
        "host_containers_pod" => containers::pod,
        "host_containers_alone" => containers::alone,
        "host_containers_unsealed" => containers::unsealed,
        "host_containers_copy" => containers::copy,
        "host_containers_bind" => containers::bind,
        "host_containers_share" => containers::share,
        "host_falls_back" => fallback::falls_back,
        _ => return attacks::find(name),
    })
}

/// What a program prints, which has to succeed.
fn stdout(program: &str, arguments: &[&str]) -> Result<String> {
    let output = Command::new(program).args(arguments).output();
    let output = output.with_context(|| format!("cannot start {program}"))?;
    ensure!(output.status.success(), "{program} {arguments:?}: {output:?}");
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// A file's text, without blanks around it.
fn read(path: &str) -> Result<String> {
    Ok(fs::read_to_string(path).with_context(|| format!("cannot read {path}"))?.trim().to_owned())
}
