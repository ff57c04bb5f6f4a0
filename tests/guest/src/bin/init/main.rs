//! The guest's first process: it mounts what every system has, loads the modules, runs the checks that the
//! kernel's command line names, each in a process of its own, reports, and turns the machine off.

#![expect(clippy::print_stdout, reason = "what it prints is the guest's log")]

mod by_hand;
mod checks;
mod confined;
mod demo;
mod device;
mod kernel_log;
mod stages;
mod system;

use anyhow::{Context, Result};
use sealpack_guest::attempt;
use sealpack_guest::report::{Line, Outcome};
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::process::{Command, ExitCode};

/// Signed programs come first.
const PATH: &str = "/tools/bin:/bin";

/// The exit status of a check that has nothing to check.
const SKIPPED: u8 = 77;

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().collect();
    match arguments.get(1).map(String::as_str) {
        Some("check") => run_check(arguments.get(2).map_or("", String::as_str)),
        Some(verb @ ("confined" | "free")) => {
            confined::run(verb == "confined", arguments.get(2..).unwrap_or_default())
        }
        Some("by-hand") => by_hand::run(arguments.get(2..).unwrap_or_default()),
        Some("enter") => enter(arguments.get(2).map_or("", String::as_str)),
        _ => {
            if let Err(error) = first_process() {
                println!("the guest cannot run: {error:#}");
            }
            system::power_off();
            ExitCode::FAILURE
        }
    }
}

fn first_process() -> Result<()> {
    system::prepare()?;
    let command_line = fs::read_to_string("/proc/cmdline")?;
    let mut words = command_line.split_whitespace();
    if words.clone().any(|word| word == "sealpack.shell") {
        return shell();
    }
    let mut report = File::options().write(true).open("/dev/ttyS1").context("cannot open /dev/ttyS1")?;
    let names = words.clone().find_map(|word| word.strip_prefix("sealpack.checks=")).unwrap_or_default();
    if words.any(|word| word == "sealpack.demo") {
        demo::run(&mut report)?;
    }
    for name in names.split(',').filter(|name| !name.is_empty()) {
        println!("--- {name}");
        writeln!(report, "{}", Line::Begin(name.into()))?;
        let outcome = attempt(name).unwrap_or_else(|error| Outcome::Failed(format!("{error:#}")));
        println!("--- {name}: {outcome:?}");
        writeln!(report, "{}", Line::End(name.into(), outcome))?;
    }
    writeln!(report, "{}", Line::Done)?;
    report.flush()?;
    Ok(())
}

fn shell() -> Result<()> {
    println!("The disk is at /disk, sealpack in the PATH. The guest ends with this shell.");
    println!("`sealpack-guest-init check NAME` runs a check under its policy, which then stays active.");
    println!("`sealpack-guest-init enter POLICY` activates one of early, final, strict, digests.");
    let mut shell = Command::new(system::BUSYBOX);
    // A shell without a terminal of its own has no job control.
    let status = shell.args(["setsid", "-c", system::BUSYBOX, "sh"]).env("PATH", PATH).status()?;
    println!("the shell ended with {status}");
    Ok(())
}

/// Runs a check in a process of its own.
fn attempt(name: &str) -> Result<Outcome> {
    let mut command = Command::new(system::ITSELF);
    let ended = attempt::attempt(command.args(["check", name]).env("PATH", PATH), Path::new("/tmp/output"))?;
    println!("{}", ended.said);
    let code = ended.status.and_then(|status| status.code());
    Ok(match (ended.status, code) {
        (_, Some(0)) => Outcome::Ok,
        (_, Some(code)) if code == i32::from(SKIPPED) => Outcome::Skipped(ended.said),
        (Some(status), _) => Outcome::Failed(format!("{status}\n{}", ended.said)),
        (None, _) => Outcome::Failed(ended.said),
    })
}

fn run_check(name: &str) -> ExitCode {
    let result = under_its_policy(name);
    match result {
        Ok(checks::Verdict::Shown) => ExitCode::SUCCESS,
        Ok(checks::Verdict::Inapplicable(why)) => {
            println!("{why}");
            ExitCode::from(SKIPPED)
        }
        Err(error) => {
            println!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs a check once the policy of its stage is active.
fn under_its_policy(name: &str) -> Result<checks::Verdict> {
    let known = sealpack_guest::checks::find(name).zip(checks::find(name));
    let (check, run) = known.with_context(|| format!("there is no check called {name}"))?;
    // Parts of checks run as other users: whoever started them has entered the stage.
    if rustix::process::geteuid().is_root() {
        stages::enter(check.stage)?;
    }
    run()
}

fn enter(policy: &str) -> ExitCode {
    let entered =
        stages::find(policy).with_context(|| format!("there is no policy {policy}")).and_then(stages::enter);
    match entered {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("{error:#}");
            ExitCode::FAILURE
        }
    }
}
