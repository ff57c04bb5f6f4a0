//! A sealed host's first process: from the kernel's start to the system's own, and never anywhere else.
//!
//! It has no arguments, no shell and no choice but those of the signed command line. [`start`] tells the order.

mod filter;
mod kernel_log;
mod start;

use std::io::Write;
use std::process::ExitCode;

fn main() -> ExitCode {
    if std::process::id() == 1 {
        start::start();
    }
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next().is_some_and(|first| first == "--version") {
        let written = writeln!(std::io::stdout(), "sealpack-init {}", env!("CARGO_PKG_VERSION"));
        return if written.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    let what = "this is the first process of a sealed host; the kernel starts it from a signed initramfs";
    // With nowhere to say it, the status says it.
    _ = writeln!(std::io::stderr(), "sealpack-init: {what}");
    ExitCode::from(2)
}
