//! The tools of the composefs project: the program acts as one of them when it is called by
//! its name. Options, output and exit status are those of the C tools 1.0.8.

mod dump;
mod getopt;
mod image;
mod info;
mod mkcomposefs;
mod mount;

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::ExitCode;

/// A tool that the program can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tool {
    Mkcomposefs,
    Info,
    Dump,
    Mount,
}

impl Tool {
    pub(crate) const ALL: [Self; 4] = [Self::Mkcomposefs, Self::Info, Self::Dump, Self::Mount];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Mkcomposefs => "mkcomposefs",
            Self::Info => "composefs-info",
            Self::Dump => "composefs-dump",
            Self::Mount => "mount.composefs",
        }
    }

    pub(crate) const fn purpose(self) -> &'static str {
        match self {
            Self::Mkcomposefs => "make a metadata image from a directory or a dump",
            Self::Info => "list, dump and measure what images hold",
            Self::Dump => "write a metadata image again, bit for bit",
            Self::Mount => "mount a metadata image with its objects, also for mount -t composefs",
        }
    }

    /// The tool that a program called by `argv0` is.
    pub(crate) fn called_as(argv0: &OsStr) -> Option<Self> {
        let name = base_name(argv0);
        Self::ALL.into_iter().find(|tool| name == tool.name())
    }

    /// Runs the tool with the arguments that follow its name.
    pub(crate) fn run(self, argv0: OsString, arguments: impl Iterator<Item = OsString>) -> ExitCode {
        let program = Program { argv0 };
        let arguments: Vec<OsString> = arguments.collect();
        let result = match self {
            Self::Mkcomposefs => mkcomposefs::run(&program, arguments),
            Self::Info => info::run(&program, arguments),
            Self::Dump => dump::run(&program, &arguments),
            Self::Mount => mount::run(&program, arguments),
        };
        match result {
            Ok(()) => ExitCode::SUCCESS,
            Err(Exit { status, text }) => {
                // Nobody is left to tell when standard error is closed.
                _ = io::stderr().lock().write_all(&text);
                ExitCode::from(status)
            }
        }
    }
}

/// What a program's name is after its last slash.
fn base_name(argv0: &OsStr) -> &OsStr {
    Path::new(argv0).file_name().unwrap_or(argv0)
}

/// The program, as it was called.
struct Program {
    argv0: OsString,
}

/// Why a tool ends early: its exit status, and what it says on standard error.
#[derive(Debug)]
struct Exit {
    status: u8,
    text: Vec<u8>,
}

type ToolResult = Result<(), Exit>;

impl Program {
    /// A failure, as err(3) and errx(3) show it.
    fn failed(&self, message: impl fmt::Display) -> Exit {
        let mut text = base_name(&self.argv0).as_bytes().to_vec();
        text.extend_from_slice(format!(": {message}\n").as_bytes());
        Exit { status: 1, text }
    }

    /// A failure with its line and then how the program is used.
    fn misused(&self, line: &str, usage: &[u8]) -> Exit {
        let line = if line.is_empty() { String::new() } else { format!("{line}\n") };
        Exit { status: 1, text: [line.as_bytes(), usage].concat() }
    }

    /// A failure of standard output. Whoever closed it gets no message, and the status that a
    /// C program has which the signal ends.
    fn unwritten(&self, error: &io::Error) -> Exit {
        const SIGPIPE_STATUS: u8 = 128 + 13;
        match error.kind() {
            io::ErrorKind::BrokenPipe => Exit { status: SIGPIPE_STATUS, text: Vec::new() },
            _ => self.failed(format_args!("cannot write to standard output: {}", reason(error))),
        }
    }
}

/// Prints a line.
fn print(program: &Program, line: impl fmt::Display) -> ToolResult {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{line}").and_then(|()| stdout.flush()).map_err(|error| program.unwritten(&error))
}

/// The words of an error, without the number that Rust puts behind them.
fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    match error.raw_os_error() {
        Some(number) => text.replace(&format!(" (os error {number})"), ""),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_it_is_called_by_makes_it_a_tool() {
        assert_eq!(Tool::called_as("/usr/bin/mkcomposefs".as_ref()), Some(Tool::Mkcomposefs));
        assert_eq!(Tool::called_as("mount.composefs".as_ref()), Some(Tool::Mount));
        for other in ["sealpack", "mkcomposefs2", "/mkcomposefs/sealpack", ""] {
            assert_eq!(Tool::called_as(other.as_ref()), None);
        }
    }
}
