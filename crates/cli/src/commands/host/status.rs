use std::path::Path;

use sealpack_format::ObjectId;
use sealpack_host::esp::{Boots, Esp, Facts, Filesystem, LoaderVariables, MOUNTED_AT, firmware};
use sealpack_host::status::{NotSealed, RunningImage, Seen, Status as HostStatus};
use sealpack_host::upgrade::UpgradeError;
use sealpack_kernel::Kernel;
use sealpack_mount::{Broker, enforcement_in_force, mounted};
use sealpack_node::standing::{IpeState, Keyrings};

use super::store_of_host;
use crate::context::Context;
use crate::error::{CommandError, CommandResult};
use crate::show;

/// Say what this host was booted from, and what its kernel enforces.
///
/// Each hardening is shown as the kernel has it, beside what the signed command line switched off; of the UKIs on the EFI
/// system partition, which one runs, which comes next, and which is fallen back to. Exit status 3: the host
/// is not a sealed one, IPE does not enforce, or a hardening is not in force that the command line does not switch off.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  sealpack host status
  sealpack host status --json | jq '.host.hardening[] | select(.on | not)'")]
pub(crate) struct Status {}

impl Status {
    #[expect(clippy::unused_self, reason = "as all commands are called")]
    pub(crate) fn run(self, context: &Context) -> CommandResult {
        let kernel = Kernel::new();
        let found = find_out(&kernel)?;
        let running = match &found {
            Ok(status) => known(context, &status.boot.image),
            Err(_) => None,
        };
        let refused = found.as_ref().ok().and_then(HostStatus::refused);
        let refused = refused.and_then(|refused| known(context, &refused.started?.image));
        let boots = found.as_ref().ok().map(|status| boots(status).map_err(|error| error.to_string()));
        let state = show::host_status::State {
            status: found.as_ref(),
            running: running.as_ref(),
            refused: refused.as_ref(),
            boots: boots.as_ref(),
            broker: &Broker::default().version(&kernel).map_err(|error| error.to_string()),
            ipe: &IpeState::read(&kernel),
            keyrings: &Keyrings::read(&kernel),
        };
        show::host_status::shown(context.output, &state)?;
        let status =
            found.map_err(|why| CommandError::refused(format_args!("this host is not sealed: {why}")))?;
        if let Err(why) = enforcement_in_force(&kernel) {
            return Err(CommandError::refused(format_args!("this host is not enforced: {why}")));
        }
        let lacking: Vec<&str> = status.lacking().map(|state| state.hardening.name()).collect();
        match lacking.is_empty() {
            true => Ok(()),
            false => Err(lacks(&lacking)),
        }
    }
}

/// What the ESP of this host has.
pub(super) fn boots(status: &HostStatus) -> Result<Boots, UpgradeError> {
    Ok(looked_at(status)?.1)
}

/// The ESP of this host, and what it has.
pub(in crate::commands) fn looked_at(status: &HostStatus) -> Result<(Esp, Boots), UpgradeError> {
    let place = Path::new(MOUNTED_AT);
    // It is only read.
    let looked = Filesystem { is_read_only: true, ..Filesystem::look(place)? };
    let esp = Esp::open(place, looked)?;
    let facts = Facts {
        variables: LoaderVariables::read(Path::new(firmware::VARIABLES))?,
        configured: esp.configured_default()?,
        booted: Some(status.boot.clone()),
    };
    let boots = Boots::of(esp.entries()?, &facts);
    Ok((esp, boots))
}

fn lacks(names: &[&str]) -> CommandError {
    let error = CommandError::refused(format_args!(
        "not shown to be in force, though the signed command line does not switch it off: {}",
        names.join(", ")
    ));
    match rustix::process::geteuid().is_root() {
        true => error,
        false => error.hint("only root sees all of it"),
    }
}

/// What the kernel shows, judged.
pub(in crate::commands) fn find_out(kernel: &Kernel) -> Result<Result<HostStatus, NotSealed>, CommandError> {
    let mounts = mounted()?;
    // What was mounted last is in front.
    let root = mounts.iter().rfind(|mount| mount.target == Path::new("/")).map(|mount| mount.image);
    Ok(HostStatus::of(&Seen::look(Path::new("/"), kernel), root.as_ref()))
}

/// What the host's store knows of an image. It need not be readable for whoever asks.
pub(in crate::commands) fn known(context: &Context, image: &ObjectId) -> Option<RunningImage> {
    let opened = store_of_host(context).open_for_reading();
    let found = opened.and_then(|(_lock, store)| RunningImage::find(&store, image));
    match found {
        Ok(running) => running,
        Err(error) => {
            context.output.remark(&format!("note: the image's names are not known: {error}"));
            None
        }
    }
}
