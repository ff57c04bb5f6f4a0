//! Runs a command and writes down what the kernel counted for it, finer than GNU time's hundredths of a second.
//!
//! `sealpack-timed REPORT COMMAND [ARGUMENT…]`: REPORT gets one line: nanoseconds from start to end, microseconds of the
//! processors as user and as kernel, the peak of the resident memory in KiB (of the largest process). Ends as the command.

use anyhow::{Context, Result};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use std::process::{Command, ExitCode};
use std::time::Instant;

fn main() -> Result<ExitCode> {
    let mut arguments = std::env::args_os().skip(1);
    let report = arguments.next().context("usage: sealpack-timed REPORT COMMAND [ARGUMENT...]")?;
    let program = arguments.next().context("usage: sealpack-timed REPORT COMMAND [ARGUMENT...]")?;
    let mut command = Command::new(&program);
    command.args(arguments);
    let start = Instant::now();
    let status = command.status().with_context(|| format!("cannot start {}", program.display()))?;
    let wall = start.elapsed();
    // There was one child, with all of its own that it waited for.
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let (user, kernel) = (usage.user_time().num_microseconds(), usage.system_time().num_microseconds());
    std::fs::write(&report, format!("{} {user} {kernel} {}\n", wall.as_nanos(), usage.max_rss()))
        .with_context(|| format!("cannot write {}", report.display()))?;
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
}
