//! A service of the sealed host that the tests boot: it waits until the system is up, runs the checks of its task, each in a
//! process of its own, reports on the second serial port, and turns the machine off.

#![expect(clippy::print_stdout, reason = "what it prints is the log")]

mod checks;
mod demo;
mod figures;
mod starts;

use anyhow::{Context, Result, bail};
use sealpack_guest::attempt;
use sealpack_guest::host::figures::REACHED;
use sealpack_guest::host::task::{DEVICE, Task};
use sealpack_guest::report::{Line, Outcome, Row};
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::process::{Command, ExitCode};

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().collect();
    match arguments.get(1).map(String::as_str) {
        Some("check") => run_check(arguments.get(2).map_or("", String::as_str)),
        _ => {
            let next = serve().unwrap_or_else(|error| {
                println!("the checks cannot run: {error:#}");
                Next::PowerOff
            });
            turn(next)
        }
    }
}

/// What the machine does when all is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    PowerOff,
    /// It starts again.
    Reboot,
}

fn serve() -> Result<Next> {
    let task = Task::read(Path::new(DEVICE))?;
    let mut report = File::options().write(true).open("/dev/ttyS1").context("cannot open /dev/ttyS1")?;
    let row =
        |name: &str, said: String| Line::Row(Row { tried: name.to_owned(), said, explained: String::new() });
    if task.figures {
        // At once: what is measured is when this is here.
        writeln!(report, "{}", row(REACHED, String::new()))?;
        for (name, value) in figures::all()? {
            writeln!(report, "{}", row(name, value.to_string()))?;
        }
    }
    // Until no unit is starting any more, this one's included; how it ended is what a check looks at.
    Command::new("systemctl").args(["is-system-running", "--wait"]).status()?;
    for name in &task.checks {
        writeln!(report, "{}", Line::Begin(name.clone()))?;
        let outcome = attempt(name).unwrap_or_else(|error| Outcome::Failed(format!("{error:#}")));
        println!("--- {name}: {outcome:?}");
        writeln!(report, "{}", Line::End(name.clone(), outcome))?;
    }
    if task.starts > 0 {
        starts::time(task.starts, |kind, time| {
            Ok(writeln!(report, "{}", row(kind, time.as_secs_f64().to_string()))?)
        })?;
    }
    if task.demo {
        for row in demo::rows()? {
            writeln!(report, "{}", Line::Row(row))?;
        }
    }
    writeln!(report, "{}", Line::Done)?;
    report.flush()?;
    Ok(if task.reboots { Next::Reboot } else { Next::PowerOff })
}

fn turn(next: Next) -> ExitCode {
    let verb = match next {
        Next::PowerOff => "poweroff",
        Next::Reboot => "reboot",
    };
    match Command::new("systemctl").arg(verb).status() {
        Ok(status) if status.success() => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}

/// Runs a check in a process of its own.
fn attempt(name: &str) -> Result<Outcome> {
    let mut command = Command::new(std::env::current_exe()?);
    let ended = attempt::attempt(command.args(["check", name]), Path::new("/run/sealpack-probe"))?;
    Ok(match ended.status {
        Some(status) if status.success() => Outcome::Ok,
        Some(status) => Outcome::Failed(format!("{status}\n{}", ended.said)),
        None => Outcome::Failed(ended.said),
    })
}

fn run_check(name: &str) -> ExitCode {
    let run = || match checks::find(name) {
        Some(check) => check(&Task::read(Path::new(DEVICE))?),
        None => bail!("there is no check called {name}"),
    };
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("{error:#}");
            ExitCode::FAILURE
        }
    }
}
