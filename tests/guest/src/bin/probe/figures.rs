//! What is measured in the host.

use anyhow::{Context, Result};
use sealpack_format::boot::BootReport;
use sealpack_guest::processes;
use std::fs;

/// Where the first process says how the start went.
const REPORT: &str = "/run/sealpack/boot";

/// How lists of processes call the broker.
const BROKER: &str = "sealpack-broker";

/// Each figure with its name; none on a host that is not sealed.
pub(crate) fn all() -> Result<Vec<(&'static str, f64)>> {
    let Ok(report) = fs::read_to_string(REPORT) else { return Ok(Vec::new()) };
    let report: BootReport = report.parse()?;
    let init_ms = report.handed_over_ms.saturating_sub(report.started_ms);
    Ok(vec![("init_seconds", init_ms as f64 / 1000.0), ("broker_anon_mib", broker_anon_kib()? / 1024.0)])
}

/// The memory of the broker that is nobody else's.
fn broker_anon_kib() -> Result<f64> {
    let brokers = processes::named(BROKER)?;
    let broker = brokers.first().with_context(|| format!("there is no process {BROKER}"))?;
    let status = fs::read_to_string(broker.join("status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    let number = line.and_then(|line| line.split_whitespace().next());
    Ok(number.context("the kernel does not say RssAnon")?.parse()?)
}
