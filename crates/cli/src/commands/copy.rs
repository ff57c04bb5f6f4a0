use sealpack_oci::copy::{CopyOptions, Platforms, copy};
use sealpack_oci::environment::Environment;
use sealpack_oci::platform::Platform;
use sealpack_oci::source::Source;
use sealpack_oci::target::Target;

use crate::args::RegistryArgs;
use crate::context::Context;
use crate::error::CommandResult;
use crate::{progress, show};

/// Copy an image, with its seals, from one place to another.
///
/// Nothing is changed on the way, so digests stay what they are. What has been said about the image goes with it:
/// seals, signatures of others, SBOMs, and what has been said about these. A registry that keeps no list of such
/// referrers gets one under a tag `sha256-…`. Blobs of the same registry are not transferred, and an upload that breaks
/// goes on where it broke. The name in the target changes last.
///
/// The store is not used.
#[derive(Debug, clap::Args)]
#[command(after_help = "Sources are those of `sealpack pull`. Targets:
  registry.lan:5000/app:1, docker://…   a registry; credentials are docker's and podman's
  oci:DIR[:TAG]                         an OCI layout, made if it is not there

Examples:
  sealpack copy registry.example.org/prod/app:1 mirror.lan/prod/app:1
  sealpack copy --all-platforms registry.example.org/prod/app:1 oci:app:1
  sealpack copy oci:app:1 registry.lan:5000/app:1")]
pub(crate) struct Copy {
    /// Where the image is.
    source: Source,
    /// Where it is to be.
    target: Target,
    /// The platform of an image that is there for several, as os/architecture[/variant]
    /// [default: this machine's].
    #[arg(long, conflicts_with = "all_platforms")]
    platform: Option<Platform>,
    /// Copy the images for all platforms, and the index that names them.
    #[arg(long)]
    all_platforms: bool,
    /// Leave behind what has been said about the image.
    #[arg(long)]
    no_referrers: bool,
    #[command(flatten)]
    registry: RegistryArgs,
}

impl Copy {
    pub(crate) fn run(self, context: &Context) -> CommandResult {
        let environment = Environment::of_process(std::env::var_os);
        let source = self.source.open(&self.registry.client_options(&self.source), &environment)?;
        let target = self.target.open(Some(&self.source), &self.registry.without_mirrors(), &environment)?;
        let options = CopyOptions {
            platforms: match &self.platform {
                _ if self.all_platforms => Platforms::All,
                Some(platform) => Platforms::Only(platform.clone()),
                None => Platforms::Usual(Platform::host()),
            },
            referrers: !self.no_referrers,
        };
        let observer = progress::copy_observer(context.output);
        let copied = copy(source.as_ref(), target.as_ref(), &options, observer.as_ref())?;
        drop(observer);
        show::copied::copied(context.output, &self.target, &copied)
    }
}
