use sealpack_format::Algorithm;
use sealpack_format::reference::Reference;
use sealpack_gate::Remark;
use sealpack_gate::pull::{Admitted, Wanted, pull};
use sealpack_oci::environment::Environment;
use sealpack_oci::platform::Platform;
use sealpack_oci::source::Source;
use sealpack_store::ObjectForm;

use crate::args::{GateArgs, RegistryArgs};
use crate::context::Context;
use crate::error::CommandResult;
use crate::{progress, show};

/// Bring an image into the store.
///
/// The store is made on first use. Layers that it has are not fetched, and an interrupted
/// pull goes on where it stopped.
///
/// Seals of the image are looked for where it comes from, and judged by the trust store: whether they are for this image
/// under this name, signed by those whose signatures count, and not older than what was seen before. With a seal that
/// can be used, contents are kept in packs, and their root hashes must be the sealed ones. The rules of the trust store
/// say for which names a seal is required; otherwise an image without one is taken as it is.
#[derive(Debug, clap::Args)]
#[command(after_help = "Sources:
  debian:12, docker://debian:12         a registry; credentials are docker's and podman's
  oci:DIR[:TAG], oci:DIR@DIGEST         an OCI layout
  oci-archive:FILE[:TAG]                an OCI layout in a tar
  docker-archive:FILE[:REFERENCE]       what `docker save` writes

Examples:
  sealpack pull debian:12
  sealpack pull ghcr.io/org/app@sha256:…
  sealpack pull --platform linux/arm64 debian:12 debian:12-arm64
  sealpack pull oci:build/image:v1 localhost/app:v1
  sealpack pull --objects packs debian:12      # to be sealed
  sealpack pull --require sealed registry.example.org/prod/app:1
  sealpack pull --plain-http registry.lan:5000/app:v1")]
pub(crate) struct Pull {
    /// Where the image comes from.
    source: Source,
    /// The name for it [default: the source's].
    name: Option<Reference>,
    /// The platform of an image that is there for several, as os/architecture[/variant]
    /// [default: this machine's].
    #[arg(long)]
    platform: Option<Platform>,
    /// How a new store names objects: sha256 or sha512 [default: sha256].
    #[arg(long, value_name = "ALGORITHM")]
    digest: Option<Algorithm>,
    /// How the image's contents are kept: as files, or in packs, one for each layer [default: as the image
    /// that has the name, files for a new one].
    #[arg(long, value_name = "FORM")]
    objects: Option<ObjectForm>,
    /// Pull an image even if the composefs digests in its annotations or labels are not its own.
    #[arg(long)]
    no_composefs_check: bool,
    #[command(flatten)]
    registry: RegistryArgs,
    #[command(flatten)]
    gate: GateArgs,
}

impl Pull {
    pub(crate) fn run(self, context: &Context) -> CommandResult {
        let client = self.registry.client_options(&self.source);
        let environment = Environment::of_process(std::env::var_os);
        let wanted = Wanted {
            source: self.source,
            name: self.name,
            platform: self.platform.unwrap_or_else(Platform::host),
            algorithm: self.digest,
            objects: self.objects,
            check_composefs: !self.no_composefs_check,
            demand: self.gate.demand(),
        };
        let (place, trust) = (context.place()?, context.trust_store());
        let observer = progress::observer(context.output);
        let mut remarks = context.output.gate_remarks();
        let admitted =
            pull(&wanted, &place, &trust, (&client, &environment), observer.as_ref(), &mut remarks)?;
        drop(observer);
        if admitted.admission().has_replaced_seal() {
            remarks(Remark::SealReplaced);
        }
        show::pulled::pulled(context.output, &admitted)
    }
}
