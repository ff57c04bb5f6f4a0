use std::path::Path;

use sealpack_format::boot::data;
use sealpack_host::assess::{self, Assessed};
use sealpack_host::esp::firmware;
use sealpack_host::status::Status;
use sealpack_host::upgrade::UpgradeError;
use sealpack_kernel::Kernel;
use sealpack_kernel::directory::Directory;
use sealpack_node::refused_boot;

use super::find_out;
use super::status::boots;
use crate::context::Context;
use crate::error::{CommandError, CommandResult};
use crate::show;

/// Keep why this start of a sealed host is not good, for whoever looks at the host after the fallback.
///
/// A start is good when boot-complete.target is reached. Where it is not, sealpack-refuse.service does this and then starts
/// the machine again, so that systemd-boot comes to the UKI before when the tries of this one are used up. Exit status 3: the
/// start is refused, and why. Exit status 0: it is not good either, and there is nothing else to start, so that the host
/// stays as it is.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  sealpack host refuse")]
pub(crate) struct Refuse {}

impl Refuse {
    #[expect(clippy::unused_self, reason = "as all commands are called")]
    pub(crate) fn run(self, context: &Context) -> CommandResult {
        let status = find_out(&Kernel::new())?.map_err(|why| {
            CommandError::failed(format_args!(
                "this host is not sealed, and nothing counts its starts: {why}"
            ))
        })?;
        if !assess::is_counted(Path::new(firmware::VARIABLES)) {
            return Err(CommandError::failed("the tries of what runs are not counted: it was good before"));
        }
        let units = match assess::assess().map_err(CommandError::failed)? {
            Assessed::NotGood(units) => units,
            Assessed::Good => {
                return Err(CommandError::failed(format_args!(
                    "this start is good: {} is reached",
                    assess::TARGET
                )));
            }
        };
        let refusal = assess::refusal(&units, &status);
        let kept =
            Directory::open(Path::new(data::MOUNTED_AT)).and_then(|data| refused_boot::keep(&data, &refusal));
        if let Err(error) = kept {
            let remark =
                format!("warning: why is not kept in {}/{}: {error}", data::MOUNTED_AT, data::REFUSED);
            context.output.remark(&remark);
        }
        match is_last_resort(&status) {
            Ok(false) => Err(CommandError::refused(refusal)),
            Ok(true) => show::refused::stays(context.output, &refusal),
            // Once more may help; standing still does not.
            Err(error) => {
                context.output.remark(&format!("warning: what would be started next is not known: {error}"));
                Err(CommandError::refused(refusal))
            }
        }
    }
}

/// Whether a restart comes to what runs, which has no try left: there is nothing better.
fn is_last_resort(status: &Status) -> Result<bool, UpgradeError> {
    let boots = boots(status)?;
    Ok(boots.running.is_some()
        && boots.running == boots.next
        && boots.next().is_some_and(|next| next.is_spent()))
}
