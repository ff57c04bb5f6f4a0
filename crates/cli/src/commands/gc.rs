use std::path::PathBuf;
use std::time::Duration;

use sealpack_kernel::Kernel;
use sealpack_node::collect::{Collection, collect};

use super::host;
use crate::args::parse_age;
use crate::context::Context;
use crate::error::CommandResult;
use crate::show;

/// Remove what no image needs.
///
/// Mounted images are kept, named or not, and of each name the image that had it before; on a sealed host also those that
/// UKIs on its EFI system partition start, each with a name by its digest, and what containerd's snapshots need. The answer
/// says how many are kept so. Waits for commands that use the store.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  sealpack gc --dry-run
  sealpack gc
  sealpack gc --keep-previous 0
  sealpack gc --keep-last 3 --older-than 30d")]
pub(crate) struct Gc {
    /// Only say what would be removed.
    #[arg(short = 'n', long)]
    dry_run: bool,
    /// How many of the images that a name had before are kept, with what they need.
    #[arg(long, value_name = "N", default_value_t = 1)]
    keep_previous: usize,
    /// How many images of a name are kept, the one that has it among them: one more than --keep-previous says.
    #[arg(long, value_name = "N", conflicts_with = "keep_previous", value_parser = clap::value_parser!(u64).range(1..))]
    keep_last: Option<u64>,
    /// Of the others that a name had, let only those go that were pulled longer ago, such as 30d; also s, m, h and w.
    #[arg(long, value_name = "AGE", value_parser = parse_age)]
    older_than: Option<Duration>,
    /// How long to wait for others that use the store, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    wait: u64,
    /// Keep what UKIs start that are on the EFI system partition mounted there [default: /efi for the store of a sealed
    /// host].
    #[arg(long, value_name = "DIR")]
    esp: Option<PathBuf>,
}

impl Gc {
    pub(crate) fn run(self, context: &Context) -> CommandResult {
        let store = context.open()?;
        let keep = host::keep_for_boot(context, &store, self.esp.as_deref(), self.dry_run)?;
        let Self { dry_run, keep_previous, keep_last, older_than, wait, .. } = self;
        let last = |last: u64| usize::try_from(last - 1).unwrap_or(usize::MAX);
        let collection = Collection {
            dry_run,
            keep_previous: keep_last.map_or(keep_previous, last),
            keep_younger_than: older_than,
            wait: Duration::from_secs(wait),
            keep,
        };
        if !dry_run && rustix::process::geteuid().is_root() {
            super::run::swept(context);
        }
        let report = collect(&store, &Kernel::default(), collection, &mut context.output.remarks())?;
        show::collected::collected(context.output, &report, dry_run)
    }
}
