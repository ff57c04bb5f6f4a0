use std::path::PathBuf;

use sealpack_oci::archive::sources;
use sealpack_oci::platform::Platform;
use sealpack_store::ObjectForm;

use super::pull::Pull;
use crate::args::{GateArgs, LimitArgs, RegistryArgs};
use crate::context::Context;
use crate::error::CommandResult;

/// Bring all images of an archive into the store.
///
/// The archive is what `sealpack save`, `docker save`, `podman save` or skopeo wrote: which kind it is, it says itself. Its
/// images get the names that it has for them, and are judged by the trust store as `sealpack pull` has them judged, which
/// takes one image of an archive, and can give it another name.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  sealpack load both.tar
  sealpack load --require sealed both.tar
  sealpack load --objects packs from-docker.tar")]
pub(crate) struct Load {
    /// The archives.
    #[arg(required = true, value_name = "FILE")]
    archives: Vec<PathBuf>,
    /// The platform of an image that is there for several, as os/architecture[/variant]
    /// [default: this machine's].
    #[arg(long)]
    platform: Option<Platform>,
    /// How the images' contents are kept, as for `sealpack pull`.
    #[arg(long, value_name = "FORM")]
    objects: Option<ObjectForm>,
    /// Take an image even if the composefs digests in its annotations or labels are not its own.
    #[arg(long)]
    no_composefs_check: bool,
    #[command(flatten)]
    limits: LimitArgs,
    #[command(flatten)]
    gate: GateArgs,
}

impl Load {
    pub(crate) fn run(self, context: &Context) -> CommandResult {
        let mut all = Vec::new();
        for archive in &self.archives {
            all.extend(sources(archive)?);
        }
        let mut pull = Pull::of(all, RegistryArgs::default(), self.limits, self.gate);
        pull.platform = self.platform;
        pull.objects = self.objects;
        pull.no_composefs_check = self.no_composefs_check;
        pull.run(context)
    }
}
