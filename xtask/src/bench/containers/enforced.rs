//! What enforcement costs a container's start, on a sealed host that is emulated.

use super::super::figures::{Figure, Row, Sample};
use super::super::goal::Goal;
use super::super::setting::{Scale, Setting};
use super::super::table::Table;
use crate::packages::{self, Missing};
use anyhow::{Result, bail};
use sealpack_guest::host::figures::{STARTS, container_starts};
use sealpack_guest::host::run;
use sealpack_guest::kernels::Generation;

/// How many times an unenforced start an enforced one may take.
const AT_MOST: f64 = 1.15;

/// The kernel that Debian 13 has, whose containerd and crun these are.
const GENERATION: Generation = Generation::V6_12;

/// Starts with and without enforcement, in turns.
pub(crate) fn run(setting: &Setting) -> Result<Vec<Table>> {
    if setting.scale == Scale::Smoke {
        // The tests start containers on such a host anyway.
        return Ok(Vec::new());
    }
    packages::provide_for_guest(Missing::InstallOrFail)?;
    if let Some(why) = run::why_not() {
        bail!(why);
    }
    let runs = setting.runs(15);
    let times = container_starts(GENERATION, u32::try_from(runs)?)?;
    let row = |(kind, times): (&str, Vec<_>)| Row {
        name: kind.to_owned(),
        samples: times.into_iter().map(|wall| Sample { wall, ..Sample::default() }).collect(),
    };
    let rows: Vec<Row> = STARTS.into_iter().zip(times).map(row).collect();
    let [enforced, off, without] = STARTS;
    let goal = |other| Goal::ratio(&rows, (enforced, other), Figure::Wall, AT_MOST);
    Ok(vec![Table {
        name: "containers-enforced".into(),
        title: format!("A container's start on a sealed host, Linux {}", GENERATION.name()),
        about: format!(
            "containerd 1.7 and crun: a container's whole life, of images that are mounted already. Emulated (TCG), two processors; \
             medians of {runs} rounds. The host has its hardenings off, so that root can switch IPE; an image without a seal is \
             on no signed device, and its rules ask nothing."
        ),
        goals: vec![goal(off)?, goal(without)?],
        rows,
        ..Table::default()
    }])
}
