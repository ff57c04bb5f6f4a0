mod attach;
mod build;
mod check;
mod disk;
mod input;
mod keep;
mod push;
mod refuse;
mod status;
mod upgrade;

use std::path::Path;

use sealpack_format::RootHash;
use sealpack_format::boot::data;
use sealpack_host::status::{RunningImage, Status};
use sealpack_node::place::StorePlace;
use sealpack_node::seals::packs_of;

pub(in crate::commands) use status::{find_out, known, looked_at};
pub(in crate::commands) use upgrade::keep_for_boot;

use crate::context::{Context, LOCK_WAIT};
use crate::error::CommandResult;

/// Machines that are booted from a sealed image.
///
/// From the firmware to the last program, what runs on such a host is what somebody signed, and root cannot undo that.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  sealpack host check host:1
  sealpack host build host:1 -o sealed_1.efi --policy p.p7b --policy-cert policy.crt \\
      --certificate packs.crt --key boot.key --cert boot.crt
  sealpack host push host:1 sealed_1.efi
  sealpack host disk host:1 --uki sealed_1.efi -o disk.img --key boot.key --cert boot.crt
  sealpack host status
  sealpack host upgrade
  sealpack host keep
  sealpack host refuse")]
pub(crate) struct Host {
    #[command(subcommand)]
    command: HostCommand,
}

#[derive(Debug, clap::Subcommand)]
enum HostCommand {
    Build(Box<build::Build>),
    Attach(attach::Attach),
    Push(Box<push::Push>),
    Check(check::Check),
    Disk(disk::Disk),
    Status(status::Status),
    Keep(keep::Keep),
    Upgrade(Box<upgrade::Upgrade>),
    Switch(Box<upgrade::Switch>),
    Rollback(upgrade::Rollback),
    Refuse(refuse::Refuse),
}

impl Host {
    pub(crate) fn run(self, context: &Context) -> CommandResult {
        match self.command {
            HostCommand::Build(command) => command.run(context),
            HostCommand::Attach(command) => command.run(context),
            HostCommand::Push(command) => command.run(context),
            HostCommand::Check(command) => command.run(context),
            HostCommand::Disk(command) => command.run(context),
            HostCommand::Status(command) => command.run(context),
            HostCommand::Keep(command) => command.run(context),
            HostCommand::Upgrade(command) => command.run(context),
            HostCommand::Switch(command) => command.run(context),
            HostCommand::Rollback(command) => command.run(context),
            HostCommand::Refuse(command) => command.run(context),
        }
    }
}

/// The root hashes of the devices that a sealed host is booted from: those of its packs only where the store tells them.
pub(in crate::commands) fn devices(context: &Context, status: &Status) -> Vec<RootHash> {
    let mut devices = vec![status.boot.root_hash];
    let packs = store_of_host(context).open_for_reading().map_err(sealpack_node::Error::from).and_then(
        |(_lock, store)| match RunningImage::record(&store, &status.boot.image)? {
            Some(record) => packs_of(&store, &record),
            None => Ok(Vec::new()),
        },
    );
    match packs {
        Ok(packs) => devices.extend(packs.iter().map(|pack| pack.sealed.root_hash)),
        Err(error) => {
            context
                .output
                .remark(&format!("note: which packs this host is booted from is not known: {error}"));
        }
    }
    devices
}

/// The store that a sealed host is booted from, unless another one was named.
fn store_of_host(context: &Context) -> StorePlace {
    let usual = || Path::new(data::MOUNTED_AT).join(data::STORE);
    StorePlace::new(context.store.clone().unwrap_or_else(usual), LOCK_WAIT)
}
