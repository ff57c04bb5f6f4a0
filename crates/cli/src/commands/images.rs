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
        let (_lock, store) = context.open_for_reading()?;
        let images = store.images()?;
        let usage = store.usage(&images.records)?;
        show::image::list(context.output, &store, &images, &usage)
    }
}
