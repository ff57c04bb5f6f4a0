use std::str::FromStr;

use sealpack_oci::copy::{CopyOptions, Platforms, copy};
use sealpack_oci::environment::Environment;
use sealpack_oci::platform::Platform;
use sealpack_oci::source::Source;
use sealpack_oci::target::{Target, TargetError};

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
    target: GivenTarget,
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

/// A target that somebody can mean.
#[derive(Debug, Clone)]
struct GivenTarget(Target);

impl FromStr for GivenTarget {
    type Err = String;

    /// One word alone, such as `app:1`, is more likely a name that was meant for a layout, or for a registry that is
    /// left out, than one in Docker Hub's own namespace, where nobody else may write.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let target: Target = text.parse().map_err(|error: TargetError| error.to_string())?;
        match &target {
            Target::Registry(reference) if !text.contains('/') => Err(format!(
                "nothing says where that is: `oci:{text}` is a layout, `REGISTRY/{text}` a registry's, and \
                 `docker://{reference}` Docker Hub's"
            )),
            _ => Ok(Self(target)),
        }
    }
}

impl Copy {
    pub(crate) fn run(self, context: &Context) -> CommandResult {
        context.output.when_interrupted("what was copied is found by the same copy; no name has changed");
        let GivenTarget(target) = &self.target;
        let environment = Environment::of_process(std::env::var_os);
        let source =
            self.source.open(&self.registry.client_options(&self.source, context.output), &environment)?;
        let opened =
            target.open(Some(&self.source), &self.registry.without_mirrors(context.output), &environment)?;
        let options = CopyOptions {
            platforms: match &self.platform {
                _ if self.all_platforms => Platforms::All,
                Some(platform) => Platforms::Only(platform.clone()),
                None => Platforms::Usual(Platform::host()),
            },
            referrers: !self.no_referrers,
        };
        let observer = progress::copy_observer(context.output);
        let copied = copy(source.as_ref(), opened.as_ref(), &options, observer.as_ref())?;
        drop(observer);
        show::copied::copied(context.output, target, &copied)
    }
}
