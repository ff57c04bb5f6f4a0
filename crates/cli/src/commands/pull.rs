use std::path::PathBuf;

use sealpack_format::Algorithm;
use sealpack_oci::environment::Environment;
use sealpack_oci::image::resolve;
use sealpack_oci::platform::Platform;
use sealpack_oci::pull::{Pulled, Request, pull};
use sealpack_oci::reference::Reference;
use sealpack_oci::registry::{ClientOptions, Mirror};
use sealpack_oci::source::Source;
use sealpack_store::ObjectForm;
use serde_json::{Value, json};

use crate::composefs;
use crate::context::Context;
use crate::error::{CommandError, CommandResult};
use crate::output::{count, size};
use crate::progress;

/// Bring an image into the store.
///
/// The store is made on first use. Layers that it has are not fetched, and an interrupted
/// pull goes on where it stopped.
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
    /// Speak plain HTTP to the registry. A registry on a loopback address needs no leave.
    #[arg(long)]
    plain_http: bool,
    /// Trust the certificate authorities in this PEM file too.
    #[arg(long = "ca", value_name = "FILE")]
    ca_files: Vec<PathBuf>,
    /// Take credentials from this file only.
    #[arg(long = "authfile", value_name = "FILE")]
    auth_file: Option<PathBuf>,
    /// Ask this registry first for images of the source's registry; may be given several times.
    #[arg(long = "mirror", value_name = "HOST[/PREFIX]")]
    mirrors: Vec<Mirror>,
}

impl Pull {
    pub(crate) fn run(self, context: &Context) -> CommandResult {
        let options = self.client_options();
        let source = self.source.open(&options, &Environment::of_process())?;
        let Some(name) = self.name.clone().or_else(|| source.default_name()) else {
            return Err(CommandError::usage(format_args!("{} suggests no name for the image", self.source))
                .hint("give one behind the source: sealpack pull SOURCE NAME"));
        };
        if (self.objects, self.digest) == (Some(ObjectForm::Packs), Some(Algorithm::Sha512)) {
            return Err(CommandError::usage("packs are for stores with sha256 only"));
        }
        let platform = self.platform.clone().unwrap_or_else(Platform::host);
        // A store that is there is looked at before anything is asked for. A new one has its algorithm for
        // ever, and is not made for a name that turns out to be mistyped.
        let present = context.open_if_there(self.digest)?;
        if let (Some(store), Some(form)) = (&present, self.objects) {
            store.check_form(form)?;
        }
        let mut image = resolve(source.as_ref(), &platform)?;
        if self.no_composefs_check {
            image.composefs.clear();
        }
        let store = present.map_or_else(|| context.open_or_create(self.digest), Ok)?;
        let observer = progress::observer(context.output);
        let request = Request::new(&name, self.objects);
        let pulled = pull(&store, source.as_ref(), &image, &request, observer.as_ref())?;
        drop(observer);
        context.output.result(&json_of(&pulled), || text_of(&pulled))
    }

    fn client_options(&self) -> ClientOptions {
        let mut options = ClientOptions {
            plain_http: self.plain_http,
            ca_files: self.ca_files.clone(),
            auth_file: self.auth_file.clone(),
            ..ClientOptions::default()
        };
        if let (Source::Registry(reference), false) = (&self.source, self.mirrors.is_empty()) {
            options.mirrors.insert(reference.registry().to_owned(), self.mirrors.clone());
        }
        options
    }
}

fn json_of(pulled: &Pulled) -> Value {
    let (record, added) = (&pulled.record, &pulled.added);
    json!({
        "name": record.name,
        "manifest_digest": record.manifest,
        "platform": record.platform,
        "metadata_image": {
            "algorithm": record.image.algorithm().name(),
            "fsverity_digest": record.image,
            "size_bytes": record.image_size_bytes,
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
        "composefs": composefs::json_of(&pulled.composefs),
    })
}

fn text_of(pulled: &Pulled) -> String {
    let (record, added) = (&pulled.record, &pulled.added);
    let mut text = format!("{}\n  manifest        {}\n", record.name, record.manifest);
    text += &format!("  metadata image  {}\n", record.image);
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
