//! An image in the store.

use std::collections::BTreeSet;

use sealpack_format::digest::{BlobDigest, ObjectId, RootHash};
use sealpack_oci::budget::Limits;
use sealpack_oci::merge::XattrRule;
use sealpack_oci::platform::Platform;
use sealpack_oci::pull::image_id;
use sealpack_store::{ImageRecord, LayerDescriptor, LayerPack, ObjectForm, Store, objects_of_image};
use sealpack_trust::seal::Seal;

use super::report::{Report, StoredImage, count};
use super::{kernel, seals};
use crate::Error;
use crate::gate::{Demand, Gate};
use crate::parts::{self, Listed};
use crate::remark::Remarks;
use crate::usable;
use sealpack_node::revoked;
use sealpack_node::seals as node_seals;
use sealpack_node::trust_store::TrustStore;
use sealpack_trust::anchors::Revocations;

/// The most objects that are named one by one when they are damaged.
const DAMAGED_SHOWN: usize = 16;

/// Verifies all that the store has of the image: every byte is hashed anew, the seal is judged, and where the image is
/// mounted, the kernel is asked. `platform` is what it has to be for, if that is said.
///
/// # Errors
///
/// Of the trust store, and where the store cannot tell what it remembers of a name.
pub fn stored(
    store: &Store,
    record: &ImageRecord,
    (platform, demand): (Option<&Platform>, Demand),
    trust: &TrustStore,
    remarks: Remarks<'_>,
) -> Result<Report, Error> {
    let pulled_as = record.pulled_as.as_ref().unwrap_or(&record.name).clone();
    let has = StoredImage { metadata_image: record.metadata_image, kept_in: record.objects };
    let mut report =
        Report::new(record.name.clone(), pulled_as, record.manifest, record.platform.clone(), Some(has));
    let is_for = |wanted: &&Platform| {
        record.platform.parse::<Platform>().is_ok_and(|platform| wanted.distance(&platform).is_some())
    };
    if let Some(wanted) = platform.filter(|wanted| !is_for(wanted)) {
        report.bad("platform", format!("it is for {}, not for {wanted}", record.platform));
    }
    blobs(&mut report, store, record);
    let revocations = trust.revocations().map_err(sealpack_node::Error::from)?;
    let (root_hash, is_whole) = contents(&mut report, store, record, &revocations);
    report.root_hashes_computed = root_hash.is_some() && is_whole;
    let gate = usable::gate(store, record, demand, trust, remarks)?;
    seal(&mut report, store, record, (root_hash, is_whole), &gate);
    kernel::ask(&mut report, store, record, root_hash);
    Ok(report)
}

/// Manifest, config and index: their digests, and that they are about what the record has.
fn blobs(report: &mut Report, store: &Store, record: &ImageRecord) {
    let manifest = report.look("manifest", store.blob(&record.manifest), |_| record.manifest.to_string());
    let config = report.look("config", store.blob(&record.config), |_| record.config.to_string());
    let listed = record.index.as_ref().map(|digest| index(report, store, record, digest));
    let Some(config) = config else { return };
    match parts::check_platform(record, &config, listed.as_ref()) {
        Ok(()) => report.good("platform", format!("{:?}, as the config has it", record.platform)),
        Err(problem) => report.bad("platform", problem),
    }
    let Some(manifest) = manifest else { return };
    match parts::check_layers(record, &manifest, &config) {
        Ok(()) => {
            let layers = count(record.layers.len(), "layer");
            report.good("layers", format!("{layers}, as manifest and config name them"));
        }
        Err(problem) => report.bad("layers", problem),
    }
}

/// The index, which has to list the manifest.
fn index(report: &mut Report, store: &Store, record: &ImageRecord, digest: &BlobDigest) -> Listed {
    match store.blob(digest).map(|bytes| parts::check_index(record, &bytes)) {
        Ok(Ok(listed)) => {
            report.good("index", digest);
            if matches!(listed, Listed::Perhaps) {
                let why = "it lists the manifest through another index, if at all: pins do not count it";
                report.note("index", why);
            }
            return listed;
        }
        Ok(Err(problem)) => report.bad("index", format!("{digest}: {problem}")),
        Err(error) => report.bad("index", error),
    }
    Listed::Perhaps
}

/// Metadata image and objects, every byte. Answers with the root hash of the metadata image, and whether every pack has
/// its own.
fn contents(
    report: &mut Report,
    store: &Store,
    record: &ImageRecord,
    revocations: &Revocations,
) -> (Option<RootHash>, bool) {
    let verified = store.verify_metadata_image(&record.metadata_image).map(drop);
    if report.look("metadata image", verified, |()| record.metadata_image.to_string()).is_none() {
        return (None, false);
    }
    let layers: Vec<_> = record.layers.iter().map(|layer| layer.diff_id).collect();
    match image_id(store, &layers, XattrRule::default(), Limits::NONE) {
        Ok(made) if made == record.metadata_image => report.good("  made again", "the layers give the same"),
        Ok(made) => report.bad("  made again", format!("the layers give another one, {made}")),
        Err(error) => report.bad("  made again", error),
    }
    if let Some(problem) = parts::metadata_image_size(store, record) {
        report.bad("  its size", problem);
    }
    let root_hash = hash_area(report, store, record);
    // Without the root hash it is bad already.
    if let Some(root_hash) = root_hash {
        match revoked::find(store, record, || Ok(root_hash), revocations) {
            Ok(None) => {}
            Ok(Some(failure)) => report.bad("revoked", failure),
            Err(error) => report.bad("revoked", format!("not known: {error}")),
        }
    }
    let is_whole = match record.objects {
        ObjectForm::Files => {
            files(report, store, record);
            true
        }
        ObjectForm::Packs => packs(report, store, record),
    };
    (root_hash, is_whole)
}

/// The root hash of the metadata image, and whether the hash area that a mount would use is its.
fn hash_area(report: &mut Report, store: &Store, record: &ImageRecord) -> Option<RootHash> {
    let checked = store.check_hash_area(&record.metadata_image);
    let (root_hash, area) =
        report.look("  its root hash", checked, |(root_hash, _)| root_hash.to_string())?;
    let path = store.hash_area_path(&record.metadata_image);
    match area {
        Some(true) => report.good("  its hash area", path.display()),
        Some(false) => report.bad("  its hash area", format!("{} is not that of it", path.display())),
        None => {}
    }
    Some(root_hash)
}

/// Whether all are whole.
fn packs(report: &mut Report, store: &Store, record: &ImageRecord) -> bool {
    let mut layers = BTreeSet::new();
    // One layer at a time: that the pack of one is not known does not hide the next.
    let of_layer = |layer: &LayerDescriptor| {
        let mut only = record.clone();
        only.layers = vec![layer.clone()];
        store.image_packs(&only)
    };
    let once = record.layers.iter().enumerate().filter(|(_, layer)| layers.insert(layer.diff_id));
    let known: Vec<_> = once.map(|(number, layer)| (number, of_layer(layer))).collect();
    let all: Vec<LayerPack> =
        known.iter().filter_map(|(_, packs)| packs.as_ref().ok()).flatten().copied().collect();
    let mut verified = match store.verify_each_pack(&all) {
        Ok(verified) => verified.into_iter(),
        Err(error) => {
            report.bad("packs", error);
            return false;
        }
    };
    let mut is_whole = true;
    for (number, packs) in known {
        let result = packs.and_then(|packs| match packs.first() {
            Some(pack) => verified.next().unwrap_or(Ok(())).map(|()| Some(*pack)),
            None => Ok(None),
        });
        let found = report.look(format!("pack of layer {}", number + 1), result, |pack| match pack {
            Some(pack) => format!("root hash {}", pack.pack.root_hash),
            None => "none, as the layer has no objects".to_owned(),
        });
        is_whole &= found.is_some();
    }
    is_whole
}

fn files(report: &mut Report, store: &Store, record: &ImageRecord) {
    let objects = store.open_metadata_image(&record.metadata_image).map_err(|error| error.to_string());
    let objects = objects.and_then(|file| objects_of_image(&file));
    let Some(mut objects) = report.look("objects", objects, |objects| {
        format!("the metadata image has {}", count(objects.len(), "reference"))
    }) else {
        return;
    };
    objects.sort_unstable();
    objects.dedup();
    let faults = store.faults_in(&objects);
    let problem = |(id, fault): &(ObjectId, _)| format!("{} {fault}", store.object_path(id).display());
    let problems: Vec<String> = faults.iter().map(problem).collect();
    if problems.is_empty() {
        report.good("contents", format!("{}, each hashed", count(objects.len(), "object")));
    }
    for problem in problems.iter().take(DAMAGED_SHOWN) {
        report.bad("contents", problem);
    }
    if let Some(more) = problems.len().checked_sub(DAMAGED_SHOWN).filter(|more| *more > 0) {
        report.bad("contents", format!("and {more} more objects are missing or damaged"));
    }
}

/// The packs, none of an image in files.
fn devices_of(
    store: &Store,
    record: &ImageRecord,
) -> Result<Vec<node_seals::ImagePack>, sealpack_node::Error> {
    match record.objects {
        ObjectForm::Files => Ok(Vec::new()),
        ObjectForm::Packs => node_seals::packs_of(store, record),
    }
}

/// The seal: whether it is that of the image, and what the trust store says of it.
fn seal(
    report: &mut Report,
    store: &Store,
    record: &ImageRecord,
    computed: (Option<RootHash>, bool),
    gate: &Gate,
) {
    let seal = match node_seals::read(store, record) {
        Ok(seal) => seal,
        Err(error) => return report.bad("seal", error),
    };
    if seal.is_none() && record.statement.is_some() {
        let path = node_seals::path_of(store, record);
        return report.bad("seal", format!("{}, which the name has, is missing", path.display()));
    }
    if let Some(seal) = &seal {
        let names: Vec<_> = seal.statement().names().iter().map(ToString::to_string).collect();
        report.note("seal", format!("for {}, made {}", names.join(", "), seal.statement().created()));
        compare(report, store, record, seal, computed);
    }
    seals::report_on(report, usable::judgements(store, record, seal, gate), true);
}

/// The root hashes in a seal with those that were computed.
fn compare(
    report: &mut Report,
    store: &Store,
    record: &ImageRecord,
    seal: &Seal,
    (root_hash, is_whole): (Option<RootHash>, bool),
) {
    match (root_hash, devices_of(store, record)) {
        (Some(root_hash), Ok(packs)) => {
            let devices = node_seals::devices(record, root_hash, &packs);
            let compared = devices.packs.len() + 1;
            match seal.statement().check(&devices) {
                Ok(()) if is_whole => {
                    report.good("  root hashes", format!("{compared} computed, and the seal has the same"));
                }
                // What the store remembers of a pack is not what is in it.
                Ok(()) => report.note("  root hashes", "those of damaged packs are not computed"),
                Err(error) => report.bad("  root hashes", error),
            }
        }
        (_, Err(error)) => report.bad("  root hashes", error),
        (None, Ok(_)) => report.bad("  root hashes", "that of the metadata image could not be computed"),
    }
}
