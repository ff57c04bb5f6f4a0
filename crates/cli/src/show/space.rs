//! What a store takes.

use sealpack_store::{Holdings, ImageRecord, ProblemKind, RefDamage, Store, Tally, Together, Usage};
use serde_json::{Value, json};

use super::parts;
use crate::error::CommandResult;
use crate::hint;
use crate::output::{Output, size, table};

/// An image, under all its names.
pub(crate) struct Owner {
    pub(crate) names: Vec<String>,
    pub(crate) usage: Usage,
}

/// What there is.
pub(crate) struct Space {
    pub(crate) owners: Vec<(Owner, ImageRecord)>,
    pub(crate) damaged: Vec<RefDamage>,
    pub(crate) together: Together,
    pub(crate) holdings: Holdings,
    /// What gc would remove; in words why that is not known.
    pub(crate) unneeded: Result<Tally, String>,
}

/// Shows it.
pub(crate) fn shown(output: Output, store: &Store, space: &Space) -> CommandResult {
    for damage in &space.damaged {
        output.remark(&format!("warning: {damage}; {}", hint::OF_RECORD));
    }
    if let Err(why) = &space.unneeded {
        output.remark(&format!("note: what gc would free is not known: {why}"));
    }
    output.result(&json_of(store, space), || text_of(space))
}

fn kinds(holdings: &Holdings) -> [(&'static str, Tally); 7] {
    let Holdings { objects, packs, images, layers, blobs, seals, others } = *holdings;
    [
        ("objects", objects),
        ("packs", packs),
        ("images", images),
        ("layers", layers),
        ("blobs", blobs),
        ("seals", seals),
        ("others", others),
    ]
}

fn json_of(store: &Store, space: &Space) -> Value {
    let tally = |part: Tally| parts::tally(part.count, Some(part.bytes));
    let images = space.owners.iter().map(|(owner, record)| {
        json!({
            "names": owner.names,
            "manifest": record.manifest,
            "kept_in": record.objects.name(),
            "object_bytes": owner.usage.bytes,
            "own_object_bytes": owner.usage.own_bytes,
            "shared_object_bytes": owner.usage.bytes - owner.usage.own_bytes,
        })
    });
    let on_disk = kinds(&space.holdings).into_iter().map(|(name, part)| (name.to_owned(), tally(part)));
    let problems = space
        .damaged
        .iter()
        .map(|damage| parts::problem(ProblemKind::DamagedName.name(), &damage.path, &damage.what, &[], None));
    json!({
        "store": store.path(),
        "image_sizes": images.collect::<Vec<_>>(),
        "problems": problems.collect::<Vec<_>>(),
        "own_object_bytes": space.together.own_bytes,
        "shared_object_bytes": space.together.shared_bytes,
        "on_disk": Value::Object(on_disk.collect()),
        "total": tally(space.holdings.total()),
        "unneeded": space.unneeded.as_ref().ok().map(|part| tally(*part)),
        "why_unknown": space.unneeded.as_ref().err(),
    })
}

fn text_of(space: &Space) -> String {
    let row = |(owner, record): &(Owner, ImageRecord)| {
        let Usage { bytes, own_bytes, .. } = owner.usage;
        vec![
            owner.names.join(", "),
            record.objects.to_string(),
            size(bytes),
            size(own_bytes),
            size(bytes - own_bytes),
        ]
    };
    let rows: Vec<Vec<String>> = space.owners.iter().map(row).collect();
    let line = |what: &str, bytes: u64| format!("{what:<28}{}\n", size(bytes));
    let mut text = table(&["IMAGE", "KEPT IN", "SIZE", "OWN", "SHARED"], &rows);
    text += "\n";
    text += &line("of one image alone", space.together.own_bytes);
    text += &line("of several images", space.together.shared_bytes);
    text += &line("on the disk, with all else", space.holdings.total().bytes);
    if let Ok(unneeded) = &space.unneeded {
        text += &line("`sealpack gc` would free", unneeded.bytes);
    }
    text
}
