use sealpack_store::{Converted, ObjectForm};
use serde_json::{Value, json};

use sealpack_node::find::find_name;

use crate::context::Context;
use crate::error::CommandResult;
use crate::output::{count, size};

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
        let before = record.objects;
        let converted = store.convert(&record, self.to, &())?;
        let is_sealed = store.read_seal(&converted.record)?.is_some();
        context.output.result(&json_of(&converted, before), || {
            let mut text = text_of(&converted, before);
            if is_sealed && converted.record.objects == ObjectForm::Files {
                text += "\nits seal stays, but counts only while the image is kept in packs";
            }
            text
        })
    }
}

fn json_of(converted: &Converted, before: ObjectForm) -> Value {
    let (record, added) = (&converted.record, &converted.added);
    json!({
        "name": record.name,
        "objects": record.objects.name(),
        "objects_before": before.name(),
        "layers_converted": converted.layers,
        "packs_added": added.packs,
        "pack_bytes_added": added.pack_bytes,
        "packs_replaced": added.replaced_packs,
        "objects_added": added.objects,
        "object_bytes_added": added.object_bytes,
        "objects_replaced": added.replaced,
    })
}

fn text_of(converted: &Converted, before: ObjectForm) -> String {
    let (record, added) = (&converted.record, &converted.added);
    let mut text = match (record.objects == before, converted.layers) {
        (true, 0) => return format!("{} is kept in {} already", record.name, record.objects),
        (true, _) => format!("{}: what was missing or damaged in its {} was made", record.name, before),
        (false, _) => format!("{} is kept in {} now", record.name, record.objects),
    };
    text += &match record.objects {
        ObjectForm::Packs => format!(": {} added ({})", count(added.packs, "pack"), size(added.pack_bytes)),
        ObjectForm::Files => {
            format!(": {} added ({})", count(added.objects, "object"), size(added.object_bytes))
        }
    };
    if record.objects != before {
        text += &format!("\n`sealpack gc` removes the {before} that no other image needs");
    }
    text
}
