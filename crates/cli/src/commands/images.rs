use crate::context::Context;
use crate::error::CommandResult;
use crate::show;

/// List the images in the store.
///
/// OWN is what would go if the image were removed: contents that no other image has, or packs
/// that no other image in packs has.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  sealpack images
  sealpack images --json | jq -r '.images[].name'")]
pub(crate) struct Images {}

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
        show::image::list(context.output, &store, &images, &usage)
    }

    /// What there is where no store has been made yet.
    fn none(context: &Context) -> CommandResult {
        show::image::no_list(context.output, &context.store_path()?)
    }
}
