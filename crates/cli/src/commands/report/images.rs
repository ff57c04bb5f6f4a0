//! Images and what they share.

use std::collections::BTreeSet;

use sealpack_format::tree::Time;
use sealpack_kernel::Kernel;
use sealpack_node::standing::Keyrings;
use sealpack_page::{Image, Layer, Page, Pair, Together};
use sealpack_store::{ImageRecord, ObjectForm, Store, Usage};

use super::decisions::Judge;
use super::{chain, changes};
use crate::context::Context;
use crate::error::CommandError;
use crate::show::files::date;

/// Of more images not all pairs are compared, each of which takes reading both images' layers.
const COMPARED_MAX: usize = 10;

/// A time as people read it.
pub(super) fn time(unix_seconds: u64) -> String {
    let seconds = i64::try_from(unix_seconds).unwrap_or(i64::MAX);
    date(Time { seconds, nanoseconds: 0 })
}

/// Adds images to a page: those that are asked for, each once.
pub(super) fn add(
    page: &mut Page,
    context: &Context,
    store: &Store,
    asked: &[ImageRecord],
    judge: &Judge,
) -> Result<(), CommandError> {
    let (names, records) = once(asked);
    let (usage, together) = store.usage_together(&records)?;
    page.together = Together { own_bytes: together.own_bytes, shared_bytes: together.shared_bytes };
    page.pairs = pairs(store, &records)?;
    let others = others(store, asked)?;
    let trust = chain::Trust {
        anchors: context.trust_store().read(&mut context.output.remarks())?,
        keyrings: Keyrings::read(&Kernel::default()),
    };
    for ((record, names), usage) in records.iter().zip(names).zip(usage) {
        let Usage { bytes, own_bytes, .. } = usage;
        page.images.push(Image {
            names,
            manifest: record.manifest.to_string(),
            platform: record.platform.clone(),
            kept_in: record.objects.to_string(),
            size_bytes: bytes,
            own_bytes,
            layers: layers(store, record, &others)?,
            chain: chain::of(context, store, record, &trust)?,
            checked: judge.judge(context, store, record),
            change: changes::since_before(store, record)?,
        });
    }
    Ok(())
}

/// Each image once, with all names by which it is asked for: one shares nothing with itself.
fn once(asked: &[ImageRecord]) -> (Vec<Vec<String>>, Vec<ImageRecord>) {
    let (mut names, mut records) = (Vec::<Vec<String>>::new(), Vec::<ImageRecord>::new());
    for record in asked {
        let is_same = |other: &ImageRecord| {
            let of = |record: &ImageRecord| (record.manifest, record.objects, record.statement);
            of(other) == of(record)
        };
        match records.iter().position(is_same) {
            Some(place) if names[place].contains(&record.name) => {}
            Some(place) => names[place].push(record.name.clone()),
            None => {
                names.push(vec![record.name.clone()]);
                records.push(record.clone());
            }
        }
    }
    (names, records)
}

/// The images of the store that are not asked for.
fn others(store: &Store, asked: &[ImageRecord]) -> Result<Vec<ImageRecord>, CommandError> {
    let manifests: BTreeSet<String> = asked.iter().map(|record| record.manifest.to_string()).collect();
    let mut others = store.images()?.records;
    others.retain(|record| !manifests.contains(&record.manifest.to_string()));
    Ok(others)
}

fn pairs(store: &Store, records: &[ImageRecord]) -> Result<Vec<Pair>, CommandError> {
    let compared = records.get(..COMPARED_MAX).unwrap_or(records);
    let mut pairs = Vec::new();
    for (first, one) in compared.iter().enumerate() {
        for (second, other) in compared.iter().enumerate().skip(first + 1) {
            let sharing = store.sharing(one, other)?;
            let (layers, objects, bytes) = (sharing.layers, sharing.objects, sharing.bytes);
            pairs.push(Pair { places: [first, second], layers, objects, bytes });
        }
    }
    Ok(pairs)
}

fn layers(store: &Store, record: &ImageRecord, others: &[ImageRecord]) -> Result<Vec<Layer>, CommandError> {
    let of = |layer: &sealpack_store::LayerDescriptor| {
        let pack = match record.objects {
            ObjectForm::Packs => store.layer_pack(&layer.diff_id)?,
            ObjectForm::Files => None,
        };
        let has_it = |other: &&ImageRecord| other.layers.iter().any(|it| it.diff_id == layer.diff_id);
        Ok(Layer {
            diff_id: layer.diff_id.to_string(),
            bytes: store.layer_usage(&layer.diff_id, record.objects)?.0,
            blob_bytes: layer.blob_size_bytes,
            pack: pack.map(|pack| pack.root_hash.to_string()),
            also_in: others.iter().filter(has_it).map(|other| other.name.clone()).collect(),
        })
    };
    record.layers.iter().map(of).collect()
}
