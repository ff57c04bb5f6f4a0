use sealpack_store::{ImageRecord, PackDescriptor, Store};
use serde_json::Value;

use crate::context::Context;
use crate::error::{CommandError, CommandResult};
use crate::show::image::{Known, known};
use sealpack_node::seals;

/// Show everything the store knows of an image.
///
/// What the record of its name says is compared with its manifest, config, index and seal; its contents are not read, as
/// `sealpack verify` does.
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
        let image = Known {
            usage,
            packs: packs_of(&store, &record)?,
            failures: sealpack_gate::parts::misfits(&store, &record)
                .iter()
                .map(ToString::to_string)
                .collect(),
            seal: seals::checked(&store, &record)?.map(|seal| seal.map_err(|problem| problem.to_string())),
            claims: sealpack_gate::claims::of_stored(&store, &record)?,
            config: document(&record.config)?,
            manifest: document(&record.manifest)?,
            record,
        };
        known(context.output, &store, &image)
    }
}

/// What is known of the packs of the layers; files need not be there.
fn packs_of(store: &Store, record: &ImageRecord) -> Result<Vec<Option<PackDescriptor>>, CommandError> {
    record.layers.iter().map(|layer| Ok(store.layer_pack(&layer.diff_id)?)).collect()
}
