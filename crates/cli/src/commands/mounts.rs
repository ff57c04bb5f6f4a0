use std::path::Path;

use sealpack_kernel::Kernel;
use sealpack_node::Remark;
use sealpack_node::mounts::{NOTES, mounts};

use crate::context::Context;
use crate::error::CommandResult;
use crate::show;

/// List the images that are mounted on this machine.
///
/// Each with what it is good for at the moment: whether its devices are still as they were made, and whether a policy that
/// is in force now lets nothing else execute. LEVEL is `?` where that is not known; `--verbose` and `--json` say why. Mounts
/// that only other mount namespaces have, such as containers', are listed with a process that sees them.
///
/// Since when, under which name and on which devices an image was mounted, /run/sealpack/mounts has, where whoever mounts
/// notes it; nothing is known of that for mounts by ordinary users.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  sealpack mounts
  sealpack mounts --json | jq -r '.image_mounts[] | select(.level != \"enforced\") | .target'")]
pub(crate) struct MountList {}

impl MountList {
    pub(crate) fn run(self, context: &Context) -> CommandResult {
        let found = mounts(&Kernel::default(), Path::new(NOTES))?;
        if found.unreadable_processes > 0 {
            context.output.remarks()(Remark::HiddenMounts { processes: found.unreadable_processes });
        }
        let store = match context.open_for_reading() {
            Ok(opened) => Some(opened),
            // What is mounted may come from another one.
            Err(error) if error.is_no_store() => None,
            Err(error) => return Err(error),
        };
        let images = store.as_ref().map(|(_lock, store)| store.images()).transpose()?;
        let known = store.as_ref().map(|(_lock, store)| store).zip(images.as_ref());
        show::mounts::list(context.output, &found.mounts, known)
    }
}
