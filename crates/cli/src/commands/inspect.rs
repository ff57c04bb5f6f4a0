use sealpack_store::{ImageRecord, ObjectForm, PackDescriptor, Store};
use sealpack_trust::seal::Seal;
use serde_json::{Value, json};

use crate::context::Context;
use crate::error::{CommandError, CommandResult};
use crate::output::{count, size};
use crate::show;
use sealpack_node::seals;

/// Show everything the store knows of an image.
///
/// With --json: also the manifest and the configuration as they came.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  sealpack inspect debian:12
  sealpack inspect --json debian:12 | jq -r .metadata_image.fsverity_digest")]
pub(crate) struct Inspect {
    /// The image: a name or a digest.
    image: String,
}

impl Inspect {
    pub(crate) fn run(self, context: &Context) -> CommandResult {
        let (_lock, store) = context.open_for_reading()?;
        let record = context.find(&store, &self.image)?;
        let usage = store.usage(std::slice::from_ref(&record))?.pop().unwrap_or_default();
        let document = |digest| -> Result<Value, CommandError> {
            let bytes = store.blob(digest)?;
            serde_json::from_slice(&bytes)
                .map_err(|error| CommandError::failed(format_args!("blob {digest} is not JSON: {error}")))
        };
        let config = document(&record.config)?;
        let packs = packs_of(&store, &record)?;
        let seal = seals::checked(&store, &record)?;
        let claims = sealpack_gate::claims::of_stored(&store, &record)?;
        let value = json!({
            "name": record.name,
            "platform": record.platform,
            "manifest_digest": record.manifest,
            "config_digest": record.config,
            "metadata_image": {
                "algorithm": store.algorithm().name(),
                "fsverity_digest": record.metadata_image,
                "size_bytes": record.metadata_image_size_bytes,
            },
            "layers": record.layers.iter().zip(&packs).map(|(layer, pack)| json!({
                "diff_id": layer.diff_id,
                "blob_digest": layer.blob,
                "blob_size_bytes": layer.blob_size_bytes,
                "pack": pack,
            })).collect::<Vec<_>>(),
            "kept_in": record.objects.name(),
            "seal": seal.as_ref().map(|seal| match seal {
                Ok(seal) => json_of(seal),
                Err(problem) => json!({ "problem": problem.to_string() }),
            }),
            "composefs": show::composefs::json_of(&claims),
            "objects": usage.objects,
            "object_bytes": usage.bytes,
            "integrity": integrity_name(store.integrity()),
            "pulled_unix_seconds": record.pulled_unix_seconds,
            "manifest": document(&record.manifest)?,
            "config": config,
        });
        context.output.result(&value, || {
            let mut text = format!(
                "name            {}\nplatform        {}\nmanifest        {}\nconfig          {}\n",
                record.name, record.platform, record.manifest, record.config
            );
            text += &format!(
                "metadata image  {} (fs-verity {}, {})\n",
                record.metadata_image,
                store.algorithm(),
                size(record.metadata_image_size_bytes)
            );
            text += &show::composefs::text_of(&claims, "");
            text += &match record.objects {
                ObjectForm::Files => format!(
                    "objects         {}, {}\nintegrity       {}\n",
                    usage.objects,
                    size(usage.bytes),
                    integrity_name(store.integrity())
                ),
                ObjectForm::Packs => format!(
                    "objects         {} in {}, {}\n",
                    usage.objects,
                    count(usage.packs, "pack"),
                    size(usage.bytes)
                ),
            };
            text += &match &seal {
                None => String::new(),
                Some(Ok(seal)) => text_of(seal),
                Some(Err(problem)) => format!("seal            {problem}\n"),
            };
            for (number, (layer, pack)) in record.layers.iter().zip(&packs).enumerate() {
                text += &format!(
                    "layer {:<9} {} ({} as {})\n",
                    number + 1,
                    layer.diff_id,
                    size(layer.blob_size_bytes),
                    layer.blob
                );
                if let Some(pack) = pack.filter(|_| record.objects == ObjectForm::Packs) {
                    text += &format!("  pack          {} ({})\n", pack.root_hash, size(pack.size_bytes));
                }
            }
            for (key, title) in [("Entrypoint", "entrypoint"), ("Cmd", "command"), ("User", "user")] {
                match &value["config"]["config"][key] {
                    Value::Null => {}
                    Value::String(text) if text.is_empty() => {}
                    setting => text += &format!("{title:<15} {setting}\n"),
                }
            }
            text
        })
    }
}

/// What a seal says of itself; the root hashes are with the packs.
fn json_of(seal: &Seal) -> Value {
    let statement = seal.statement();
    json!({
        "names": statement.names().iter().map(ToString::to_string).collect::<Vec<_>>(),
        "epoch": statement.epoch(),
        "created": statement.created().to_string(),
        "signers": seal.signers(),
        "root_hash_signers": seal.root_hash_signers(),
    })
}

fn text_of(seal: &Seal) -> String {
    let statement = seal.statement();
    let names: Vec<_> = statement.names().iter().map(ToString::to_string).collect();
    format!(
        "sealed as       {}, epoch {}, made {}\nsealed by       {}\nroot hashes     {}, signed by {}\n",
        names.join(", "),
        statement.epoch(),
        statement.created(),
        seal.signers().join(" and by "),
        statement.root_hashes().count(),
        seal.root_hash_signers().join(" and by ")
    )
}

/// What is known of the packs of the layers; files need not be there.
fn packs_of(store: &Store, record: &ImageRecord) -> Result<Vec<Option<PackDescriptor>>, CommandError> {
    record.layers.iter().map(|layer| Ok(store.layer_pack(&layer.diff_id)?)).collect()
}

/// Who checks the store's bytes when they are read.
pub(crate) const fn integrity_name(integrity: sealpack_store::Integrity) -> &'static str {
    match integrity {
        sealpack_store::Integrity::FsVerity => "fs-verity",
        sealpack_store::Integrity::None => "none (the filesystem has no fs-verity)",
    }
}
