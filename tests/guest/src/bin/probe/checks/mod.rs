//! The checks. Each leaves the host as it found it, but for what only a boot takes back.

mod attacks;
mod boots;
pub(crate) mod containers;
mod fallback;
mod fleet;
mod keeping;
mod modules;
mod rescue;
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
        "fleet_takes_new_keys" => fleet::takes_new_keys,
        "fleet_upgrades" => fleet::upgrades,
        "host_upgrade" => fleet::upgraded,
        "host_gc_keeps_fallback" => fleet::keeps_fallback,
        "fleet_switches" => fleet::switches,
        "host_switch" => fleet::switched,
        "fleet_rolls_back" => fleet::rolls_back,
        "host_rollback" => fleet::rolled_back,
        "fleet_drops_old_keys" => fleet::drops_old_keys,
        "fleet_takes_a_bad_version" => fleet::takes_a_bad_version,
        "host_bad_update_falls_back" => fleet::falls_back,
        "host_key_rotation" => fleet::keys_rotated,
        "fleet_survives_power_cut" => fleet::survives_power_cut,
        "host_rescue" => rescue::mends,
        _ => return attacks::find(name),
    })
}

/// What a program prints, which has to succeed.
pub(crate) fn stdout(program: &str, arguments: &[&str]) -> Result<String> {
    let output = Command::new(program).args(arguments).output();
    let output = output.with_context(|| format!("cannot start {program}"))?;
    ensure!(output.status.success(), "{program} {arguments:?}: {output:?}");
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// A file's text, without blanks around it.
pub(crate) fn read(path: &str) -> Result<String> {
    Ok(fs::read_to_string(path).with_context(|| format!("cannot read {path}"))?.trim().to_owned())
}
