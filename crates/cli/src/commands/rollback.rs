use sealpack_format::reference::Reference;
use sealpack_gate::rollback::rollback;

use crate::context::Context;
use crate::error::CommandResult;
use crate::show;

/// Give a name back to the image that had it before.
///
/// Without --to, that is the newest one in the name's history whose seal has a lower epoch than that of the image that
/// has the name now; if that one has no seal, the newest one that has. Where images with seals had the name, none without
/// gets it, with --to neither. Nothing is fetched. The image that loses the name
/// goes into the history, and the highest epoch that was seen stays: the next pull of the name brings a later image, or
/// is refused.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  sealpack rollback debian:12
  sealpack history debian:12
  sealpack rollback debian:12 --to sha256:…")]
pub(crate) struct Rollback {
    /// The name.
    name: Reference,
    /// The manifest of the image that gets the name: the digest, or its first characters, at least 8.
    #[arg(long, value_name = "DIGEST")]
    to: Option<String>,
}

impl Rollback {
    pub(crate) fn run(self, context: &Context) -> CommandResult {
        let (_lock, store) = context.open_for_reading()?;
        let (trust, mut remarks) = (context.trust_store(), context.output.gate_remarks());
        let back = rollback(&store, &self.name, self.to.as_deref(), &trust, &mut remarks)?;
        show::image::rolled_back(context.output, &self.name.to_string(), &back)
    }
}
