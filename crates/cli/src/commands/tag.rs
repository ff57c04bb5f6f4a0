use sealpack_format::reference::Reference;
use serde_json::json;

use crate::context::Context;
use crate::error::CommandResult;

/// Give an image a further name.
///
/// An image that has the name already loses it, and goes into the name's history: see `sealpack history`.
/// The rules of the trust store are not asked.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  sealpack tag debian:12 debian:stable")]
pub(crate) struct Tag {
    /// The image: a name or a digest.
    image: String,
    /// The new name.
    name: Reference,
}

impl Tag {
    pub(crate) fn run(self, context: &Context) -> CommandResult {
        let (_lock, store) = context.open_for_reading()?;
        let mut record = context.find_whole(&store, &self.image).map_err(|error| {
            // As with `ln`, what is there comes first.
            match context.find_whole(&store, &self.name.to_string()) {
                Ok(there) => error.hint(format_args!(
                    "there is an image {}: what is there comes first, then the new name",
                    there.name
                )),
                Err(_) => error,
            }
        })?;
        let before = std::mem::replace(&mut record.name, self.name.to_string());
        // Its seal goes on being for the name that it was pulled by.
        record.pulled_as = Some(record.pulled_as.unwrap_or(before)).filter(|name| *name != record.name);
        store.set_image(&record)?;
        let value = json!({ "name": record.name, "metadata_image": record.metadata_image });
        context.output.result(&value, || record.name.clone())
    }
}
