//! The power cut at each write of an update: every disk that it leaves is judged from outside, and two are booted.

use super::super::build::Workshop;
use super::super::machine::{Machine, Start};
use super::super::task::Task;
use super::AFTER_POWER_CUT;
use super::publish::Fleet;
use crate::power::cut::{self, Cut, Loss};
use crate::power::data::Judge;
use crate::power::esp::Known;
use crate::power::log::Log;
use crate::power::{esp, replay};
use crate::report::{Line, Outcome};
use anyhow::{Context, Result, anyhow, ensure};
use sealpack_tests::command::{find, run};
use std::fs::{self, File};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

/// How many disks are judged, where not all are: of cuts by writes to the EFI system partition, and to the other one.
const ESP_CUTS: usize = 40;
const DATA_CUTS: usize = 20;

/// So many cuts before and after the one that has the new UKI started are among them.
const AROUND: usize = 3;

/// Keeps what the disk was before the start whose writes were logged, and what the firmware knew then: the new keys, which it
/// was given before the update.
///
/// # Errors
/// If they cannot be kept.
pub(super) fn keep(machine: &Machine) -> Result<()> {
    let before = machine.disk_before();
    fs::rename(&before, before.with_extension("update")).context("the disk before the update is gone")?;
    let variables = machine.variables();
    fs::copy(&variables, variables.with_extension("update")).context("the variables are gone").map(drop)
}

/// Where the partitions are.
struct Parts {
    esp: Range<u64>,
    data: Range<u64>,
    all: Range<u64>,
}

/// Judges the disks of all cuts, or of a choice, and boots the last that has the old UKI only and the first that has the new
/// one.
///
/// # Errors
/// What is not good, and at which cut.
pub(super) fn judge(workshop: &Workshop, fleet: &Fleet, machine: &Machine) -> Result<()> {
    let run = Run::new(workshop, fleet, machine)?;
    let published = run.published(&fleet.second)?;
    let steps = run.log.steps().len();
    let left = Mutex::new(run.choose(published).into_iter());
    std::thread::scope(|scope| {
        let work = |name: &'static str| {
            let (left, run) = (&left, &run);
            move || -> Result<()> {
                loop {
                    // Nothing panics that holds it.
                    let next = left.lock().map_err(|_| anyhow!("another one has failed"))?.next();
                    let Some((cut, with_data)) = next else { return Ok(()) };
                    run.judge(cut, with_data, name).with_context(|| format!("{cut:?} of {steps} steps"))?;
                }
            }
        };
        let workers = ["one", "two"].map(|name| scope.spawn(work(name)));
        workers.into_iter().try_for_each(|worker| worker.join().map_err(|_| anyhow!("it panicked"))?)
    })?;
    for (name, cut) in [("old", Cut::at(published - 1)), ("new", Cut::at(published))] {
        run.boot(name, cut, &machine.variables().with_extension("update"))
            .with_context(|| format!("the {name} one, {cut:?}"))?;
    }
    Ok(())
}

/// A run of the machine whose writes were logged.
struct Run<'r> {
    fleet: &'r Fleet,
    known: Vec<Known>,
    dir: PathBuf,
    before: PathBuf,
    log: Log,
    parts: Parts,
    judge: Judge,
}

impl<'r> Run<'r> {
    fn new(workshop: &'r Workshop, fleet: &'r Fleet, machine: &Machine) -> Result<Self> {
        let dir = workshop.file("fleet-cuts");
        fs::create_dir(&dir)?;
        let known = [&fleet.first, &fleet.second].into_iter().chain(&fleet.others).cloned().collect();
        let before = machine.disk_before().with_extension("update");
        let log = Log::read(&machine.writes())?;
        let parts = Parts::of(&before)?;
        let judge = Judge::new(workshop.programs().sealpack.clone());
        Ok(Self { fleet, known, dir, before, log, parts, judge })
    }

    /// The number of steps after which a UKI can be started. Once it is there, it stays: nothing else happens in that start.
    fn published(&self, uki: &Known) -> Result<usize> {
        let cuts = self.esp_cuts(Some(Loss::Nothing));
        let is_there = |cut: &Cut| -> Result<bool> { Ok(self.bootable(*cut, "search")?.contains(&uki.name)) };
        let last = cuts.last().context("nothing was written to the EFI system partition")?;
        ensure!(is_there(last)?, "{} is never there", uki.name);
        let (mut without, mut with) = (0, cuts.len() - 1);
        ensure!(!is_there(&cuts[without])?, "{} is there from the start", uki.name);
        while without + 1 < with {
            let middle = without.midpoint(with);
            match is_there(&cuts[middle])? {
                true => with = middle,
                false => without = middle,
            }
        }
        Ok(cuts[with].after)
    }

    /// Those of the EFI system partition's, with this loss or all.
    fn esp_cuts(&self, loss: Option<Loss>) -> Vec<Cut> {
        let cuts = cut::all(self.log.steps(), &self.parts.esp);
        cuts.into_iter().filter(|cut| loss.is_none_or(|loss| cut.loss == loss)).collect()
    }

    /// The cuts that are judged, each with whether the data partition is judged too.
    fn choose(&self, published: usize) -> Vec<(Cut, bool)> {
        let (esp, data) = (self.esp_cuts(None), cut::all(self.log.steps(), &self.parts.data));
        let with = |cuts: Vec<Cut>, with_data: bool| cuts.into_iter().map(move |cut| (cut, with_data));
        if sealpack_tests::all() {
            return with(esp, false).chain(with(data, true)).collect();
        }
        // Half of them of the update itself, the others of all that came after.
        let halves = |cuts: &[Cut], most: usize| {
            let (update, later): (Vec<Cut>, Vec<Cut>) = cuts.iter().partition(|cut| cut.after <= published);
            [cut::choose(&update, most / 2), cut::choose(&later, most / 2)].concat()
        };
        let around: Vec<Cut> =
            esp.iter().copied().filter(|cut| cut.after.abs_diff(published) <= AROUND).collect();
        let both = [Cut::at(published - 1), Cut::at(published)];
        let mut cuts: Vec<(Cut, bool)> = with(halves(&esp, ESP_CUTS), false)
            .chain(with(around, false))
            .chain(with(halves(&data, DATA_CUTS), true))
            .chain(both.map(|cut| (cut, true)))
            .collect();
        cuts.sort();
        cuts.dedup();
        cuts
    }

    /// Judges what a cut leaves; `name` is that of a file that nobody else uses.
    fn judge(&self, cut: Cut, with_data: bool, name: &str) -> Result<()> {
        let bootable = self.bootable(cut, name)?;
        let is_host = bootable.contains(&self.fleet.first.name) || bootable.contains(&self.fleet.second.name);
        ensure!(is_host, "nothing good can be started, only {bootable:?}");
        if !with_data {
            return Ok(());
        }
        let partition = self.dir.join(format!("{name}.data"));
        self.write(cut, &self.parts.data, &partition)?;
        let images = self.judge.judge(&partition)?;
        for uki in self.known.iter().filter(|uki| bootable.contains(&uki.name)) {
            ensure!(images.contains(&uki.image), "{} can be started, and its image is not there", uki.name);
        }
        Ok(())
    }

    fn bootable(&self, cut: Cut, name: &str) -> Result<Vec<String>> {
        let partition = self.dir.join(format!("{name}.esp"));
        self.write(cut, &self.parts.esp, &partition)?;
        esp::judge(&partition, &self.known)
    }

    fn write(&self, cut: Cut, part: &Range<u64>, target: &Path) -> Result<()> {
        // Of its own: it has one position.
        replay::write(&File::open(&self.before)?, &self.log, cut, part.clone(), target)
    }

    /// Boots what a cut leaves, and has the host bring the update to its end.
    fn boot(&self, name: &str, cut: Cut, variables: &Path) -> Result<()> {
        let disk = self.dir.join("disk");
        self.write(cut, &self.parts.all, &disk)?;
        let dir = self.dir.join(name);
        fs::create_dir(&dir)?;
        let machine = Machine::new(&dir, &disk, variables)?;
        fs::remove_file(&disk)?;
        let start = Start {
            task: Some(Task::checks(&[AFTER_POWER_CUT])),
            registry: Some(self.fleet.registry.host()),
            ..Start::default()
        };
        let ended = super::run::tried(&machine, &start, |_| {})?;
        let good = Line::End(AFTER_POWER_CUT.to_owned(), Outcome::Ok);
        ensure!(ended.lines.contains(&good), "{:?}\n{}", ended.lines, ended.log);
        Ok(())
    }
}

impl Parts {
    /// Those in the table of a disk.
    fn of(disk: &Path) -> Result<Self> {
        let sfdisk = find("sfdisk").context("sfdisk is not installed")?;
        let table = run(Command::new(sfdisk).arg("--json").arg(disk))?.stdout;
        let table: serde_json::Value = serde_json::from_slice(&table)?;
        let part = |number: usize| -> Result<Range<u64>> {
            let part = &table["partitiontable"]["partitions"][number];
            let bytes = |field: &str| part[field].as_u64().map(|sectors| sectors * 512);
            let (start, size) = (bytes("start"), bytes("size"));
            Ok(start.context("no start")?..start.context("no start")? + size.context("no size")?)
        };
        Ok(Self { esp: part(0)?, data: part(1)?, all: 0..fs::metadata(disk)?.len() })
    }
}
