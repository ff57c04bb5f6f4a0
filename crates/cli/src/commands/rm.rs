use std::os::unix::fs::MetadataExt;
use std::path::Path;

use sealpack_mount::Mounted;
use sealpack_store::{ImageRecord, Store};

use sealpack_node::find::find_name;

use crate::context::Context;
use crate::error::{CommandError, CommandResult};
use crate::show;

/// Remove names of images.
///
/// The history of a name goes with it. Contents stay until `sealpack gc`. The last name of an image that is mounted is not
/// removed without --force.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  sealpack rm debian:11 && sealpack gc")]
pub(crate) struct Rm {
    /// The images: names or digests. All are looked up before the first is removed.
    #[arg(required = true)]
    images: Vec<String>,
    /// Remove names of mounted images too. The mounts go on working.
    #[arg(short, long)]
    force: bool,
}

impl Rm {
    pub(crate) fn run(self, context: &Context) -> CommandResult {
        let (_lock, store) = context.open_for_reading()?;
        let mut records: Vec<ImageRecord> = Vec::new();
        for image in &self.images {
            let record = find_name(&store, image)?;
            if records.iter().all(|other| other.name != record.name) {
                records.push(record);
            }
        }
        if !self.force {
            let others = store.images()?.records;
            for record in &records {
                let stays = |other: &&ImageRecord| {
                    other.metadata_image == record.metadata_image
                        && !records.iter().any(|gone| gone.name == other.name)
                };
                if others.iter().find(stays).is_some() {
                    continue;
                }
                let mounted = sealpack_mount::mounted()?;
                let is_ours =
                    |mount: &&Mounted| mount.image == record.metadata_image && may_be_from(&store, mount);
                if let Some(mount) = mounted.iter().find(is_ours) {
                    return Err(CommandError::failed(format_args!(
                        "{} is mounted on {}",
                        record.name,
                        mount.target.display()
                    ))
                    .hint("`sealpack umount` it, or give --force: the mount then goes on without a name"));
                }
            }
        }
        for record in &records {
            store.remove_image(&record.name)?;
        }
        show::image::removed(context.output, &records)
    }
}

/// Whether the mount shows this store's objects; it counts as such where the kernel does not tell.
fn may_be_from(store: &Store, mount: &Mounted) -> bool {
    let identity = |path: &Path| std::fs::metadata(path).map(|status| (status.dev(), status.ino())).ok();
    mount.objects.as_deref().is_none_or(|objects| identity(objects) == identity(store.objects_path()))
}
