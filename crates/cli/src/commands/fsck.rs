use std::num::NonZeroUsize;
use std::time::Duration;

use sealpack_store::{FsckOptions, FsckReport, objects_of_image};
use serde_json::json;

use crate::context::Context;
use crate::error::{CommandError, CommandResult};
use crate::output::{count, size};

/// Check the whole store: hash everything and follow every reference.
///
/// Exit status 3 when something is wrong. With --repair, what is damaged is moved to
/// `quarantine/` in the store; pulling the images named brings back what they need. Earlier images of a name that
/// lack something go with `sealpack gc --keep-previous 0`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  sealpack fsck
  sealpack fsck --repair")]
pub(crate) struct Fsck {
    /// Set aside what is damaged.
    #[arg(long)]
    repair: bool,
    /// How many threads hash [default: one for each processor].
    #[arg(long, value_name = "N")]
    threads: Option<NonZeroUsize>,
    /// How long to wait for others that use the store, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    wait: u64,
}

impl Fsck {
    pub(crate) fn run(self, context: &Context) -> CommandResult {
        let store = context.open()?;
        let options =
            FsckOptions { repair: self.repair, threads: self.threads, wait: Duration::from_secs(self.wait) };
        let report = store.fsck(&options, &objects_of_image, &())?;
        let value = json!({
            "clean": report.is_clean(),
            "objects": report.objects, "object_bytes": report.object_bytes,
            "packs": report.packs, "pack_bytes": report.pack_bytes, "seals": report.seals,
            "images": report.images, "layers": report.layers, "blobs": report.blobs, "names": report.names,
            "earlier": report.earlier, "epochs": report.epochs,
            "problems": report.problems.iter().map(|problem| json!({
                "kind": format!("{:?}", problem.kind),
                "path": problem.path,
                "what": problem.what,
                "images": problem.images,
                "quarantined": problem.quarantined,
            })).collect::<Vec<_>>(),
        });
        context.output.result(&value, || text_of(&report))?;
        self.verdict(&report)
    }

    fn verdict(&self, report: &FsckReport) -> CommandResult {
        if report.is_clean() {
            return Ok(());
        }
        let error = CommandError::refused(format_args!(
            "the store has {}",
            count(report.problems.len() as u64, "problem")
        ));
        Err(error.hint(if self.repair {
            "pull the images named above again, then run fsck once more"
        } else {
            "`sealpack fsck --repair` sets aside what is damaged"
        }))
    }
}

fn text_of(report: &FsckReport) -> String {
    let mut text: String = report.problems.iter().map(|problem| format!("{problem}\n")).collect();
    text += &format!(
        "checked {} ({}), {}{}, {}, {}, {}: {}",
        count(report.objects, "object"),
        size(report.object_bytes),
        match report.packs {
            0 => String::new(),
            packs => format!("{} ({}), ", count(packs, "pack"), size(report.pack_bytes)),
        },
        count(report.images, "metadata image"),
        count(report.layers, "layer"),
        count(report.blobs, "blob"),
        count(report.names, "name"),
        match report.problems.len() {
            0 => "all good".to_owned(),
            problems => count(problems as u64, "problem"),
        },
    );
    text
}
