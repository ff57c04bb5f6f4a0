use sealpack_format::reference::Reference;
use sealpack_format::tree::Time;
use sealpack_node::find::missing;
use sealpack_store::{ImageRecord, Store};
use serde_json::{Value, json};

use crate::context::Context;
use crate::error::{CommandError, CommandResult};
use crate::listing;
use crate::output::table;
use sealpack_node::seals;

/// List the images that had a name, the newest first.
///
/// The first line is the image that has it now. The epochs are those of the seals that the store has. `sealpack gc` keeps the one before, and as many as
/// --keep-previous says; `sealpack rm` drops the history with the name.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  sealpack history debian:12
  sealpack history --json debian:12 | jq -r '.earlier[0].manifest'")]
pub(crate) struct History {
    /// The name.
    name: Reference,
}

impl History {
    pub(crate) fn run(self, context: &Context) -> CommandResult {
        let (_lock, store) = context.open_for_reading()?;
        let name = self.name.to_string();
        let (current, earlier) = (store.image(&name)?, store.history(&name)?);
        let remembered = store.epoch(&name)?;
        if current.is_none() && earlier.is_empty() && remembered.is_none() {
            let missing = CommandError::from(missing(&store, name.clone())?);
            let hint = missing.hint_text().unwrap_or("`sealpack images` lists the names that it has");
            return Err(CommandError::failed(format_args!("the store knows nothing of {name}")).hint(hint));
        }
        let value = json!({
            "name": name,
            "remembered_epoch": remembered.as_ref().map(|known| json!({
                "epoch": known.epoch,
                "manifest": known.manifest,
                "unix_seconds": known.unix_seconds,
            })),
            "current": current.as_ref().map(|record| json_of(&store, record)),
            "earlier": earlier.iter().map(|record| json_of(&store, record)).collect::<Vec<_>>(),
        });
        context.output.result(&value, || {
            let records = current.iter().chain(&earlier);
            let rows: Vec<Vec<String>> = records.map(|record| row_of(&store, record)).collect();
            let mut text = match rows.is_empty() {
                true => format!("{name}: no image has the name now\n"),
                false => table(&["MANIFEST", "PLATFORM", "KEPT IN", "EPOCH", "PULLED (UTC)"], &rows),
            };
            if let Some(known) = &remembered {
                text += &format!("the highest epoch of a seal accepted for it: {}\n", known.epoch);
            }
            text
        })
    }
}

fn is_sealed(store: &Store, record: &ImageRecord) -> bool {
    seals::is_there(store, record)
}

fn json_of(store: &Store, record: &ImageRecord) -> Value {
    json!({
        "manifest": record.manifest,
        "platform": record.platform,
        "metadata_image": record.metadata_image,
        "kept_in": record.objects.name(),
        "sealed": is_sealed(store, record),
        "epoch": seals::epoch_of(store, record),
        "pulled_unix_seconds": record.pulled_unix_seconds,
    })
}

fn row_of(store: &Store, record: &ImageRecord) -> Vec<String> {
    let pulled = i64::try_from(record.pulled_unix_seconds).unwrap_or(i64::MAX);
    let sealed = if is_sealed(store, record) { ", sealed" } else { "" };
    vec![
        record.manifest.to_string(),
        record.platform.clone(),
        format!("{}{sealed}", record.objects),
        seals::epoch_of(store, record).map_or("-".to_owned(), |epoch| epoch.to_string()),
        listing::date(Time { seconds: pulled, nanoseconds: 0 }),
    ]
}
