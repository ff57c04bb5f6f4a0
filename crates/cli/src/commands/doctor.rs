use sealpack_kernel::Kernel;
use sealpack_kernel::probe::System;
use sealpack_node::standing::Standing;

use crate::context::Context;
use crate::error::CommandResult;
use crate::show;

/// Say what this machine can do, and what to do about what it cannot.
///
/// Also which levels mounts can reach, which certificates the kernel trusts, and what IPE enforces.
///
/// Everything is found out by trying; nothing is left behind. The exit status is 0 whatever
/// is found: --json is for those who decide by it.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  sealpack doctor
  sealpack doctor --json | jq .can
  sealpack doctor --json | jq .levels.signed")]
pub(crate) struct Doctor {}

impl Doctor {
    pub(crate) fn run(self, context: &Context) -> CommandResult {
        let store = context.store_path()?;
        let standing = Standing::find_out(&Kernel::new(), &System::this(), &store);
        show::standing::standing(context.output, &standing, &store)
    }
}
