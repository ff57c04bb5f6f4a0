use crate::args::{Filter, Template};
use crate::context::Context;
use crate::error::{CommandError, CommandResult};
use crate::show;

/// List the images in the store.
///
/// OWN is what would go if the image were removed: contents that no other image has, or packs
/// that no other image in packs has. `sealpack df` says what they take together.
///
/// With --quiet, only the names, one on each line.
///
/// Filters and formats have the fields of an image in the answer to --json: `name`, `manifest`, `platform`, `kept_in`,
/// `sealed`, `pulled`, `own_object_bytes`, `metadata_image.fsverity_digest` and others, which docs/json.md explains. An image
/// passes where each field that a filter names has that value; `*` is any text. In a format a field stands in braces, and is
/// printed as JSON has it, text without quotes; `\\t` is a tab, `\\n` a new line, `{{` and `}}` are braces.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  sealpack images
  sealpack images --quiet
  sealpack images --filter sealed=true --filter name=registry.example.org/*
  sealpack images --format {name}\\t{manifest}
  sealpack images --json | jq -r '.images[].name'")]
pub(crate) struct Images {
    /// List only images whose field has the value; several filters must all pass.
    #[arg(long = "filter", value_name = "FIELD=VALUE")]
    filters: Vec<Filter>,
    /// Print a line of this form for each image.
    #[arg(long, value_name = "TEMPLATE")]
    format: Option<Template>,
}

impl Images {
    pub(crate) fn run(self, context: &Context) -> CommandResult {
        self.check(context)?;
        let (_lock, store) = match context.open_for_reading() {
            // A store that nobody has pulled into has no images; one that was asked for and is none is an error.
            Err(error) if error.is_no_store() => {
                return show::image::no_list(context.output, &context.store_path()?, self.format.is_some());
            }
            opened => opened?,
        };
        let images = store.images()?;
        let usage = store.usage(&images.records)?;
        let listed: Vec<_> = images
            .records
            .iter()
            .zip(&usage)
            .map(|(record, usage)| show::image::Listed::new(&store, record, usage))
            .filter(|listed| self.filters.iter().all(|filter| filter.passes(&listed.value)))
            .collect();
        show::image::list(context.output, &store, &images, &listed, self.format.as_ref())
    }

    /// That images have the fields that are asked for, whether or not there is an image.
    fn check(&self, context: &Context) -> CommandResult {
        if self.format.is_some() && context.output.json {
            return Err(CommandError::usage("--format and --json are two forms of the same answer"));
        }
        let sample = show::image::sample();
        let filters = self.filters.iter().try_for_each(|filter| filter.check(&sample));
        let format = self.format.iter().try_for_each(|format| format.check(&sample));
        filters.and(format).map_err(CommandError::usage)
    }
}
