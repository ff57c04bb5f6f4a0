mod check;
mod disk;
mod keep;
mod status;

use std::path::Path;

use sealpack_format::boot::data;
use sealpack_node::place::StorePlace;

pub(in crate::commands) use status::find_out;

use crate::context::{Context, LOCK_WAIT};
use crate::error::CommandResult;

/// Machines that are booted from a sealed image.
///
/// From the firmware to the last program, what runs on such a host is what somebody signed, and root cannot undo that.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  sealpack host check host:1
  sealpack host disk host:1 --uki sealed_1.efi -o disk.img --key boot.key --cert boot.crt
  sealpack host status
  sealpack host keep")]
pub(crate) struct Host {
    #[command(subcommand)]
    command: HostCommand,
}

#[derive(Debug, clap::Subcommand)]
enum HostCommand {
    Check(check::Check),
    Disk(disk::Disk),
    Status(status::Status),
    Keep(keep::Keep),
}

impl Host {
    pub(crate) fn run(self, context: &Context) -> CommandResult {
        match self.command {
            HostCommand::Check(command) => command.run(context),
            HostCommand::Disk(command) => command.run(context),
            HostCommand::Status(command) => command.run(context),
            HostCommand::Keep(command) => command.run(context),
        }
    }
}

/// The store that a sealed host is booted from, unless another one was named.
fn store_of_host(context: &Context) -> StorePlace {
    let usual = || Path::new(data::MOUNTED_AT).join(data::STORE);
    StorePlace::new(context.store.clone().unwrap_or_else(usual), LOCK_WAIT)
}
