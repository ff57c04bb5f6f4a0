use serde_json::json;

use crate::context::Context;
use crate::error::CommandResult;
use crate::listing;
use crate::output::{size, table};
use sealpack_format::tree::Time;
use sealpack_node::seals;

/// List the images in the store.
///
/// OWN is what would go if the image were removed: contents that no other image has, or packs
/// that no other image in packs has.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  sealpack images
  sealpack images --json | jq -r '.images[].name'")]
pub(crate) struct Images {}

const HEADER: [&str; 7] = ["NAME", "MANIFEST", "PLATFORM", "KEPT IN", "PULLED (UTC)", "SIZE", "OWN"];

impl Images {
    pub(crate) fn run(self, context: &Context) -> CommandResult {
        let opened = match context.open_for_reading() {
            // A store that nobody has pulled into has no images; one that was asked for and is none is an error.
            Err(error) if error.is_no_store() => return Self::none(context),
            opened => opened?,
        };
        let (_lock, store) = opened;
        let images = store.images()?;
        let usage = store.usage(&images.records)?;
        for damage in &images.damaged {
            context.output.remark(&format!("warning: {damage}"));
        }
        let listed = || images.records.iter().zip(&usage);
        let value = json!({
            "store": store.path(),
            "algorithm": store.algorithm().name(),
            "images": listed().map(|(record, usage)| json!({
                "name": record.name,
                "manifest": record.manifest,
                "platform": record.platform,
                "metadata_image": record.metadata_image,
                "pulled_unix_seconds": record.pulled_unix_seconds,
                "kept_in": record.objects.name(),
                "sealed": seals::is_there(&store, record),
                "packs": usage.packs,
                "own_packs": usage.own_packs,
                "objects": usage.objects,
                "bytes": usage.bytes,
                "own_objects": usage.own_objects,
                "own_bytes": usage.own_bytes,
            })).collect::<Vec<_>>(),
            "damaged": images.damaged.iter().map(ToString::to_string).collect::<Vec<_>>(),
        });
        context.output.result(&value, || {
            let rows: Vec<Vec<String>> = listed()
                .map(|(record, usage)| {
                    let pulled = i64::try_from(record.pulled_unix_seconds).unwrap_or(i64::MAX);
                    vec![
                        record.name.clone(),
                        record.manifest.hex().chars().take(12).collect(),
                        record.platform.clone(),
                        match seals::is_there(&store, record) {
                            true => format!("{}, sealed", record.objects),
                            false => record.objects.to_string(),
                        },
                        listing::date(Time { seconds: pulled, nanoseconds: 0 }),
                        size(usage.bytes),
                        size(usage.own_bytes),
                    ]
                })
                .collect();
            table(&HEADER, &rows)
        })
    }

    /// What there is where no store has been made yet.
    fn none(context: &Context) -> CommandResult {
        let store = context.store_path()?;
        context
            .output
            .remark(&format!("there is no store at {} yet: the first pull makes it", store.display()));
        let value = json!({ "store": store, "algorithm": null, "images": [], "damaged": [] });
        context.output.result(&value, || table(&HEADER, &[]))
    }
}
