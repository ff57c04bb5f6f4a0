//! What is measured: a program that takes an image in, and the directory that it fills.

use super::table::Row;
use anyhow::{Context, Result, bail};
use sealpack_tests::command::{find, run};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// One run of one contender.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    pub(crate) wall: Duration,
    /// The processors' time, of user and kernel, which other load on the machine changes less.
    pub(crate) processor: Duration,
    pub(crate) peak_bytes: u64,
}

/// Runs all of them in turns, `runs` times, and returns what was measured.
///
/// A round before those, which fills the page cache, is not counted.
pub(crate) fn measure_all(contenders: &[Contender], runs: usize, place: &Path) -> Result<Vec<Row>> {
    let mut rows: Vec<Row> =
        contenders.iter().map(|contender| Row { name: contender.name, samples: Vec::new() }).collect();
    for round in 0..=runs {
        for (contender, row) in contenders.iter().zip(&mut rows) {
            eprintln!("# round {round} of {runs}: {}", contender.name);
            let sample = contender.measure(place).with_context(|| format!("{} failed", contender.name))?;
            if round > 0 {
                row.samples.push(sample);
            }
        }
    }
    Ok(rows)
}

type Prepare = dyn Fn(&Path) -> Result<()>;
type Commands = dyn Fn(&Path) -> Vec<Command>;

/// A program to measure.
pub(crate) struct Contender {
    pub(crate) name: &'static str,
    /// What must be there before the clock starts, given the empty directory.
    pub(crate) prepare: Box<Prepare>,
    /// The commands that are timed, one after the other, given the directory.
    pub(crate) commands: Box<Commands>,
}

impl Contender {
    /// One that needs no preparation and is one command.
    pub(crate) fn simple(name: &'static str, command: impl Fn(&Path) -> Command + 'static) -> Self {
        Self { name, prepare: Box::new(|_| Ok(())), commands: Box::new(move |dir| vec![command(dir)]) }
    }

    /// Runs it once in a new directory below `place`, which the caller removes when all is measured: a
    /// filesystem is slow for a while where much has just been removed.
    pub(crate) fn measure(&self, place: &Path) -> Result<Sample> {
        let dir = tempfile::Builder::new().prefix("run-").disable_cleanup(true).tempdir_in(place)?;
        (self.prepare)(dir.path())?;
        // What earlier runs have left to write must not count here.
        run(&mut Command::new("sync"))?;
        let mut sample = Sample { wall: Duration::ZERO, processor: Duration::ZERO, peak_bytes: 0 };
        for command in (self.commands)(dir.path()) {
            let one = measure(&command, dir.path())?;
            sample.wall += one.wall;
            sample.processor += one.processor;
            sample.peak_bytes = sample.peak_bytes.max(one.peak_bytes);
        }
        Ok(sample)
    }
}

/// Runs `command` under GNU time, which asks the kernel for processor time and the peak of the resident memory.
pub(crate) fn measure(command: &Command, dir: &Path) -> Result<Sample> {
    let report: PathBuf = dir.join("time");
    let time = find("time").context("GNU time is not installed")?;
    let mut timed = Command::new(time);
    timed
        .arg("--format=%M %U %S")
        .arg("--output")
        .arg(&report)
        .arg(command.get_program())
        .args(command.get_args());
    let start = Instant::now();
    run(&mut timed)?;
    let wall = start.elapsed();
    let text = fs::read_to_string(&report).context("GNU time wrote no report")?;
    let numbers: Option<Vec<f64>> = text.split_whitespace().map(|number| number.parse().ok()).collect();
    let Some([kib, user, kernel]) = numbers.as_deref() else { bail!("GNU time reported {text:?}") };
    let processor = Duration::try_from_secs_f64(user + kernel)?;
    Ok(Sample { wall, processor, peak_bytes: (kib * 1024.0) as u64 })
}
