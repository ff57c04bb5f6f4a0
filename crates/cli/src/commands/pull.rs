use sealpack_format::Algorithm;
use sealpack_format::reference::Reference;
use sealpack_oci::environment::Environment;
use sealpack_oci::platform::Platform;
use sealpack_oci::pull::{Pulled, Rebuilt, Request, pull};
use sealpack_oci::source::Source;
use sealpack_store::{ObjectForm, Store};
use serde_json::{Value, json};

use crate::composefs;
use crate::context::Context;
use crate::error::{CommandError, CommandResult};
use crate::gate::{self, Found, Gate, GateArgs, Judged};
use crate::output::{count, size};
use crate::progress;
use crate::registry_args::RegistryArgs;

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
        let options = self.registry.client_options(&self.source);
        let source = self.source.open(&options, &Environment::of_process(std::env::var_os))?;
        let Some(name) = self.name.clone().or_else(|| source.default_name()) else {
            return Err(CommandError::usage(format_args!("{} suggests no name for the image", self.source))
                .hint("give one behind the source: sealpack pull SOURCE NAME"));
        };
        if (self.objects, self.digest) == (Some(ObjectForm::Packs), Some(Algorithm::Sha512)) {
            return Err(CommandError::usage("packs are for stores with sha256 only"));
        }
        // A store that is there is looked at before anything is asked for. A new one has its algorithm for
        // ever, and is not made for a name that turns out to be mistyped, or an image that is refused.
        let present = context.open_if_there(self.digest)?;
        if let (Some(store), Some(form)) = (&present, self.objects) {
            store.check_form(form)?;
        }
        let asked_for = gate::asked_for(&self.source, &name);
        let gate = Gate::new(context.anchors()?, &self.gate, asked_for, &name, present.as_ref())?;
        gate.check_before()?;
        let platform = self.platform.clone().unwrap_or_else(Platform::host);
        let mut found = Found::resolve(source.as_ref(), &platform)?;
        let algorithm = present.as_ref().map_or(self.digest.unwrap_or(Algorithm::Sha256), Store::algorithm);
        match self.no_composefs_check {
            true => found.image.composefs.clear(),
            false => composefs::add_artifacts(source.as_ref(), &mut found.image, context.output)?,
        }
        let judged = gate.judge(source.as_ref(), &found, algorithm, context.output)?;
        judged.remark(context.output);
        let store = present.map_or_else(|| context.open_or_create(self.digest), Ok)?;
        let check = |rebuilt: &Rebuilt<'_>| judged.check(&store, rebuilt);
        let request = Request {
            name: &name,
            pulled_as: Some(asked_for),
            index: found.index(),
            objects: self.form(&store, &judged),
            check: Some(&check),
        };
        let observer = progress::observer(context.output);
        let pulled = pull(&store, source.as_ref(), &found.image, &request, observer.as_ref())?;
        drop(observer);
        if judged.replaced.get() {
            let remark = "the seal that the store had of the image said something else, and is replaced";
            context.output.remark(remark);
        }
        context.output.result(&json_of(&pulled, &judged), || text_of(&pulled, &judged))
    }

    /// The form of the objects, where it is not that of the image before: a seal counts in packs.
    fn form(&self, store: &Store, judged: &Judged) -> Option<ObjectForm> {
        let packs = || judged.chosen.as_ref().map(|_| ObjectForm::Packs);
        self.objects.or_else(|| packs().filter(|packs| store.check_form(*packs).is_ok()))
    }
}

fn json_of(pulled: &Pulled, judged: &Judged) -> Value {
    let (record, added) = (&pulled.record, &pulled.added);
    json!({
        "name": record.name,
        "manifest_digest": record.manifest,
        "platform": record.platform,
        "metadata_image": {
            "algorithm": record.metadata_image.algorithm().name(),
            "fsverity_digest": record.metadata_image,
            "size_bytes": record.metadata_image_size_bytes,
        },
        "layers": record.layers.len(),
        "layers_known": pulled.layers_known,
        "layers_converted": pulled.layers_converted,
        "objects": record.objects.name(),
        "objects_before": pulled.objects_before.map(ObjectForm::name),
        "packs_added": added.packs,
        "pack_bytes_added": added.pack_bytes,
        "packs_shared": added.existing_packs,
        "packs_replaced": added.replaced_packs,
        "objects_added": added.objects,
        "object_bytes_added": added.object_bytes,
        "objects_shared": added.existing_objects,
        "objects_replaced": added.replaced,
        "seal": judged.chosen.as_ref().map(|chosen| gate::json_of(chosen)),
        "seals_not_used": judged.passed_over.iter().map(|seal| json!({
            "seal": seal.label,
            "reasons": seal.reasons,
        })).collect::<Vec<_>>(),
        "composefs": composefs::json_of(&pulled.composefs),
    })
}

fn text_of(pulled: &Pulled, judged: &Judged) -> String {
    let (record, added) = (&pulled.record, &pulled.added);
    let mut text = format!("{}\n  manifest        {}\n", record.name, record.manifest);
    text += &format!("  metadata image  {}\n", record.metadata_image);
    text += &composefs::text_of(&pulled.composefs, "  ");
    let known = match pulled.layers_converted {
        0 => format!("{} known", pulled.layers_known),
        converted => format!("{} known, {converted} converted", pulled.layers_known),
    };
    let layers = count(record.layers.len() as u64, "layer");
    text += &match record.objects {
        ObjectForm::Files => format!(
            "  {layers} ({known}), {} added ({}), {} were there\n",
            count(added.objects, "object"),
            size(added.object_bytes),
            added.existing_objects
        ),
        ObjectForm::Packs => format!(
            "  {layers} ({known}), {} added ({}), {} were there\n",
            count(added.packs, "pack"),
            size(added.pack_bytes),
            added.existing_packs
        ),
    };
    text += &match &judged.chosen {
        Some(chosen) => gate::text_of(chosen),
        None if judged.passed_over.is_empty() => String::new(),
        None => {
            format!("  not sealed      {} cannot be used\n", count(judged.passed_over.len() as u64, "seal"))
        }
    };
    if judged.chosen.is_some() && record.objects == ObjectForm::Files {
        text += "  kept as files: the seal counts when the image is kept in packs\n";
    }
    match added.replaced.len() + added.replaced_packs.len() {
        0 => {}
        replaced => {
            text += &format!(
                "  {replaced} damaged {} replaced\n",
                match record.objects {
                    ObjectForm::Files => "objects",
                    ObjectForm::Packs => "packs",
                }
            )
        }
    }
    if let Some(before) = pulled.objects_before.filter(|before| *before != record.objects) {
        text += &format!(
            "  kept in {} now, not in {before}: `sealpack gc` removes those that no other image needs\n",
            record.objects
        );
    }
    text
}
