//! From a source into the store: layers in parallel, each byte read once.

mod check;
mod composefs;
mod declared;
mod error;
mod fresh;
mod held;
mod layer;
mod merged;
mod observer;

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use sealpack_format::erofs::{self, FormatVersion};
use sealpack_format::tree::Tree;
use sealpack_format::{DiffId, ObjectId};
use sealpack_store::{
    Accepted, Discard, Error as StoreError, Fact, ImageRecord, LayerDescriptor, ObjectForm, ObjectState,
    Partial, Staging, Store, objects_of_image,
};

pub use check::{Check, Objection, Rebuilt, Request, Word};
pub use composefs::image_id;
pub use error::PullError;
pub use merged::image_rule;
pub use observer::{Event, Observer};

use crate::budget::{Budget, Limits};
use crate::composefs::Checked;
use crate::image::{Layer, ResolvedImage};
use crate::merge::XattrRule;
use crate::transport::ImageSource;
use held::Held;
use layer::{Brought, LayerPull};
use merged::merge;

/// The most layers that are read at once. More would share the same processors and
/// connections, and cost memory.
const LAYERS_AT_ONCE: usize = 4;

/// What came of a pull.
#[derive(Debug)]
pub struct Pulled {
    /// What the store now has under the name.
    pub record: ImageRecord,
    /// The number of layers that the store had already.
    pub layers_known: usize,
    /// The number of layers that the store had in the other form.
    pub layers_converted: usize,
    /// In which form the objects of the image were that had the name before.
    pub objects_before: Option<ObjectForm>,
    /// What was added to the store.
    pub added: sealpack_store::Staged,
    /// What came of checking what the image says about its composefs digests.
    pub composefs: Vec<Checked>,
}

/// Brings `image` from `source`, where it was [resolved](crate::image::resolve), into `store`, as `request` says.
///
/// What the layers say of their sizes is held against the limits and the free space before one is fetched.
/// Layers that the store has are not fetched, whichever form they are in. What an
/// interrupted pull had fetched is used.
/// What the image [says about its composefs digests](ResolvedImage::composefs) is checked as soon as it can be; what is
/// wrong of it refuses the image, or is only told, as the request says.
/// The name changes last, after the request's check: until then the store has the same images as before, and
/// beside them only layers that are whole. What is refused leaves nothing behind.
///
/// # Errors
/// See [`PullError`].
pub fn pull(
    store: &Store,
    source: &dyn ImageSource,
    image: &ResolvedImage,
    request: &Request<'_>,
    observer: &dyn Observer,
) -> Result<Pulled, PullError> {
    composefs::check_documents(image, request.refuse_wrong_claims)?;
    // What is there stays there from now on.
    let staging = store.stage()?;
    let before = match store.image(&request.name.to_string()) {
        // It is about to be replaced.
        Err(StoreError::RefDamaged(_)) => None,
        other => other?,
    };
    let objects_before = before.as_ref().map(|before| before.objects);
    let mut held = Held::new(store);
    let form = match request.objects {
        Some(form) => form,
        None => usual_form(&mut held, image, objects_before)?,
    };
    store.check_form(form)?;
    let brought: Mutex<Brought> = Mutex::default();
    let begun = Begun { staging, held, before, form };
    let pulled = bring_in(source, image, request, begun, observer, &brought).inspect_err(|error| {
        // What lies on a disk is soon read again. Of what was fetched, layers that are whole wait for the next pull,
        // also where there is no room for more; the part of one that never fits would keep the disk full.
        let Brought { layers, packs, blobs } = &*brought.lock().unwrap_or_else(PoisonError::into_inner);
        if error.is_content() || !source.is_remote() {
            take_back(store, &Discard { layers, packs, blobs });
        } else if error.is_no_space() {
            take_back(store, &Discard { blobs, ..Discard::default() });
        }
    })?;
    Ok(Pulled { objects_before, ..pulled })
}

/// A pull that has begun.
struct Begun<'s> {
    staging: Staging<'s>,
    held: Held<'s>,
    /// The image that has the name.
    before: Option<ImageRecord>,
    /// How the objects will be kept.
    form: ObjectForm,
}

/// The form of an image for which none was asked: the one that more of its layers are in already, in bytes, so that they are
/// not there twice; else that of the image that had the name.
fn usual_form(
    held: &mut Held<'_>,
    image: &ResolvedImage,
    before: Option<ObjectForm>,
) -> Result<ObjectForm, PullError> {
    let mut seen = HashSet::new();
    let (mut in_files, mut in_packs) = (0_u64, 0_u64);
    for layer in image.layers.iter().filter(|layer| seen.insert(layer.diff_id)) {
        for (form, bytes) in [(ObjectForm::Files, &mut in_files), (ObjectForm::Packs, &mut in_packs)] {
            if held.has(&layer.diff_id, form)? {
                *bytes = bytes.saturating_add(layer.descriptor.size_bytes);
            }
        }
    }
    Ok(match in_files.cmp(&in_packs) {
        std::cmp::Ordering::Greater => ObjectForm::Files,
        std::cmp::Ordering::Less => ObjectForm::Packs,
        std::cmp::Ordering::Equal => before.unwrap_or_default(),
    })
}

/// The rest of [`pull`]; `brought` tells what has come into the store when it fails.
fn bring_in(
    source: &dyn ImageSource,
    image: &ResolvedImage,
    request: &Request<'_>,
    Begun { staging, mut held, before, form }: Begun<'_>,
    observer: &dyn Observer,
    brought: &Mutex<Brought>,
) -> Result<Pulled, PullError> {
    let store = staging.store();
    let Layers { missing, convertible, known } = find_missing(&mut held, source, image, form)?;
    declared::check(store, source, &missing, &request.limits)?;
    let converted: Vec<DiffId> = convertible.iter().map(|(_, layer)| layer.diff_id).collect();
    store.check_room(store.bytes_to_convert(&converted, form)?)?;
    observer.event(&Event::Resolved {
        manifest: &image.manifest.digest,
        layers: image.layers.len(),
        size_bytes: missing
            .iter()
            .fold(0, |sum: u64, (_, layer)| sum.saturating_add(layer.descriptor.size_bytes)),
    });
    for (layer, known) in &known {
        observer.event(&Event::LayerKnown { layer: *layer, diff_id: &known.diff_id });
    }
    let (stop, budget) = (AtomicBool::new(false), Budget::new(request.limits));
    let pull = LayerPull { staging: &staging, form, source, observer, budget: &budget, stop: &stop, brought };
    bring_all(&pull, &missing, &convertible)?;
    observer.event(&Event::Merging);
    let made = make_image(&staging, image, request, before.as_ref())?;
    observer.event(&Event::ImageStored { image: &made.metadata_image });
    staging.add_blob(&image.manifest.digest, &image.manifest_bytes)?;
    staging.add_blob(&image.config.digest, &image.config_bytes)?;
    if let Some((digest, bytes)) = &request.index {
        staging.add_blob(digest, bytes)?;
    }
    let mut record = record_of(image, request, made.metadata_image, made.size_bytes);
    record.objects = form;
    let accepted = match request.word {
        Word::Of(check) => ask(&staging, &record, check)?,
        Word::Nobodys => Accepted::default(),
    };
    let added = staging.figures();
    let record = staging.publish_with(&record, &accepted)?;
    store.remember(&made.fact);
    let (layers_known, layers_converted, composefs) = (known.len(), convertible.len(), made.composefs);
    Ok(Pulled { record, layers_known, layers_converted, objects_before: None, added, composefs })
}

/// A metadata image that is in the store, or in a staging.
struct Made {
    metadata_image: ObjectId,
    size_bytes: u64,
    /// What came of checking what the image says of it.
    composefs: Vec<Checked>,
    /// That the image's layers make it.
    fact: Fact,
}

/// The metadata image that the layers make. Where the image that had the name is known to be made of the same layers, there is
/// nothing to do but to look whether its metadata image is still the right one.
fn make_image(
    staging: &Staging<'_>,
    image: &ResolvedImage,
    request: &Request<'_>,
    before: Option<&ImageRecord>,
) -> Result<Made, PullError> {
    let (store, limits) = (staging.store(), request.limits);
    let diff_ids: Vec<DiffId> = image.layers.iter().map(|layer| layer.diff_id).collect();
    let rule = merged::rule(XattrRule::default(), limits);
    let made = |id, size_bytes| store.layers_make(diff_ids.iter().copied(), &rule, &id, size_bytes);
    // What is said of it is compared with the tree.
    if let Some(before) = before.filter(|_| image.composefs.is_empty()) {
        let (metadata_image, size_bytes) = (before.metadata_image, before.metadata_image_size_bytes);
        let fact = made(metadata_image, size_bytes);
        if store.remembers(&fact) && store.check_metadata_image(&metadata_image)? == ObjectState::Good {
            return Ok(Made { metadata_image, size_bytes, composefs: Vec::new(), fact });
        }
    }
    let (tree, memory_bytes) = merge(store, &diff_ids, XattrRule::default(), limits)?;
    let left = Limits { memory_bytes: limits.memory_bytes.saturating_sub(memory_bytes), ..limits };
    let refuse = request.refuse_wrong_claims;
    let composefs = composefs::check_image(store, image, &diff_ids, &tree, (left, refuse))?;
    let (metadata_image, size_bytes) = write_image(staging, &tree)?;
    Ok(Made { metadata_image, size_bytes, composefs, fact: made(metadata_image, size_bytes) })
}

/// What `check` says of the image whose record that is.
fn ask(staging: &Staging<'_>, record: &ImageRecord, check: Check<'_>) -> Result<Accepted, PullError> {
    let packs = match record.objects {
        ObjectForm::Files => Vec::new(),
        ObjectForm::Packs => staging.store().image_packs(record)?,
    };
    check(&Rebuilt { record, packs: &packs, staging }).map_err(PullError::Refused)
}

/// Removes what a pull has brought for nothing: all of an image that is no image, and what was begun of one that there is no
/// room for. What was there before stays, and so does what came of a transfer that was interrupted.
fn take_back(store: &Store, discard: &Discard<'_>) {
    // The pull's own error is the one to tell; what stays now goes with the next gc.
    _ = store.discard(discard, &objects_of_image);
}

/// Layers with their numbers.
type Numbered<'a> = Vec<(usize, &'a Layer)>;

/// The layers of an image, each once.
#[derive(Default)]
struct Layers<'a> {
    /// Those to be read.
    missing: Numbered<'a>,
    /// Those that the store has in the other form.
    convertible: Numbered<'a>,
    /// Those that it has.
    known: Numbered<'a>,
}

fn find_missing<'a>(
    held: &mut Held<'_>,
    source: &dyn ImageSource,
    image: &'a ResolvedImage,
    form: ObjectForm,
) -> Result<Layers<'a>, PullError> {
    let mut layers = Layers::default();
    let mut seen = HashSet::new();
    for (number, layer) in image.layers.iter().enumerate() {
        if !seen.insert(layer.diff_id) {
            continue;
        }
        let kind = if held.has(&layer.diff_id, form)? {
            &mut layers.known
        } else if held.has(&layer.diff_id, form.other())? {
            &mut layers.convertible
        } else {
            layers.missing.push((number, layer));
            continue;
        };
        kind.push((number, layer));
        if source.is_remote() {
            // A pull that was killed right after it had stored the layer has left its download.
            held.store.partial(&layer.descriptor.digest)?.map_or(Ok(()), Partial::remove)?;
        }
    }
    Ok(layers)
}

/// Reads and converts the layers, several at once; the first failure ends the others.
fn bring_all(
    pull: &LayerPull<'_>,
    missing: &[(usize, &Layer)],
    convertible: &[(usize, &Layer)],
) -> Result<(), PullError> {
    let (next, failure) = (AtomicUsize::new(0), Mutex::new(None));
    let layers = missing.len() + convertible.len();
    let work = || {
        while !pull.stop.load(Ordering::Relaxed) {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let brought = if let Some((number, layer)) = missing.get(index) {
                pull.run(*number, layer)
            } else if let Some((number, layer)) = convertible.get(index.saturating_sub(missing.len())) {
                pull.convert(*number, layer)
            } else {
                return;
            };
            if let Err(error) = brought {
                // The one that came first; the others fail because of it, and only then.
                failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
                pull.stop.store(true, Ordering::Relaxed);
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..layers.min(LAYERS_AT_ONCE) {
            scope.spawn(work);
        }
    });
    failure.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
}

/// Puts layers together that the store has, the lowest first, and writes the metadata image that they make into `staging`,
/// which is yet to be committed. Answers with its digest and size in bytes: the same that a pull of an image of these layers
/// comes to.
///
/// # Errors
/// [`LayerMissing`](StoreError::LayerMissing) in [`PullError::Store`]; what else a pull says of its layers.
pub fn merge_layers(
    staging: &Staging<'_>,
    layers: &[DiffId],
    limits: Limits,
) -> Result<(ObjectId, u64), PullError> {
    let (tree, _) = merge(staging.store(), layers, XattrRule::default(), limits)?;
    write_image(staging, &tree)
}

fn write_image(staging: &Staging<'_>, tree: &Tree) -> Result<(ObjectId, u64), PullError> {
    let mut writer = staging.metadata_image_writer()?;
    erofs::write_metadata_image(tree, FormatVersion::V1, &mut writer)?;
    let size_bytes = writer.size_bytes();
    Ok((writer.finish()?, size_bytes))
}

fn record_of(
    image: &ResolvedImage,
    request: &Request<'_>,
    metadata_image: ObjectId,
    size_bytes: u64,
) -> ImageRecord {
    let layers = image.layers.iter().map(|layer| {
        LayerDescriptor::new(layer.diff_id, layer.descriptor.digest, layer.descriptor.size_bytes)
    });
    let mut record = ImageRecord::new(
        request.name.to_string(),
        image.manifest.digest,
        image.config.digest,
        metadata_image,
    );
    record.index = request.index.map(|(digest, _)| digest);
    let asked_for = request.pulled_as.map(ToString::to_string);
    record.pulled_as = asked_for.filter(|asked_for| *asked_for != record.name);
    record.platform = image.platform.as_ref().map(ToString::to_string).unwrap_or_default();
    record.metadata_image_size_bytes = size_bytes;
    record.layers = layers.collect();
    // A clock before 1970 is no reason to fail.
    record.pulled_unix_seconds =
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    record
}
