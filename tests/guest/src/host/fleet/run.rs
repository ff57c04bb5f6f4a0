//! The run of the fleet's machine, and what is judged of it from outside.

use super::super::build::Workshop;
use super::super::machine::{Machine, Start};
use super::super::task::Task;
use super::super::{ACCESS_DENIED, esp};
use super::PHASES;
use super::cuts;
use super::publish::{self, Fleet};
use crate::emulator::Ended;
use crate::report::{Line, Outcome};
use anyhow::{Result, ensure};
use std::fs;
use std::path::Path;
use std::time::Duration;

/// How long the machine may run: it starts several times.
const TIME: Duration = Duration::from_secs(20 * 60);

/// What is judged from outside too.
const ROTATION: &str = "host_key_rotation";
const POWER_CUT: &str = "host_upgrade_power_cut";

/// Makes the fleet and has it go through all its phases, with the firmware's `variables` at first; then judges what it has left,
/// as far as `names` ask for it.
///
/// # Errors
/// If something cannot be made or started. What is not as it should be is among the lines.
pub fn run(
    workshop: &Workshop,
    variables: &Path,
    names: &[&str],
    mut watch: impl FnMut(&Line),
) -> Result<Ended> {
    let fleet = publish::make(workshop)?;
    let dir = workshop.file("fleet-machine");
    fs::create_dir(&dir)?;
    let machine = Machine::new(&dir, &fleet.disk, variables)?;
    let phases = PHASES.iter().map(|phase| phase.iter().map(|&name| name.to_owned()).collect()).collect();
    let start = Start {
        task: Some(Task { phases, ..Task::checks(&[]) }),
        reboots: true,
        registry: Some(fleet.registry.host()),
        logs_writes: true,
        time: Some(TIME),
        ..Start::default()
    };
    let mut ended = machine.run(&start, &mut watch)?;
    let mut judge = |name: &str, ended: &mut Ended, judged: Result<()>| {
        let outcome = judged.map_or_else(|error| Outcome::Failed(format!("{error:#}")), |()| Outcome::Ok);
        let line = Line::End(name.to_owned(), outcome);
        watch(&line);
        ended.lines.push(line);
    };
    let is_good = |name: &str, ended: &Ended| ended.lines.contains(&Line::End(name.to_owned(), Outcome::Ok));
    if names.contains(&ROTATION) && is_good(ROTATION, &ended) {
        let judged = old_keys_are_gone(&fleet, &machine);
        judge(ROTATION, &mut ended, judged);
    }
    if names.contains(&POWER_CUT) && is_good("fleet_upgrades", &ended) {
        let judged = cuts::judge(workshop, &fleet, &machine, variables);
        judge(POWER_CUT, &mut ended, judged);
    }
    Ok(ended)
}

/// What only the old key has signed is not started any more, nor, since `dbx` has that key, what both have.
fn old_keys_are_gone(fleet: &Fleet, machine: &Machine) -> Result<()> {
    for uki in [&fleet.first, &fleet.second] {
        let file = machine.disk().with_extension("uki");
        fs::write(&file, &uki.bytes)?;
        esp::remove_ukis(&machine.disk())?;
        esp::put_uki(&machine.disk(), "only.efi", &file)?;
        let start = Start { until_shown: Some(ACCESS_DENIED.to_owned()), ..Start::default() };
        let ended = machine.run(&start, |_| {})?;
        ensure!(ended.log.contains(ACCESS_DENIED), "{} is not denied:\n{}", uki.name, ended.log);
        ensure!(!ended.log.contains("Linux version"), "{} was started:\n{}", uki.name, ended.log);
    }
    Ok(())
}
