//! The `sealpack` command.

mod args;
mod commands;
mod compat;
mod context;
mod error;
mod hint;
mod listing;
mod output;
mod progress;
mod registry_args;
mod show;
mod signing;
mod statement;

use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser};

use crate::context::Context;
use crate::output::Output;

/// Pull ordinary OCI images, seal them, and mount them so that the kernel decides what may execute.
///
/// Images come from registries, OCI layouts and archives as they are. Names are image
/// references: `debian:12` means `docker.io/library/debian:12`.
#[derive(Debug, Parser)]
#[command(name = "sealpack", version, propagate_version = true, max_term_width = 100)]
#[command(
    after_help = "Exit status: 0 done, 1 failed, 2 wrong usage, 3 refused: verification failed, or a required level was not reached."
)]
struct Arguments {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: commands::Command,
}

/// What every command takes.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Global options")]
struct Global {
    /// The store [default: /var/lib/sealpack for root, else $XDG_DATA_HOME/sealpack, which is
    /// ~/.local/share/sealpack where it is not set].
    #[arg(long, global = true, value_name = "DIR", env = "SEALPACK_STORE")]
    store: Option<std::path::PathBuf>,
    /// The trust store: whose seals count, and what may be pulled [default: /etc/sealpack/trust.d, and for others than root
    /// $XDG_CONFIG_HOME/sealpack/trust.d too].
    #[arg(long, global = true, value_name = "DIR", env = "SEALPACK_TRUST")]
    trust: Option<std::path::PathBuf>,
    /// Print results as JSON on standard output, progress and errors as JSON lines on standard error.
    #[arg(long, global = true)]
    json: bool,
    /// Print results and errors only.
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    quiet: bool,
    /// Say more about what is done.
    #[arg(short, long, global = true)]
    verbose: bool,
}

fn main() -> ExitCode {
    let mut arguments = std::env::args_os();
    if let Some(argv0) = arguments.next()
        && let Some(tool) = compat::Tool::called_as(&argv0)
    {
        return tool.run(argv0, arguments);
    }
    let matches = Arguments::command().get_matches();
    let arguments = match Arguments::from_arg_matches(&matches) {
        Ok(arguments) => arguments,
        Err(error) => error.exit(),
    };
    let Global { store, trust, json, quiet, verbose } = arguments.global;
    let context = Context { store, trust, output: Output { json, quiet, verbose } };
    match arguments.command.run(&context) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            context.output.error(&error);
            ExitCode::from(error.exit_status())
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        super::Arguments::command().debug_assert();
    }
}
