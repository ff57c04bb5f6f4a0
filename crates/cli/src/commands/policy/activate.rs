use sealpack_kernel::Kernel;
use sealpack_node::policy::activate;

use crate::context::Context;
use crate::error::CommandResult;
use crate::journal;
use crate::show;

/// Have a loaded policy decide, instead of the one that does.
///
/// There is no way back to none, and none to a policy with a lower version, before the next boot.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  sealpack policy activate sealed")]
pub(crate) struct Activate {
    /// The policy's name; `sealpack policy show` lists those that are loaded.
    name: String,
}

impl Activate {
    pub(crate) fn run(self, context: &Context) -> CommandResult {
        let enforcing = activate(&Kernel::default(), &self.name)?;
        journal::activated(&self.name, enforcing);
        show::policy::activated(context.output, &self.name, enforcing)
    }
}
