use sealpack_store::ObjectForm;

use sealpack_node::find::find_name;
use sealpack_node::revoked;

use crate::context::Context;
use crate::error::CommandResult;
use crate::show;

/// Keep an image's contents in packs or as files, without fetching anything.
///
/// Files are shared by all images that have them. Packs hold the files of one layer each and are shared
/// by all images with the layer; they are what can be signed. Other names of the same image stay
/// as they are. What the other form needed goes with the next `sealpack gc`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  sealpack convert debian:12 --to packs
  sealpack convert debian:12 --to files && sealpack gc")]
pub(crate) struct Convert {
    /// The image: a name, or a digest that has only one.
    image: String,
    /// How its contents are to be kept: files or packs.
    #[arg(long, value_name = "FORM")]
    to: ObjectForm,
}

impl Convert {
    pub(crate) fn run(self, context: &Context) -> CommandResult {
        context.output.when_interrupted("the image is as it was; `sealpack gc` removes what was begun");
        let store = context.open()?;
        let record = find_name(&store, &self.image)?;
        revoked::check(&store, &record, &context.trust_store().revocations_so_far()?)?;
        let before = record.objects;
        let converted = store.convert(&record, self.to, &())?;
        let is_sealed = store.read_seal(&converted.record)?.is_some();
        show::pulled::converted(context.output, &converted, before, is_sealed)
    }
}
