use std::path::PathBuf;

use sealpack_kernel::Kernel;
use sealpack_node::policy::{GivenPolicy, load};

use crate::context::Context;
use crate::error::CommandResult;
use crate::show;

/// Give a signed policy to the kernel.
///
/// It decides nothing before it is activated; an update of the active policy does at once. Nothing of it
/// survives a reboot: load it from the initramfs, before the root is switched.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  sealpack policy load sealed.p7b
  sealpack policy load --update sealed.p7b
  sealpack policy load --update --activate sealed.p7b")]
pub(crate) struct Load {
    /// The file that `sealpack policy sign` made.
    file: PathBuf,
    /// Replace the kernel's policy of this name, if it has one, by this higher version.
    #[arg(long)]
    update: bool,
    /// Activate it too.
    #[arg(long)]
    activate: bool,
}

impl Load {
    pub(crate) fn run(self, context: &Context) -> CommandResult {
        let given = GivenPolicy::read(&self.file)?;
        let loaded = load(&Kernel::default(), &given, self.update, self.activate)?;
        show::policy::loaded(context.output, &loaded)
    }
}
