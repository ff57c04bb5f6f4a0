use sealpack_format::reference::Reference;
use sealpack_node::{naming, revoked};

use crate::context::Context;
use crate::error::CommandResult;
use crate::show;

/// Give an image a further name.
///
/// An image that has the name already loses it, and goes into the name's history: see `sealpack history`.
/// The rules of the trust store are not asked. But a name that had an image with a seal gets none without, nor an older
/// one, unless --allow-rollback says so. The image has its seal under the new name, too; `sealpack seal --replace` gives it
/// another one there.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  sealpack tag debian:12 debian:stable")]
pub(crate) struct Tag {
    /// The image: a name or a digest.
    image: String,
    /// The new name.
    name: Reference,
    /// Take an older image too than the name stood for, or one without a seal where there was one. What is remembered of the
    /// name does not fall.
    #[arg(long)]
    allow_rollback: bool,
}

impl Tag {
    pub(crate) fn run(self, context: &Context) -> CommandResult {
        let (_lock, store) = context.open_for_reading()?;
        let record = context.find_whole(&store, &self.image).map_err(|error| {
            // As with `ln`, what is there comes first.
            match context.find_whole(&store, &self.name.to_string()) {
                Ok(there) => error.hint(format_args!(
                    "there is an image {}: what is there comes first, then the new name",
                    there.name
                )),
                Err(_) => error,
            }
        })?;
        revoked::check(&store, &record, &context.trust_store().revocations_so_far()?)?;
        let record = naming::tag(&store, &record, &self.name, self.allow_rollback)?;
        show::image::tagged(context.output, &record)
    }
}
