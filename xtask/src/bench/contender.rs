//! What is measured: commands, in a directory that they may fill.

use super::figures::{Row, Sample};
use super::setting::Setting;
use anyhow::{Context, Result, bail};
use sealpack_tests::command::run;
use std::collections::VecDeque;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// What was written is removed only when so many rounds more were measured: a filesystem without a journal is slow for a while
/// where much has just been removed.
const ROUNDS_KEPT: usize = 2;

type Prepare = dyn Fn(&Path) -> Result<()>;
type Commands = dyn Fn(&Path) -> Vec<Command>;
type Others = dyn Fn() -> Result<Duration>;

/// A program to measure.
pub(crate) struct Contender {
    pub(crate) name: String,
    /// What must be there before the clock starts, given the empty directory.
    pub(crate) prepare: Box<Prepare>,
    /// The commands that are timed, one after the other, given the directory.
    pub(crate) commands: Box<Commands>,
    /// The processors' time that others have used so far who do something for the commands, such as a daemon.
    pub(crate) others: Box<Others>,
    /// In how many rounds at most: one that is slow, and that no goal is about, need not be in all.
    pub(crate) rounds: usize,
}

/// The rounds of what no goal is about.
const ROUNDS_FOR_COMPARISON: usize = 5;

impl Contender {
    /// One that needs no preparation and is one command.
    pub(crate) fn simple(name: impl Into<String>, command: impl Fn(&Path) -> Command + 'static) -> Self {
        Self::several(name, move |dir| vec![command(dir)])
    }

    /// One that needs no preparation.
    pub(crate) fn several(
        name: impl Into<String>,
        commands: impl Fn(&Path) -> Vec<Command> + 'static,
    ) -> Self {
        Self {
            name: name.into(),
            prepare: Box::new(|_| Ok(())),
            commands: Box::new(commands),
            others: Box::new(|| Ok(Duration::ZERO)),
            rounds: usize::MAX,
        }
    }

    /// The same, with what must be there before the clock starts.
    pub(crate) fn prepared_by(self, prepare: impl Fn(&Path) -> Result<()> + 'static) -> Self {
        Self { prepare: Box::new(prepare), ..self }
    }

    /// The same, in a few rounds only.
    pub(crate) fn for_comparison(self) -> Self {
        Self { rounds: ROUNDS_FOR_COMPARISON, ..self }
    }

    /// Runs it once in `dir`, which is new.
    fn measure(&self, setting: &Setting, dir: &Path) -> Result<Sample> {
        (self.prepare)(dir)?;
        // What earlier runs have left to write must not count here.
        run(&mut Command::new("sync"))?;
        let before = (self.others)()?;
        let mut sample = Sample::default();
        for command in (self.commands)(dir) {
            sample.add(measure(setting, &command, dir)?);
        }
        sample.processor += (self.others)()?.saturating_sub(before);
        Ok(sample)
    }
}

/// Runs all of them in turns, `runs` times, and returns what was measured.
///
/// A round before those, which fills the page cache, is not counted.
pub(crate) fn measure_all(
    setting: &Setting,
    contenders: &[Contender],
    runs: usize,
    place: &Path,
) -> Result<Vec<Row>> {
    let mut rows: Vec<Row> = contenders.iter().map(|contender| Row::new(&contender.name)).collect();
    let mut used = VecDeque::new();
    for round in 0..=runs {
        let dir = tempfile::Builder::new().prefix("round-").tempdir_in(place)?;
        let taking_part = |(contender, _): &(&Contender, &mut Row)| contender.rounds >= round;
        for (number, (contender, row)) in contenders.iter().zip(&mut rows).filter(taking_part).enumerate() {
            eprintln!("# round {round} of {runs}: {}", contender.name);
            let dir = dir.path().join(number.to_string());
            fs::create_dir(&dir)?;
            let sample =
                contender.measure(setting, &dir).with_context(|| format!("{} failed", contender.name))?;
            if round > 0 {
                row.samples.push(sample);
            }
        }
        used.push_back(dir);
        // An image of our own has a journal.
        let kept = if setting.has_own_disk() { 0 } else { ROUNDS_KEPT };
        if used.len() > kept {
            used.pop_front();
            setting.give_room_back();
        }
    }
    Ok(rows)
}

/// Runs `command` under a program that asks the kernel for its time and the peak of its resident memory.
pub(crate) fn measure(setting: &Setting, command: &Command, dir: &Path) -> Result<Sample> {
    let report = dir.join("timed");
    let mut timed = Command::new(&setting.timed);
    timed.arg(&report).arg(command.get_program()).args(command.get_args());
    for (variable, value) in command.get_envs() {
        match value {
            Some(value) => timed.env(variable, value),
            None => timed.env_remove(variable),
        };
    }
    run(&mut timed)?;
    let text = fs::read_to_string(&report).with_context(|| format!("cannot read {}", report.display()))?;
    let numbers: Result<Vec<u64>, _> = text.split_whitespace().map(str::parse).collect();
    let Ok([wall, user, kernel, kib]) = numbers.as_deref() else { bail!("sealpack-timed wrote {text:?}") };
    Ok(Sample {
        wall: Duration::from_nanos(*wall),
        processor: Duration::from_micros(user + kernel),
        peak_bytes: kib * 1024,
    })
}
