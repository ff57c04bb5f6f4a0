use std::time::Duration;

use sealpack_kernel::Kernel;
use sealpack_store::{GcOptions, GcReport, LockKind, Removed, objects_of_image};
use serde_json::{Value, json};

use crate::context::Context;
use crate::error::{CommandError, CommandResult};
use crate::output::{Output, count, size};

/// Remove what no image needs.
///
/// Mounted images are kept, named or not, and of each name the image that had it before. Waits for commands that
/// use the store.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  sealpack gc --dry-run
  sealpack gc
  sealpack gc --keep-previous 0")]
pub(crate) struct Gc {
    /// Only say what would be removed.
    #[arg(short = 'n', long)]
    dry_run: bool,
    /// How many of the images that a name had before are kept, with what they need.
    #[arg(long, value_name = "N", default_value_t = 1)]
    keep_previous: usize,
    /// How long to wait for others that use the store, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    wait: u64,
}

impl Gc {
    pub(crate) fn run(self, context: &Context) -> CommandResult {
        let store = context.open()?;
        let wait = Duration::from_secs(self.wait);
        // From here on nobody mounts anything; what is mounted was mounted before.
        let lock = store.lock(LockKind::Exclusive, wait)?;
        let kernel = Kernel::default();
        if !self.dry_run
            && let Err(error) = sealpack_mount::remove_leftovers(&kernel)
        {
            context.output.remark(&format!("warning: {error}"));
        }
        let in_use = sealpack_mount::images_in_use()?;
        if in_use.unreadable_processes > 0 {
            warn_of_hidden_mounts(context.output, in_use.unreadable_processes);
        }
        let options = GcOptions {
            dry_run: self.dry_run,
            keep_previous: self.keep_previous,
            keep_images: in_use
                .images
                .into_iter()
                .filter(|id| store.metadata_image_path(id).exists())
                .collect(),
            keep_packs: sealpack_mount::root_hashes_in_use(&kernel)?,
            wait,
        };
        let report =
            store.gc_locked(&lock, &options, &objects_of_image, &()).map_err(|error| match error {
                sealpack_store::Error::RootUnreadable { .. } => CommandError::from(error)
                    .hint("`sealpack fsck` names what is damaged, `sealpack fsck --repair` sets it aside"),
                error => error.into(),
            })?;
        context.output.result(&json_of(&report, self.dry_run), || text_of(&report, self.dry_run))
    }
}

/// Only root sees the mounts of all; but then only root mounts.
fn warn_of_hidden_mounts(output: Output, processes: usize) {
    output.detail(|| format!("the mounts of {processes} processes of other users could not be read"));
}

fn parts(report: &GcReport) -> [(&'static str, Removed); 9] {
    [
        ("earlier", report.earlier),
        ("objects", report.objects),
        ("packs", report.packs),
        ("images", report.images),
        ("layers", report.layers),
        ("blobs", report.blobs),
        ("seals", report.seals),
        ("partials", report.partials),
        ("temporaries", report.temporaries),
    ]
}

fn json_of(report: &GcReport, dry_run: bool) -> Value {
    let mut value = json!({ "dry_run": dry_run });
    for (name, removed) in parts(report).into_iter().chain([("total", report.total())]) {
        value[name] = json!({ "count": removed.count, "bytes": removed.bytes });
    }
    value
}

/// One of what a part of the report counts.
fn thing(part: &'static str) -> &'static str {
    match part {
        "earlier" => "earlier image",
        "images" => "metadata image",
        "layers" => "layer record",
        "partials" => "interrupted download",
        "temporaries" => "temporary file",
        other => other.trim_end_matches('s'),
    }
}

fn text_of(report: &GcReport, dry_run: bool) -> String {
    let verb = if dry_run { "would remove" } else { "removed" };
    let named: Vec<String> = parts(report)
        .into_iter()
        .filter(|(_, removed)| removed.count > 0)
        .map(|(name, removed)| format!("{} ({})", count(removed.count, thing(name)), size(removed.bytes)))
        .collect();
    if named.is_empty() {
        return "nothing to remove".to_owned();
    }
    format!("{verb} {}", named.join(", "))
}
