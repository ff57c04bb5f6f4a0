//! What is measured: a program that takes an image in, and the directory that it fills.

use anyhow::{Context, Result};
use sealpack_tests::command::{find, run};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// One run of one contender.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    pub(crate) wall: Duration,
    pub(crate) peak_bytes: u64,
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
        let mut sample = Sample { wall: Duration::ZERO, peak_bytes: 0 };
        for command in (self.commands)(dir.path()) {
            let one = measure(&command, dir.path())?;
            sample.wall += one.wall;
            sample.peak_bytes = sample.peak_bytes.max(one.peak_bytes);
        }
        Ok(sample)
    }
}

/// Runs `command` under GNU time, which asks the kernel for the peak of the resident memory.
pub(crate) fn measure(command: &Command, dir: &Path) -> Result<Sample> {
    let report: PathBuf = dir.join("time");
    let time = find("time").context("GNU time is not installed")?;
    let mut timed = Command::new(time);
    timed.arg("--format=%M").arg("--output").arg(&report).arg(command.get_program()).args(command.get_args());
    let start = Instant::now();
    run(&mut timed)?;
    let wall = start.elapsed();
    let text = fs::read_to_string(&report).context("GNU time wrote no report")?;
    let kib: u64 = text.trim().parse().with_context(|| format!("GNU time reported {text:?}"))?;
    Ok(Sample { wall, peak_bytes: kib * 1024 })
}
