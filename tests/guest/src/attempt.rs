//! A check in a process of its own, with an end to its time: so it runs in the guest and on the sealed host.

use anyhow::Result;
use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// How long a check may take.
const TIME_LIMIT: Duration = Duration::from_secs(180);

/// How a check's process ended.
#[derive(Debug)]
pub struct Ended {
    /// `None` when it took too long and was killed.
    pub status: Option<ExitStatus>,
    /// What it printed, and when it took too long, that.
    pub said: String,
}

/// Runs `command` to its end, or kills it after three minutes. What it prints goes to a file at `output` first.
///
/// # Errors
/// If it cannot be started, or its output not be kept.
pub fn attempt(command: &mut Command, output: &Path) -> Result<Ended> {
    let file = File::create(output)?;
    let mut child = command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file).spawn()?;
    let started = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break Some(status);
        }
        if started.elapsed() > TIME_LIMIT {
            child.kill()?;
            child.wait()?;
            break None;
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    let mut said = String::from_utf8_lossy(&fs::read(output)?).trim_end().to_owned();
    if status.is_none() {
        said = format!("it took more than {} s\n{said}", TIME_LIMIT.as_secs());
    }
    Ok(Ended { status, said })
}
