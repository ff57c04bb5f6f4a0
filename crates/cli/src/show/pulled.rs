//! Images that came into the store, or are kept in another form.

use sealpack_gate::pull::Admitted;
use sealpack_store::{Converted, ObjectForm};
use sealpack_trust::judge::PassedOver;
use serde_json::{Value, json};

use super::{composefs, parts, seal};
use crate::error::CommandResult;
use crate::output::{Output, count, size};

/// Shows an image that was pulled.
pub(crate) fn pulled(output: Output, admitted: &Admitted) -> CommandResult {
    output.result(&json_of(admitted), || text_of(admitted))
}

fn json_of(admitted: &Admitted) -> Value {
    let (pulled, admission) = (admitted.pulled(), admitted.admission());
    let record = &pulled.record;
    let layers = record.layers.iter().enumerate().map(|(index, layer)| parts::layer(index, layer, None));
    let more = json!({
        "layers": layers.collect::<Vec<_>>(),
        "layers_known": pulled.layers_known,
        "layers_converted": pulled.layers_converted,
        "kept_in_before": pulled.objects_before.map(ObjectForm::name),
        "seal": admission.chosen().map(|chosen| parts::seal(&chosen.seal)),
        "judgement": admission.chosen().map(seal::judgement),
        "seals_passed_over": admission.passed_over().iter().map(|PassedOver { label, reasons }| json!({
            "label": label,
            "failures": reasons,
        })).collect::<Vec<_>>(),
        "composefs": composefs::json_of(&pulled.composefs),
    });
    parts::with(parts::with(parts::image(record), parts::staged(&pulled.added)), more)
}

fn text_of(admitted: &Admitted) -> String {
    let (pulled, admission) = (admitted.pulled(), admitted.admission());
    let (record, added) = (&pulled.record, &pulled.added);
    let mut text = format!("{}\n  manifest        {}\n", record.name, record.manifest);
    text += &format!("  metadata image  {}\n", record.metadata_image);
    text += &composefs::text_of(&pulled.composefs, "  ");
    let known = match pulled.layers_converted {
        0 => format!("{} known", pulled.layers_known),
        converted => format!("{} known, {converted} converted", pulled.layers_known),
    };
    let layers = count(record.layers.len() as u64, "layer");
    text += &match record.objects {
        ObjectForm::Files => format!(
            "  {layers} ({known}), {} added ({}), {} were there\n",
            count(added.objects, "object"),
            size(added.object_bytes),
            added.existing_objects
        ),
        ObjectForm::Packs => format!(
            "  {layers} ({known}), {} added ({}), {} were there\n",
            count(added.packs, "pack"),
            size(added.pack_bytes),
            added.existing_packs
        ),
    };
    text += &match admission.chosen() {
        Some(chosen) => seal::text_of(chosen),
        None if admission.passed_over().is_empty() => String::new(),
        None => {
            format!(
                "  not sealed      {} cannot be used\n",
                count(admission.passed_over().len() as u64, "seal")
            )
        }
    };
    if admission.chosen().is_some() && record.objects == ObjectForm::Files {
        text += "  kept as files: the seal counts when the image is kept in packs\n";
    }
    match added.replaced.len() + added.replaced_packs.len() {
        0 => {}
        replaced => {
            text += &format!(
                "  {replaced} damaged {} replaced\n",
                match record.objects {
                    ObjectForm::Files => "objects",
                    ObjectForm::Packs => "packs",
                }
            )
        }
    }
    if let Some(before) = pulled.objects_before.filter(|before| *before != record.objects) {
        text += &format!(
            "  kept in {} now, not in {before}: `sealpack gc` removes those that no other image needs\n",
            record.objects
        );
    }
    text
}

/// Shows an image that is kept in another form than before, or in the same one.
pub(crate) fn converted(
    output: Output,
    converted: &Converted,
    before: ObjectForm,
    is_sealed: bool,
) -> CommandResult {
    let Converted { record, added, layers } = converted;
    let more = json!({ "kept_in_before": before.name(), "layers_converted": layers });
    let value = parts::with(parts::with(parts::image(record), parts::staged(added)), more);
    output.result(&value, || {
        let mut text = converted_text(converted, before);
        if is_sealed && record.objects == ObjectForm::Files {
            text += "\nits seal stays, but counts only while the image is kept in packs";
        }
        text
    })
}

fn converted_text(converted: &Converted, before: ObjectForm) -> String {
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
