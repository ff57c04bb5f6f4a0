//! A sealed host's first process, and the broker that it forks.
//!
//! As the first process it has no arguments, no shell and no choice but those of the signed command line; [`start`] tells
//! the order. The same program is the [`broker`] of a host that is not sealed.

mod broker;
mod filter;
mod kernel_log;
mod start;

use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

/// The number of the process that the kernel starts.
const FIRST: u32 = 1;

fn main() -> ExitCode {
    if std::process::id() == FIRST {
        start::start();
    }
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let result = match arguments.split_first() {
        Some((word, [])) if word == "--version" => return version(),
        Some((word, rest)) if word == "broker" => broker::service::run(rest),
        _ => Err(broker::service::ServiceError::Usage),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&error);
            ExitCode::FAILURE
        }
    }
}

fn version() -> ExitCode {
    match writeln!(std::io::stdout(), "sealpack-init {}", env!("CARGO_PKG_VERSION")) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

#[expect(clippy::print_stderr, reason = "a service's log")]
fn say(error: &dyn std::error::Error) {
    eprintln!("<3>sealpack-broker: {error}");
}
