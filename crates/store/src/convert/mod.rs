//! An image from one form into the other.

mod layer;

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use sealpack_format::digest::DiffId;

use crate::error::{Error, Result};
use crate::observer::{Event, Observer, Phase};
use crate::packs::LayerPack;
use crate::refs::{ImageRecord, ObjectForm};
use crate::staging::{Staged, Staging};
use crate::store::Store;

/// The most layers that are converted at once.
const LAYERS_AT_ONCE: usize = 4;

/// What came of a conversion.
#[derive(Debug)]
pub struct Converted {
    /// What the store now has under the name.
    pub record: ImageRecord,
    /// The number of layers that were converted; the others were there in the new form.
    pub layers: usize,
    /// What was added to the store.
    pub added: Staged,
}

impl Store {
    /// Keeps the image under its name in that form from now on, without fetching anything. What was
    /// needed for the other form stays until [`gc`](Self::gc).
    ///
    /// The name changes last; failing, this leaves the store as it was. Other names of the same image
    /// keep their form.
    ///
    /// # Errors
    /// [`Error::LayerIncomplete`] when a layer is not there undamaged in either form; [`Error::TooManyPacks`];
    /// [`Error::PackAlgorithm`]; [`Error::Pack`]; [`Error::NameChanged`]; [`Error::NoRoom`]; [`Error::Locked`]; failures
    /// of the system.
    pub fn convert(
        &self,
        record: &ImageRecord,
        to: ObjectForm,
        observer: &dyn Observer,
    ) -> Result<Converted> {
        self.check_form(to)?;
        let staging = self.stage()?;
        let mut seen = HashSet::new();
        let mut missing = Vec::new();
        for layer in record.layers.iter().map(|layer| layer.diff_id).filter(|layer| seen.insert(*layer)) {
            if !self.has_layer(&layer, to)? {
                missing.push(layer);
            }
        }
        self.check_room(self.bytes_to_convert(&missing, to)?)?;
        observer.event(&Event::Began { phase: Phase::Convert, items: Some(missing.len() as u64) });
        convert_all(&staging, &missing, to, observer)?;
        // Once more when the name is changed: what is committed before takes its time.
        self.check_same(record)?;
        let added = staging.figures();
        let converted = staging.publish_form(record, to)?;
        Ok(Converted { record: converted, layers: missing.len(), added })
    }
}

impl Store {
    /// The packs that an image has or would have, in whichever form it is kept: which pack a layer has follows from the
    /// layer. Where it is not known yet, it is found out from the layer's files, and remembered; the pack is not kept.
    /// None in a store whose objects cannot be in packs.
    ///
    /// # Errors
    /// [`Error::LayerIncomplete`] when a layer is not there undamaged; [`Error::Locked`]; failures of the system.
    pub fn derived_packs(&self, record: &ImageRecord) -> Result<Vec<LayerPack>> {
        if self.check_form(ObjectForm::Packs).is_err() {
            return Ok(Vec::new());
        }
        let mut unknown = Vec::new();
        for layer in record.layers.iter().map(|layer| layer.diff_id) {
            if self.pack_record(&layer)?.is_none() {
                unknown.push(layer);
            }
        }
        // What is known is only read.
        if !unknown.is_empty() {
            let staging = self.stage()?;
            for layer in unknown {
                if !staging.convert_layer(&layer, ObjectForm::Packs)? {
                    return Err(Error::LayerIncomplete(layer));
                }
                staging.leave_out_packs()?;
            }
            staging.commit()?;
        }
        self.image_packs(record)
    }
}

/// Converts the layers, several at once; the first failure ends the others.
fn convert_all(
    staging: &Staging<'_>,
    layers: &[DiffId],
    to: ObjectForm,
    observer: &dyn Observer,
) -> Result<()> {
    let (next, failure) = (AtomicUsize::new(0), Mutex::new(None));
    let work = || {
        while let Some(layer) = layers.get(next.fetch_add(1, Ordering::Relaxed)) {
            let error = match staging.convert_layer(layer, to) {
                Ok(true) => None,
                Ok(false) => Some(Error::LayerIncomplete(*layer)),
                Err(error) => Some(error),
            };
            if let Some(error) = error {
                failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
                next.store(layers.len(), Ordering::Relaxed);
            }
            observer.event(&Event::Advanced { items: 1, bytes: 0 });
        }
    };
    std::thread::scope(|scope| {
        (1..layers.len().min(LAYERS_AT_ONCE)).for_each(|_| drop(scope.spawn(work)));
        work();
    });
    failure.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
}
