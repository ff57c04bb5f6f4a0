use std::path::PathBuf;

use sealpack_kernel::Kernel;
use sealpack_mount::{Achieved, Backing, Level, Objects, Plan, Request, Writable};
use serde_json::json;

use crate::context::Context;
use crate::error::{CommandError, CommandResult};
use crate::objects;

/// Mount an image on a directory.
///
/// The mount is read-only unless --upper and --work are given. The output says what was
/// achieved: `verified` (all bytes are checked when they are read) or `plain` (nothing is).
/// Set-user-ID bits and device files in the image have no effect.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  sealpack mount debian:12 /mnt
  sealpack mount debian:12 /mnt --upper /var/tmp/upper --work /var/tmp/work
  sealpack mount debian:12 /mnt --require verified
  sealpack mount debian:12 /mnt --plan     # only show the system calls")]
pub(crate) struct Mount {
    /// The image: a name or a digest.
    image: String,
    /// The directory to mount on.
    target: PathBuf,
    /// The directory that takes changes; it may have some already.
    #[arg(long, value_name = "DIR", requires = "work")]
    upper: Option<PathBuf>,
    /// An empty directory on the filesystem of --upper.
    #[arg(long, value_name = "DIR", requires = "upper")]
    work: Option<PathBuf>,
    /// Mount read-only even with --upper.
    #[arg(long, requires = "upper")]
    read_only: bool,
    /// Let nothing be executed from the mount.
    #[arg(long)]
    noexec: bool,
    /// Let set-user-ID bits have no effect, even in a signed image.
    #[arg(long)]
    nosuid: bool,
    /// Refuse anything less: plain, verified, signed or enforced.
    #[arg(long, value_name = "LEVEL", default_value = "plain")]
    require: Level,
    /// Try for no more: plain, verified, signed or enforced.
    #[arg(long, value_name = "LEVEL", default_value = "enforced")]
    at_most: Level,
    /// Show what would be done, and do nothing.
    #[arg(long)]
    plan: bool,
}

impl Mount {
    pub(crate) fn run(self, context: &Context) -> CommandResult {
        let (_lock, store) = context.open_for_reading()?;
        let record = context.find(&store, &self.image)?;
        let request = Request {
            image: store.image_path(&record.image),
            image_id: record.image,
            objects: Objects::Files {
                directories: vec![store.objects_path().to_path_buf()],
                have_verity: objects::all_have_verity(&store, &record)?,
            },
            writable: Writable::new(self.upper, self.work).map_err(CommandError::usage)?,
            target: self.target,
            read_only: self.read_only,
            noexec: self.noexec,
            nosuid: self.nosuid,
            required: self.require,
            at_most: self.at_most,
        };
        let plan = Plan::new(request).map_err(|error| match error {
            sealpack_mount::PlanError::Level { .. } => CommandError::refused(error),
            _ => CommandError::failed(error),
        })?;
        if self.plan {
            return context.output.result(&json!({ "plan": plan.to_string() }), || plan.to_string());
        }
        let achieved = sealpack_mount::apply(&Kernel::default(), &plan)?;
        context.output.result(&json_of(&achieved), || {
            let access = if achieved.read_write { "read-write" } else { "read-only" };
            format!("{}: {access}, {}", achieved.target.display(), achieved.assurance)
        })
    }
}

fn json_of(achieved: &Achieved) -> serde_json::Value {
    json!({
        "target": achieved.target,
        "metadata_image": achieved.image,
        "read_write": achieved.read_write,
        "level": achieved.assurance.level.name(),
        "why_not_more": achieved.assurance.why_not_more,
        "loop_device": match &achieved.backing {
            Backing::Loop(device) => Some(device),
            Backing::File | Backing::Device(_) => None,
        },
        "mount_id": achieved.mount_id,
    })
}
