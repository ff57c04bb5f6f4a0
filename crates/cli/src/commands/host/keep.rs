use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;

use sealpack_format::boot::keep::{KeepList, LIST_MAX_BYTES, LIST_PATH};
use sealpack_format::boot::{Etc, data};
use sealpack_format::tree::Tree;
use sealpack_host::keep::{Keeping, keep};
use sealpack_host::status::{RunningImage, Status};
use sealpack_kernel::{Kernel, mountinfo};
use sealpack_store::Store;

use super::{find_out, store_of_host};
use crate::context::Context;
use crate::error::{CommandError, CommandResult};
use crate::show;

/// Keep files of /etc over the next boot of this sealed host.
///
/// Which files, the image's /usr/lib/sealpack/etc.keep says; without one they are the machine's identity, its keys for SSH,
/// its users and its network. Those that are not as in the image are copied to /data/etc, from where they come back at the
/// next boot. sealpack-keep.service does that after each start and before each end.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  sealpack host keep")]
pub(crate) struct Keep {}

impl Keep {
    #[expect(clippy::unused_self, reason = "as all commands are called")]
    pub(crate) fn run(self, context: &Context) -> CommandResult {
        let kernel = Kernel::new();
        let status = find_out(&kernel)?.map_err(|why| {
            CommandError::failed(format_args!("this host is not sealed, and its /etc stays by itself: {why}"))
        })?;
        if status.boot.etc == Etc::Persistent {
            return show::kept::persistent(context.output);
        }
        check_is_mounted(Path::new(data::MOUNTED_AT))?;
        let image = image_of(context, &status);
        let kept = Path::new(data::MOUNTED_AT).join(data::ETC);
        let list = list()?;
        let keeping = Keeping { etc: Path::new("/etc"), kept: &kept, list: &list, image: image.as_ref() };
        let done = keep(&keeping).map_err(CommandError::failed)?;
        show::kept::kept(context.output, &done)?;
        match done.passed_over.iter().filter(|passed| passed.why.is_failure()).count() {
            0 => Ok(()),
            lost => Err(CommandError::failed(format_args!(
                "{} not kept that {} meant to be",
                crate::output::count(lost as u64, "file"),
                if lost == 1 { "was" } else { "were" },
            ))),
        }
    }
}

/// Without the data partition what is kept would be in memory, and lost.
fn check_is_mounted(path: &Path) -> CommandResult {
    let mounts = mountinfo::read_own().map_err(CommandError::failed)?;
    match mounts.iter().any(|mount| mount.mount_point == path) {
        true => Ok(()),
        false => Err(CommandError::failed(format_args!("nothing is mounted at {}", path.display()))),
    }
}

/// The list of the image that runs, or the one that holds without.
fn list() -> Result<KeepList, CommandError> {
    let failed = |why: &dyn std::fmt::Display| CommandError::failed(format_args!("{LIST_PATH}: {why}"));
    let mut text = Vec::new();
    match File::open(LIST_PATH) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(KeepList::built_in()),
        opened => {
            let file = opened.map_err(|error| failed(&error))?;
            // One byte more tells that there is too much.
            file.take(LIST_MAX_BYTES as u64 + 1).read_to_end(&mut text).map_err(|error| failed(&error))?;
        }
    }
    KeepList::parse(&text).map_err(|error| failed(&error))
}

/// The files of the image that runs. Where they cannot be read, more is kept than need be.
fn image_of(context: &Context, status: &Status) -> Option<Tree> {
    let read = |store: &Store| match RunningImage::record(store, &status.boot.image)? {
        Some(record) => store.tree(&record).map(Some),
        None => Ok(None),
    };
    match store_of_host(context).open_for_reading().and_then(|(_lock, store)| read(&store)) {
        Ok(Some(tree)) => Some(tree),
        Ok(None) => {
            context.output.remark("note: no name means the image that runs: what is as in there is kept too");
            None
        }
        Err(error) => {
            context.output.remark(&format!("note: what is as in the image is kept too: {error}"));
            None
        }
    }
}
