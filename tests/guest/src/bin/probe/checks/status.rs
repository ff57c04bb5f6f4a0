//! What `sealpack` says of the host.

use super::{read, stdout};
use anyhow::{Context, Result, ensure};
use sealpack_guest::host::build::{IMAGE, POLICY};
use sealpack_guest::host::task::Task;
use sealpack_tests::exposition::Exposition;
use sealpack_tests::schema;
use serde_json::Value;
use std::path::Path;
use std::process::Command;

/// Where the reason of the last refused boot is.
const REFUSED: &str = "/data/boot/refused";

/// Image, enforcement, hardenings, broker and firmware are as the host has them, and what is switched off is named.
pub(super) fn tells(task: &Task) -> Result<()> {
    let output = Command::new("sealpack").args(["host", "status", "--json"]).output()?;
    ensure!(output.status.success(), "it is not as it should be: {output:?}");
    let status = schema::document(&output.stdout)?;
    let host = &status["host"];
    ensure!(status["sealed"] == true && host["secure_boot"] == !task.is_bare, "{status:#}");
    ensure!(host["names"] == serde_json::json!([IMAGE]) && host["epoch"].is_number(), "{host:#}");
    let command_line = read("/proc/cmdline")?;
    let image = host["metadata_image"]["fsverity_digest"].as_str().context("no digest")?;
    ensure!(command_line.contains(&format!("sealpack.image={image} ")), "{image}: {command_line}");
    ensure!(status["ipe"]["enforcing"] == true, "{status:#}");
    ensure!(status["ipe"]["active_policy"]["policy"] == POLICY, "{status:#}");
    ensure!(status["broker"]["broker_version"].is_string(), "{status:#}");
    hardenings(task, host)?;
    match Path::new(REFUSED).exists() {
        true => ensure!(host["last_refused"] == read(REFUSED)?, "{host:#}"),
        false => ensure!(host["last_refused"].is_null(), "{host:#}"),
    }
    metrics(task, host)?;
    people(task)
}

/// All in force, and none is switched off; or all are switched off, and off. There the firmware, which would bring lockdown by
/// itself, has no Secure Boot.
fn hardenings(task: &Task, host: &Value) -> Result<()> {
    let all = host["hardening"].as_array().context("no hardenings")?;
    ensure!(all.len() == 8, "{host:#}");
    for hardening in all {
        ensure!(hardening["switched_off"] == task.is_bare, "{hardening:#}");
        ensure!(hardening["on"] == !task.is_bare, "{hardening:#}");
    }
    Ok(())
}

/// A monitoring system is told the same.
fn metrics(task: &Task, host: &Value) -> Result<()> {
    let metrics = Exposition::parse(&format!("{}\n", stdout("sealpack", &["metrics"])?.trim_end()))?;
    for part in ["store", "mounts", "ipe", "host", "esp"] {
        ensure!(metrics.value("sealpack_looked_at", &[("part", part)])? == 1.0, "{part}: {metrics:?}");
    }
    for name in ["host_sealed", "ipe_active", "ipe_enforcing", "enforcement_in_force"] {
        ensure!(metrics.value(&format!("sealpack_{name}"), &[])? == 1.0, "{name}: {metrics:?}");
    }
    ensure!(metrics.value("sealpack_ipe_policy_info", &[("name", POLICY)])? == 1.0, "{metrics:?}");
    let secure_boot = if task.is_bare { 0.0 } else { 1.0 };
    ensure!(metrics.value("sealpack_host_secure_boot", &[])? == secure_boot, "{metrics:?}");
    let image = host["metadata_image"]["fsverity_digest"].as_str().context("no digest")?;
    let running = [("boot", "running"), ("metadata_image", image), ("names", IMAGE)];
    ensure!(metrics.value("sealpack_host_boot_info", &running)? == 1.0, "{metrics:?}");
    let reasons = metrics.all("sealpack_host_refused_start_info", &[]);
    ensure!(reasons.len() == usize::from(Path::new(REFUSED).exists()), "{metrics:?}");
    for (labels, _) in reasons {
        ensure!(host["refused"]["reason"] == labels["reason"].as_str(), "{labels:?}: {host:#}");
    }
    // The root, at least.
    let mounts = metrics.all("sealpack_mounts", &[]);
    ensure!(mounts.iter().map(|(_, count)| count).sum::<f64>() >= 1.0, "{metrics:?}");
    Ok(())
}

/// What people read says the same.
fn people(task: &Task) -> Result<()> {
    let status = stdout("sealpack", &["host", "status"])?;
    ensure!(status.starts_with(&format!("sealed host, booted from {IMAGE}\n")), "{status}");
    let doctor = stdout("sealpack", &["doctor"])?;
    let (words, of_kexec) = match task.is_bare {
        true => (
            "sealed host, without:",
            "switched off by the signed command line; it stops starting another kernel",
        ),
        false => ("sealed host: every hardening is in force", "kernel.kexec_load_disabled is 1"),
    };
    ensure!(doctor.contains(words), "{doctor}");
    ensure!(status.contains(of_kexec), "{status}");
    Ok(())
}
