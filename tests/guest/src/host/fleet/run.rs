//! The run of the fleet's machine, and what is judged of it from outside.

use super::super::build::Workshop;
use super::super::machine::{Machine, Start, ran_nothing};
use super::super::task::Task;
use super::super::{ACCESS_DENIED, esp};
use super::PHASES;
use super::cuts;
use super::publish::{self, Fleet};
use crate::emulator::Ended;
use crate::report::{Line, Outcome};
use anyhow::{Context, Result, ensure};
use std::fs;
use std::path::Path;
use std::time::Duration;

/// How long the console may stand still until a kernel runs anything, and how often such a start is tried: emulated, with two
/// processors on a machine that is busy, kernels hang there.
const STALL: Duration = Duration::from_secs(60);
const TRIES: usize = 4;

/// What is judged from outside too.
const ROTATION: &str = "host_key_rotation";
const POWER_CUT: &str = "host_upgrade_power_cut";

/// The phase whose writes are logged.
const UPDATES: usize = 0;

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
    let (mut lines, mut log) = (Vec::new(), String::new());
    let mut last = None;
    for (number, phase) in PHASES.iter().enumerate() {
        let ended = start(&machine, number, &fleet, &mut watch)?;
        log += &format!("--- start {number}\n{}", ended.log);
        lines.extend(ended.lines.iter().cloned());
        let is_good = |name: &&str| ended.lines.contains(&Line::End((*name).to_owned(), Outcome::Ok));
        let goes_on = phase.iter().all(is_good);
        if number == UPDATES {
            cuts::keep(&machine)?;
        }
        last = Some(ended);
        if !goes_on {
            break;
        }
    }
    let last = last.context("there are no phases")?;
    let mut ended = Ended { lines, log, ..last };
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
        let judged = cuts::judge(workshop, &fleet, &machine);
        judge(POWER_CUT, &mut ended, judged);
    }
    Ok(ended)
}

/// Starts the machine for a phase.
fn start(machine: &Machine, phase: usize, fleet: &Fleet, watch: impl FnMut(&Line)) -> Result<Ended> {
    let start = Start {
        task: Some(Task { reboots: phase + 1 < PHASES.len(), ..Task::checks(PHASES[phase]) }),
        registry: Some(fleet.registry.host()),
        logs_writes: phase == UPDATES,
        ..Start::default()
    };
    tried(machine, &start, watch)
}

/// Starts the machine; where its kernel hangs before it has run anything, from the same disk once more.
pub(super) fn tried(machine: &Machine, start: &Start, mut watch: impl FnMut(&Line)) -> Result<Ended> {
    machine.keep()?;
    let start = Start { stalls_after: Some(STALL), ..start.clone() };
    let mut ended = machine.run(&start, &mut watch)?;
    for _ in 1..TRIES {
        if !ran_nothing(&ended.log) {
            break;
        }
        machine.restore()?;
        ended = machine.run(&start, &mut watch)?;
    }
    Ok(ended)
}

/// What only the old key has signed is not started any more, nor, since `dbx` has that key, what both have.
fn old_keys_are_gone(fleet: &Fleet, machine: &Machine) -> Result<()> {
    // That the old key has signed the one that is there is enough for `dbx`.
    esp::put(&machine.disk(), "EFI/BOOT/BOOTX64.EFI", &fleet.loader)?;
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
