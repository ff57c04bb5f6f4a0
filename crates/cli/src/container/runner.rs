//! A container, from its making to its end.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::process::{Pid, WaitStatus};
use sealpack_bundle::Spec;
use sealpack_kernel::Kernel;
use serde_json::Value;

use super::console;
use super::place::Place;
use super::signals::{Passing, Stopping};
use super::streams::Streams;
use crate::error::CommandError;

/// The status with which engines say that there was no program to be started, and that it cannot be executed.
const NOT_FOUND: u8 = 127;
const NOT_EXECUTABLE: u8 = 126;

/// How a container is run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Manner {
    /// Whether it has this command's input.
    pub(crate) has_input: bool,
    /// Whether it has a terminal.
    pub(crate) has_terminal: bool,
    /// How it is asked to end.
    pub(crate) stopping: Stopping,
}

/// How a container ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// With a status.
    With(u8),
    /// By a signal.
    By(u8),
}

impl Ended {
    /// As shells have it.
    pub(crate) const fn status(self) -> u8 {
        match self {
            Self::With(status) => status,
            Self::By(signal) => signal.saturating_add(128),
        }
    }
}

/// Makes the container in its place, starts it, and waits for its end. What there is of it afterwards is for whoever has
/// the place to remove.
pub(crate) fn run(
    kernel: &Kernel,
    place: &Place,
    spec: &Spec,
    manner: Manner,
) -> Result<Ended, CommandError> {
    let config = place.at("config.json");
    fs::write(&config, spec.to_json()).map_err(|error| failed(&config, error))?;
    let passing = Passing::new(manner.stopping)?;
    kernel.adopt_orphans().map_err(CommandError::failed)?;
    let mut create = place.runtime();
    let process = place.at("process");
    create.arg("create").arg("--bundle").arg(place.path()).arg("--pid-file").arg(&process);
    let (_raw, copying, child) = match manner.has_terminal {
        true => {
            let path = place.at("terminal");
            let socket = kernel.await_terminal_at(&path).map_err(CommandError::failed)?;
            create.arg("--console-socket").arg(&path);
            create.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            called(place, create, place.id())?;
            let terminal = kernel.take_terminal(&socket);
            let terminal = terminal.map_err(|error| {
                CommandError::failed(format_args!("the runtime handed over no terminal: {error}"))
            })?;
            let child = child(&process)?;
            let (raw, copying) = console::join(kernel, terminal, manner.has_input, &passing)?;
            (Some(raw), copying, child)
        }
        false => {
            let streams = Streams::give(&mut create, manner.has_input)?;
            called(place, create, place.id())?;
            (None, streams.copy()?, child(&process)?)
        }
    };
    passing.to(kernel.open_process(child).map_err(CommandError::failed)?);
    let mut start = place.runtime();
    start.arg("start").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    called(place, start, place.id())?;
    let status = kernel.wait_for(child, false).map_err(CommandError::failed)?;
    copying.finish();
    status.and_then(ended).ok_or_else(|| CommandError::failed("the container's end has no status"))
}

fn ended(status: WaitStatus) -> Option<Ended> {
    let byte = |number: i32| u8::try_from(number).ok();
    let exited = status.exit_status().and_then(byte).map(Ended::With);
    exited.or_else(|| status.terminating_signal().and_then(byte).map(Ended::By))
}

/// The process that the runtime made.
fn child(file: &Path) -> Result<Pid, CommandError> {
    let text = fs::read_to_string(file).map_err(|error| failed(file, error))?;
    let pid = text.trim().parse().ok().and_then(Pid::from_raw);
    pid.ok_or_else(|| failed(file, format_args!("{text:?} is no process")))
}

/// Calls the runtime. What it has to say of a failure it says in its log.
fn called(place: &Place, mut command: Command, id: &str) -> Result<(), CommandError> {
    let log = place.at("log");
    let status = command.arg(id).status();
    // The pipes' other ends, which the container has now.
    drop(command);
    let status = status.map_err(|error| failed(&log, error))?;
    if status.success() {
        return Ok(());
    }
    let said = fs::read_to_string(&log).ok().and_then(|text| last_error(&text));
    let said = said.unwrap_or_else(|| format!("it ended with {status}, and does not say why"));
    let error = CommandError::failed(format_args!("the container runtime: {said}"));
    Err(match said {
        said if is_not_found(&said) => error.exit_as(NOT_FOUND),
        said if said.contains("ermission denied") && said.contains("exec") => error.exit_as(NOT_EXECUTABLE),
        _ => error,
    })
}

/// Whether it is the program that is missing.
fn is_not_found(said: &str) -> bool {
    said.contains("executable file") && said.contains("not found")
        || said.contains("exec") && said.contains("no such file or directory")
}

/// The last error of a runtime's log, a JSON object on each line.
fn last_error(log: &str) -> Option<String> {
    let values = log.lines().rev().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut errors = values.filter(|value| matches!(value["level"].as_str(), Some("error" | "fatal")));
    errors.find_map(|value| value["msg"].as_str().map(|text| text.trim().to_owned()))
}

fn failed(path: &Path, why: impl std::fmt::Display) -> CommandError {
    CommandError::failed(format_args!("{}: {why}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_runtime_is_quoted_with_its_last_error() {
        let log = "{\"level\":\"warning\",\"msg\":\"careful\"}\n{\"level\":\"error\",\"msg\":\"one\"}\n\
                   {\"level\":\"error\",\"msg\":\"two \"}\nnonsense\n{\"level\":\"info\",\"msg\":\"three\"}\n";
        assert_eq!(last_error(log).as_deref(), Some("two"));
        assert_eq!(last_error("nonsense"), None);
    }

    #[test]
    fn a_missing_program_is_told_from_other_failures() {
        assert!(is_not_found("exec: \"x\": executable file not found in $PATH: unknown"));
        assert!(is_not_found("executable file `x` not found in $PATH: No such file or directory"));
        assert!(is_not_found(
            "unable to start container process: exec: \"/x\": stat /x: no such file or directory"
        ));
        assert!(
            !is_not_found("mkdir /x: read-only file system") && !is_not_found("no such file or directory")
        );
    }

    #[test]
    fn an_end_by_a_signal_has_the_status_that_shells_give_it() {
        assert_eq!((Ended::With(3).status(), Ended::By(15).status(), Ended::By(9).status()), (3, 143, 137));
    }
}
