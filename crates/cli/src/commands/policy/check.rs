use std::path::PathBuf;

use sealpack_kernel::Kernel;
use sealpack_node::policy::{GivenPolicy, check};

use crate::args::Assume;
use crate::context::Context;
use crate::error::{CommandError, CommandResult};
use crate::output::count;
use crate::{hint, show};

/// Predict what a policy does to an image, without a kernel that has it.
///
/// Every program, library and script is judged, and kernel modules and firmware, as the kernel would: by
/// the device that its bytes are on and its fs-verity digest. Exit status 3: something would be denied.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  sealpack policy check sealed.policy debian:12
  sealpack policy check sealed.policy debian:12 --assume sealed
  sealpack policy check --json sealed debian:12 | jq '.decisions[] | select(.decision == \"deny\")'")]
pub(crate) struct Check {
    /// A file with a policy, signed or not, or the name of a policy that the kernel has.
    #[arg(value_name = "POLICY")]
    policy: PathBuf,
    /// The image: a name or a digest.
    image: String,
    /// Judge the image as if it were kept and mounted so, not as this store has it.
    #[arg(long, value_enum, value_name = "HOW")]
    assume: Option<Assume>,
    /// List what is allowed too.
    #[arg(long)]
    all: bool,
}

impl Check {
    pub(crate) fn run(self, context: &Context) -> CommandResult {
        let given = GivenPolicy::find(&Kernel::default(), &self.policy)?;
        let (_lock, store) = context.open_for_reading()?;
        let record = context.find(&store, &self.image)?;
        let checked = check(&given.policy, &store, &record, self.assume.map(Into::into))?;
        show::decisions::checked(context.output, &given.policy, &record, &checked, self.all)?;
        match checked.denied() {
            0 => Ok(()),
            denied => Err(CommandError::refused(format_args!(
                "policy {} would deny {denied} of {} of {}",
                given.policy.name(),
                count(checked.files.len() as u64, "file"),
                record.name
            ))
            .hint(hint::of_denial(checked.judged_as))),
        }
    }
}
