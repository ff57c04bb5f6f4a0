//! A sealed host's first process, and the broker that it forks.

mod broker;

use std::ffi::OsString;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let result = match arguments.split_first() {
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

#[expect(clippy::print_stderr, reason = "a service's log")]
fn say(error: &dyn std::error::Error) {
    eprintln!("<3>sealpack-broker: {error}");
}
