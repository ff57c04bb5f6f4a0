use sealpack_kernel::Kernel;
use sealpack_kernel::probe::System;
use sealpack_mount::Level;
use sealpack_node::standing::{Reach, Standing};

use super::host::find_out;
use crate::container::runtime;
use crate::context::Context;
use crate::error::{CommandError, CommandResult};
use crate::show::{self, standing::Shown};

/// Say what this machine can do, and what to do about what it cannot.
///
/// Also which container runtimes are installed, and whether they work where a policy is enforced; which levels mounts can reach, which certificates the kernel trusts, and what IPE enforces; of a sealed host, which
/// hardenings are not in force.
///
/// Everything is found out by trying; nothing is left behind. The exit status is 0 whatever
/// is found, unless --require says what has to be.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  sealpack doctor
  sealpack doctor --require enforced || exit
  sealpack doctor --json | jq .can
  sealpack doctor --json | jq .levels.signed")]
pub(crate) struct Doctor {
    /// End with status 3 where mounts cannot reach this level: plain, verified, signed or enforced.
    #[arg(long, value_name = "LEVEL")]
    require: Option<Level>,
}

impl Doctor {
    pub(crate) fn run(self, context: &Context) -> CommandResult {
        let store = context.store_path()?;
        let kernel = Kernel::new();
        let standing = Standing::find_out(&kernel, &System::this(), &store);
        // Of other hosts there is nothing to say here.
        let host = find_out(&kernel).ok().and_then(Result::ok);
        let shown = Shown {
            standing: &standing,
            host: host.as_ref(),
            runtimes: &runtime::installed(),
            store: &store,
        };
        show::standing::standing(context.output, &shown)?;
        let lacking = |required| standing.levels.iter().find(|reach| reach.level == required);
        match self.require.and_then(lacking) {
            Some(Reach { level, how: Err(obstacle), .. }) => Err(CommandError::refused(format_args!(
                "{level} is required, but mounts cannot reach it: {obstacle}"
            ))),
            _ => Ok(()),
        }
    }
}
