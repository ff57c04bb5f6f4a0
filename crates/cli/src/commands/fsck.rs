use std::num::NonZeroUsize;
use std::time::Duration;

use sealpack_gate::parts;
use sealpack_store::{FsckOptions, FsckReport, ImageRecord, objects_of_image};

use crate::context::Context;
use crate::error::{CommandError, CommandResult};
use crate::output::count;
use crate::show;

/// Check the whole store: hash everything, follow every reference, and compare the parts of each image.
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
        let made_again = parts::MadeAgain::default();
        let misfits_of = |record: &ImageRecord| made_again.misfits(&store, record);
        let report = store.fsck(&options, &objects_of_image, &misfits_of, &())?;
        show::checked::checked(context.output, &report)?;
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
