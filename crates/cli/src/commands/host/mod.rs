mod attach;
mod build;
mod input;
mod status;

pub(in crate::commands) use status::find_out;

use crate::context::Context;
use crate::error::CommandResult;

/// Machines that are booted from a sealed image.
///
/// From the firmware to the last program, what runs on such a host is what somebody signed, and root cannot undo that.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  sealpack host build site/host:3 -o sealed_3.efi --policy host.p7b --certificate packs.crt --key boot.key --cert boot.crt
  sealpack host status")]
pub(crate) struct Host {
    #[command(subcommand)]
    command: HostCommand,
}

#[derive(Debug, clap::Subcommand)]
enum HostCommand {
    Build(Box<build::Build>),
    Attach(attach::Attach),
    Status(status::Status),
}

impl Host {
    pub(crate) fn run(self, context: &Context) -> CommandResult {
        match self.command {
            HostCommand::Build(command) => command.run(context),
            HostCommand::Attach(command) => command.run(context),
            HostCommand::Status(command) => command.run(context),
        }
    }
}
