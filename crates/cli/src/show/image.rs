//! Images in the store, and their names.

use std::path::Path;

use sealpack_format::Algorithm;
use sealpack_format::digest::{BlobDigest, ObjectId};
use sealpack_format::tree::Time;
use sealpack_gate::rollback::RolledBack;
use sealpack_node::seals;
use sealpack_oci::composefs::Checked;
use sealpack_store::{Epoch, ImageRecord, Integrity, ObjectForm, PackDescriptor, ProblemKind, Store, Usage};
use sealpack_trust::seal::Seal;
use serde_json::{Value, json};

use super::files::date;
use super::{composefs, parts};
use crate::args::Template;
use crate::error::CommandResult;
use crate::hint;
use crate::output::{Output, count, size, table};

const HEADER: [&str; 7] = ["NAME", "MANIFEST", "PLATFORM", "KEPT IN", "PULLED (UTC)", "SIZE", "OWN"];

fn pulled(record: &ImageRecord) -> String {
    let seconds = i64::try_from(record.pulled_unix_seconds).unwrap_or(i64::MAX);
    date(Time { seconds, nanoseconds: 0 })
}

fn kept_in(store: &Store, record: &ImageRecord) -> String {
    format!("{}{}", record.objects, if seals::is_there(store, record) { ", sealed" } else { "" })
}

/// An image of a list.
pub(crate) struct Listed<'s> {
    record: &'s ImageRecord,
    usage: &'s Usage,
    is_sealed: bool,
    /// What the answer to --json has of it.
    pub(crate) value: Value,
}

impl<'s> Listed<'s> {
    pub(crate) fn new(store: &Store, record: &'s ImageRecord, usage: &'s Usage) -> Self {
        let is_sealed = seals::is_there(store, record);
        Self { record, usage, is_sealed, value: listed_value(record, usage, is_sealed) }
    }

    fn cells(&self) -> Vec<String> {
        let Self { record, usage, is_sealed, .. } = self;
        vec![
            record.name.clone(),
            record.manifest.hex().chars().take(12).collect(),
            record.platform.clone(),
            format!("{}{}", record.objects, if *is_sealed { ", sealed" } else { "" }),
            pulled(record),
            size(usage.bytes),
            size(usage.own_bytes),
        ]
    }
}

fn listed_value(record: &ImageRecord, usage: &Usage, is_sealed: bool) -> Value {
    let more = json!({
        "sealed": is_sealed,
        "packs": usage.packs,
        "own_packs": usage.own_packs,
        "objects": usage.objects,
        "object_bytes": usage.bytes,
        "own_objects": usage.own_objects,
        "own_object_bytes": usage.own_bytes,
    });
    parts::with(parts::image(record), more)
}

/// What the answer has of an image that there is not: each field that one has.
pub(crate) fn sample() -> Value {
    let digest = BlobDigest::from_slice(Algorithm::Sha256, &[0; 32]).expect("SHA-256 has 32 bytes");
    let record = ImageRecord::new("", digest, digest, ObjectId::sha256([0; 32]));
    listed_value(&record, &Usage::default(), false)
}

/// Shows images of a store, in lines of a form if one is asked for, and which of the store's names are damaged.
pub(crate) fn list(
    output: Output,
    store: &Store,
    images: &sealpack_store::Images,
    listed: &[Listed<'_>],
    format: Option<&Template>,
) -> CommandResult {
    for damage in &images.damaged {
        output.remark(&format!("warning: {damage}; {}", hint::OF_RECORD));
    }
    if let Some(format) = format {
        let lines = listed.iter().map(|listed| format!("{}\n", format.line(&listed.value)));
        return output.text(&lines.collect::<String>());
    }
    let problems = images
        .damaged
        .iter()
        .map(|damage| parts::problem(ProblemKind::DamagedName.name(), &damage.path, &damage.what, &[], None));
    let value = json!({
        "store": store.path(),
        "algorithm": store.algorithm().name(),
        "images": listed.iter().map(|listed| &listed.value).collect::<Vec<_>>(),
        "problems": problems.collect::<Vec<_>>(),
    });
    output.result(&value, || match output.quiet {
        true => listed.iter().map(|listed| format!("{}\n", listed.record.name)).collect(),
        false => table(&HEADER, &listed.iter().map(Listed::cells).collect::<Vec<_>>()),
    })
}

/// The same where no store has been made yet.
pub(crate) fn no_list(output: Output, store: &Path, has_format: bool) -> CommandResult {
    output.remark(&format!("there is no store at {} yet: the first pull makes it", store.display()));
    let value = json!({ "store": store, "algorithm": null, "images": [], "problems": [] });
    if has_format || output.quiet && !output.json {
        return Ok(());
    }
    output.result(&value, || table(&HEADER, &[]))
}

/// Everything that a store knows of one image.
pub(crate) struct Known {
    pub(crate) record: ImageRecord,
    pub(crate) usage: Usage,
    /// Of each layer, where a pack of it is known.
    pub(crate) packs: Vec<Option<PackDescriptor>>,
    /// What in it contradicts the rest, each as a sentence.
    pub(crate) failures: Vec<String>,
    /// Its seal, or what is wrong with it.
    pub(crate) seal: Option<Result<Seal, String>>,
    pub(crate) claims: Vec<Checked>,
    /// The manifest as it came.
    pub(crate) manifest: Value,
    /// The configuration as it came.
    pub(crate) config: Value,
}

/// Shows an image.
pub(crate) fn known(output: Output, store: &Store, known: &Known) -> CommandResult {
    let Known { record, usage, packs, failures, seal, claims, manifest, config } = known;
    let layers = record.layers.iter().zip(packs).enumerate();
    let layers = layers.map(|(index, (layer, pack))| parts::layer(index, layer, pack.as_ref()));
    let more = json!({
        "layers": layers.collect::<Vec<_>>(),
        "seal": seal.as_ref().map(|seal| match seal {
            Ok(seal) => parts::seal(seal),
            Err(problem) => parts::broken_seal(problem),
        }),
        "composefs": composefs::json_of(claims),
        "failures": failures,
        "packs": usage.packs,
        "objects": usage.objects,
        "object_bytes": usage.bytes,
        "integrity": integrity_word(store.integrity()),
        "manifest_document": manifest,
        "config_document": config,
    });
    output.result(&parts::with(parts::image(record), more), || known_text(store, known))
}

fn known_text(store: &Store, known: &Known) -> String {
    let Known { record, usage, packs, failures, seal, claims, config, .. } = known;
    let mut text = format!(
        "name            {}\nplatform        {}\nmanifest        {}\nconfig          {}\n",
        record.name, record.platform, record.manifest, record.config
    );
    text += &failures.iter().map(|failure| format!("BAD             {failure}\n")).collect::<String>();
    text += &format!(
        "metadata image  {} (fs-verity {}, {})\n",
        record.metadata_image,
        store.algorithm(),
        size(record.metadata_image_size_bytes)
    );
    text += &composefs::text_of(claims, "");
    text += &match record.objects {
        ObjectForm::Files => format!(
            "objects         {}, {}\nintegrity       {}\n",
            usage.objects,
            size(usage.bytes),
            integrity_text(store.integrity())
        ),
        ObjectForm::Packs => format!(
            "objects         {} in {}, {}\n",
            usage.objects,
            count(usage.packs, "pack"),
            size(usage.bytes)
        ),
    };
    text += &match seal {
        None => String::new(),
        Some(Ok(seal)) => seal_text(seal),
        Some(Err(problem)) => format!("seal            {problem}\n"),
    };
    for (index, (layer, pack)) in record.layers.iter().zip(packs).enumerate() {
        let number = parts::layer_number(index);
        text += &format!(
            "layer {number:<9} {} ({} as {})\n",
            layer.diff_id,
            size(layer.blob_size_bytes),
            layer.blob
        );
        if let Some(pack) = pack.filter(|_| record.objects == ObjectForm::Packs) {
            text += &format!("  pack          {} ({})\n", pack.root_hash, size(pack.size_bytes));
        }
    }
    for (key, title) in [("Entrypoint", "entrypoint"), ("Cmd", "command"), ("User", "user")] {
        match &config["config"][key] {
            Value::Null => {}
            Value::String(text) if text.is_empty() => {}
            setting => text += &format!("{title:<15} {setting}\n"),
        }
    }
    text
}

fn seal_text(seal: &Seal) -> String {
    let statement = seal.statement();
    let names: Vec<_> = statement.names().iter().map(ToString::to_string).collect();
    format!(
        "sealed as       {}, epoch {}, made {}\nsealed by       {}\nroot hashes     {}, signed by {}\n",
        names.join(", "),
        statement.epoch(),
        statement.created(),
        seal.signers().join(" and by "),
        statement.root_hashes().count(),
        seal.root_hash_signers().join(" and by ")
    )
}

/// Who checks the store's bytes when they are read.
const fn integrity_text(integrity: Integrity) -> &'static str {
    match integrity {
        Integrity::FsVerity => "fs-verity",
        Integrity::None => "none (the filesystem has no fs-verity)",
    }
}

const fn integrity_word(integrity: Integrity) -> &'static str {
    match integrity {
        Integrity::FsVerity => "fs-verity",
        Integrity::None => "none",
    }
}

/// The images that a name stands or stood for.
pub(crate) struct Past {
    pub(crate) name: String,
    pub(crate) current: Option<ImageRecord>,
    pub(crate) earlier: Vec<ImageRecord>,
    pub(crate) remembered: Option<Epoch>,
}

/// Shows the history of a name.
pub(crate) fn past(output: Output, store: &Store, past: &Past) -> CommandResult {
    let Past { name, current, earlier, remembered } = past;
    let image = |record: &ImageRecord| {
        let more =
            json!({ "sealed": seals::is_there(store, record), "epoch": seals::epoch_of(store, record) });
        parts::with(parts::image(record), more)
    };
    let value = json!({
        "name": name,
        "remembered_epoch": remembered.as_ref().map(|known| json!({
            "epoch": known.epoch,
            "manifest": known.manifest,
            "accepted_at": parts::time_of_seconds(known.unix_seconds),
        })),
        "current": current.as_ref().map(image),
        "earlier": earlier.iter().map(image).collect::<Vec<_>>(),
    });
    output.result(&value, || {
        let row = |record: &ImageRecord| {
            vec![
                record.manifest.to_string(),
                record.platform.clone(),
                kept_in(store, record),
                seals::epoch_of(store, record).map_or("-".to_owned(), |epoch| epoch.to_string()),
                pulled(record),
            ]
        };
        let rows: Vec<Vec<String>> = current.iter().chain(earlier).map(row).collect();
        let mut text = match rows.is_empty() {
            true => format!("{name}: no image has the name now\n"),
            false => table(&["MANIFEST", "PLATFORM", "KEPT IN", "EPOCH", "PULLED (UTC)"], &rows),
        };
        if let Some(known) = remembered {
            text += &format!("the highest epoch of a seal accepted for it: {}\n", known.epoch);
        }
        text
    })
}

/// Shows which image has a name again.
pub(crate) fn rolled_back(output: Output, name: &str, back: &RolledBack) -> CommandResult {
    let RolledBack { now, epoch, before, epoch_before } = back;
    let value = parts::with(
        parts::image(now),
        json!({
            "epoch": epoch,
            "manifest_before": before.manifest,
            "epoch_before": epoch_before,
        }),
    );
    output.result(&value, || {
        let [epoch, epoch_before] = [epoch, epoch_before]
            .map(|epoch| epoch.map_or("no seal".to_owned(), |epoch| format!("epoch {epoch}")));
        format!("{name} is {} now ({epoch}), and was {} ({epoch_before})", now.manifest, before.manifest)
    })
}

/// Shows an image under a new name.
pub(crate) fn tagged(output: Output, record: &ImageRecord) -> CommandResult {
    output.result(&parts::image(record), || record.name.clone())
}

/// Shows which names are gone.
pub(crate) fn removed(output: Output, records: &[ImageRecord]) -> CommandResult {
    let names: Vec<&str> = records.iter().map(|record| record.name.as_str()).collect();
    output.result(&json!({ "removed_names": names }), || names.join("\n"))
}
