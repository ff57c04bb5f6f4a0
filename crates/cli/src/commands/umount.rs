use std::path::PathBuf;

use sealpack_kernel::Kernel;

use crate::context::Context;
use crate::error::CommandResult;
use crate::journal;
use crate::show;

/// Unmount an image.
///
/// Only what `sealpack mount` mounted is unmounted. Changes stay in the upper directory. The
/// devices of packs go by themselves with the last mount that uses them.
#[derive(Debug, clap::Args)]
#[command(visible_alias = "unmount")]
#[command(after_help = "Examples:
  sealpack umount /mnt")]
pub(crate) struct Umount {
    /// The directory that the image is mounted on.
    target: PathBuf,
    /// Take it out of sight at once, and let it go when nothing uses it any more.
    #[arg(long)]
    lazy: bool,
}

impl Umount {
    pub(crate) fn run(self, context: &Context) -> CommandResult {
        let kernel = Kernel::default();
        let unmounted = sealpack_mount::unmount(&kernel, &self.target, self.lazy)?;
        journal::unmounted(&unmounted);
        if let Err(error) = sealpack_mount::remove_leftovers(&kernel) {
            context.output.remark(&format!("warning: {error}"));
        }
        show::mounted::unmounted(context.output, &unmounted)
    }
}
