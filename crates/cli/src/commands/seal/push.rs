use sealpack_gate::publish::Place;
use sealpack_gate::seal::{Publish, publish};
use sealpack_node::find::find_name;
use sealpack_oci::target::Target;

use super::environment;
use crate::args::RegistryArgs;
use crate::context::Context;
use crate::error::CommandResult;
use crate::show;

/// Publish the seal of an image, beside the image.
///
/// The seal becomes a referrer of the image's manifest, which must be in that repository: those who pull the image
/// there find it. A registry that keeps no list of referrers gets one under a tag `sha256-…`. Seals that were published
/// before stay. Where the name means another image by now, nothing is published, unless --stale says that it may be so.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  sealpack seal push registry.example.org/app:1
  sealpack seal push debian:12 --to registry.example.org/base/debian:12
  sealpack seal push debian:12 --to oci:images:debian
  sealpack seal push registry.example.org/app:1 --composefs-artifact")]
pub(crate) struct Push {
    /// The image: a name or a digest.
    image: String,
    /// Where the image is that the seal is put beside [default: where it was pulled from].
    #[arg(long, value_name = "TARGET")]
    to: Option<Target>,
    /// Publish the seal even where the name means another image by now.
    #[arg(long)]
    stale: bool,
    /// Publish the image's composefs digests too, as the composefs project has them: without signatures here, as no
    /// key is at hand.
    #[arg(long)]
    composefs_artifact: bool,
    #[command(flatten)]
    registry: RegistryArgs,
}

impl Push {
    pub(super) fn run(self, context: &Context) -> CommandResult {
        let (_lock, store) = context.open_for_reading()?;
        let record = find_name(&store, &self.image)?;
        let (client, environment) = (self.registry.without_mirrors(context.output), environment());
        let place = Place { to: self.to, stale: self.stale };
        let wanted =
            Publish { place: &place, composefs: self.composefs_artifact, way: (&client, &environment) };
        let published = publish(&store, &record, wanted, &mut context.output.gate_remarks())?;
        show::seal::published(context.output, &published)
    }
}
