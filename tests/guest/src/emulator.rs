//! QEMU: started, watched, ended. One runs at a time.

use crate::report::Line;
use anyhow::{Context, Result};
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How often a running machine is looked at.
const INTERVAL: Duration = Duration::from_millis(250);

/// Waits until no other machine of this workspace runs; until what this returns is dropped, none is started.
///
/// # Errors
/// If there is no place for the lock.
pub(crate) fn turn() -> Result<File> {
    let place = crate::place();
    fs::create_dir_all(&place).with_context(|| format!("cannot make {}", place.display()))?;
    let turn = File::create(place.join("machine.lock"))?;
    turn.lock().context("cannot lock machine.lock")?;
    Ok(turn)
}

/// How a run ended.
#[derive(Clone, Debug)]
pub struct Ended {
    /// What was reported, in order.
    pub lines: Vec<Line>,
    /// What the kernel and the checks printed.
    pub log: String,
    /// Why it was ended from outside, if it was.
    pub ended_by_us: Option<String>,
    /// When it was started.
    pub started: Instant,
}

/// How long a machine may run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// In all.
    pub(crate) time: Duration,
    /// Without a line of its report, or one on its console that `is_done` is asked about.
    pub(crate) silence: Duration,
    /// Without anything new on its console.
    pub(crate) stall: Option<Stall>,
}

/// How long a console may stand still, as long as this is true of what it has shown.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stall {
    pub(crate) after: Duration,
    pub(crate) counts: fn(&str) -> bool,
}

/// Runs a machine that lacks only its serial ports: the first is the console, on the second it reports. The files of both
/// are in `dir`. It ends by itself, past its limits, or when `is_done` says so of what the console shows.
///
/// # Errors
/// If QEMU cannot be started. A machine that hangs or dies is no error here.
pub(crate) fn run(
    mut qemu: Command,
    dir: &Path,
    limits: Limits,
    mut is_done: impl FnMut(&str) -> Option<String>,
    mut watch: impl FnMut(&Line),
) -> Result<Ended> {
    let file = |name: &str| -> PathBuf { dir.join(name) };
    let (console, report) = (file("console"), file("report"));
    fs::write(&console, "")?;
    fs::write(&report, "")?;
    for port in [&console, &report] {
        qemu.arg("-serial").arg(format!("file:{}", port.display()));
    }
    qemu.stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(file("qemu"))?);
    let started = Instant::now();
    let mut running = Running(qemu.spawn().context("cannot start qemu-system-x86_64")?);
    let mut reader = Reader { file: File::open(&report)?, partial: String::new(), lines: Vec::new() };
    let mut shown = Shown { file: File::open(&console)?, text: String::new() };
    let mut reported = started;
    let mut showed = started;
    let ended_by_us = loop {
        if reader.read(&mut watch)? > 0 {
            reported = Instant::now();
        }
        if shown.read()? > 0 {
            showed = Instant::now();
            if let Some(why) = is_done(&shown.text) {
                break Some(why);
            }
        }
        if let Some(Stall { after, counts }) = limits.stall
            && showed.elapsed() > after
            && counts(&shown.text)
        {
            break Some(format!("its console stood still for {} s", after.as_secs()));
        }
        if running.0.try_wait()?.is_some() {
            break None;
        }
        if reported.elapsed() > limits.silence {
            break Some(format!("it reported nothing for {} s", limits.silence.as_secs()));
        }
        if started.elapsed() > limits.time {
            break Some(format!("it still ran after {} s", limits.time.as_secs()));
        }
        std::thread::sleep(INTERVAL);
    };
    drop(running);
    reader.read(&mut watch)?;
    shown.read()?;
    let said = fs::read(file("qemu"))?;
    let log = String::from_utf8_lossy(&said).into_owned() + &shown.text;
    Ok(Ended { lines: reader.lines, log, ended_by_us, started })
}

/// QEMU, which ends with this process.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What the console shows.
struct Shown {
    file: File,
    text: String,
}

impl Shown {
    /// Reads what is new, and returns how many bytes that were.
    fn read(&mut self) -> Result<usize> {
        let mut bytes = Vec::new();
        let length = self.file.read_to_end(&mut bytes)?;
        self.text.push_str(&String::from_utf8_lossy(&bytes).replace('\r', ""));
        Ok(length)
    }
}

/// Reads whole lines from a file that grows.
struct Reader {
    file: File,
    partial: String,
    lines: Vec<Line>,
}

impl Reader {
    /// Reads what is new, and returns how many bytes that were.
    fn read(&mut self, watch: &mut impl FnMut(&Line)) -> Result<usize> {
        let mut bytes = Vec::new();
        let length = self.file.read_to_end(&mut bytes)?;
        self.partial.push_str(&String::from_utf8_lossy(&bytes));
        while let Some((line, rest)) = self.partial.split_once('\n') {
            if let Some(line) = Line::parse(line) {
                watch(&line);
                self.lines.push(line);
            }
            self.partial = rest.to_owned();
        }
        Ok(length)
    }
}
