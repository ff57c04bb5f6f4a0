//! Which layers the store has, by chain ID: those that are held, and those of its images.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use sealpack_format::DiffId;
use sealpack_store::{Chain, ChainId, ImageRecord, ObjectForm, Staging, Store};

use crate::error::Error;

/// An index of the layers that the store's images have.
#[derive(Debug, Default)]
pub(crate) struct Index(Mutex<Images>);

#[derive(Debug, Default)]
struct Images {
    /// When the names were changed that this was made of.
    changed: Option<SystemTime>,
    records: Vec<ImageRecord>,
    /// An image by each chain of its lowest layers, and how many these are.
    chains: HashMap<ChainId, (usize, usize)>,
}

impl Index {
    /// The layers of a chain, if an image of the store has them at its bottom.
    pub(crate) fn layers(&self, store: &Store, chain: &ChainId) -> Result<Option<Vec<DiffId>>, Error> {
        self.with(store, |images| {
            let (image, count) = images.chains.get(chain)?;
            Some(images.records[*image].layers[..*count].iter().map(|layer| layer.diff_id).collect())
        })
    }

    /// An image of exactly these layers, one with a seal before others.
    pub(crate) fn image(&self, store: &Store, layers: &[DiffId]) -> Result<Option<ImageRecord>, Error> {
        self.with(store, |images| {
            let is_of_them =
                |record: &&ImageRecord| record.layers.iter().map(|layer| &layer.diff_id).eq(layers);
            images.records.iter().filter(is_of_them).max_by_key(|record| record.statement.is_some()).cloned()
        })
    }

    fn with<T>(&self, store: &Store, look: impl FnOnce(&Images) -> T) -> Result<T, Error> {
        let mut images = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = store.names_changed()?;
        if images.changed != Some(changed) {
            *images = Images::of(store.images()?.records);
            // A name that changes right now may keep the time: such an index is used once.
            let is_settled = changed.elapsed().is_ok_and(|age| age.as_secs() >= 1);
            images.changed = is_settled.then_some(changed);
        }
        Ok(look(&images))
    }
}

impl Images {
    fn of(records: Vec<ImageRecord>) -> Self {
        let mut chains = HashMap::new();
        for (image, record) in records.iter().enumerate() {
            let layers: Vec<DiffId> = record.layers.iter().map(|layer| layer.diff_id).collect();
            chains.extend(ChainId::all_of(&layers).zip(1..).map(|(chain, count)| (chain, (image, count))));
        }
        Self { changed: None, records, chains }
    }
}

/// The form that layers are in, all of them, after those that are not were converted. `None` when the store has not all
/// of them.
pub(crate) fn in_one_form(staging: &Staging<'_>, layers: &[DiffId]) -> Result<Option<ObjectForm>, Error> {
    let store = staging.store();
    let forms = match store.check_form(ObjectForm::Packs) {
        Ok(()) => &[ObjectForm::Packs, ObjectForm::Files][..],
        Err(_) => &[ObjectForm::Files][..],
    };
    let mut missing: Vec<Vec<DiffId>> = Vec::new();
    for form in forms {
        let mut lacks = Vec::new();
        for layer in layers {
            if !store.has_layer(layer, *form)? {
                lacks.push(*layer);
            }
        }
        if lacks.is_empty() {
            return Ok(Some(*form));
        }
        missing.push(lacks);
    }
    let nowhere = |layer: &DiffId| missing.iter().all(|lacks| lacks.contains(layer));
    if layers.iter().any(nowhere) {
        return Ok(None);
    }
    let (form, lacks) = (forms[0], &missing[0]);
    store.check_room(store.bytes_to_convert(lacks, form)?)?;
    for layer in lacks {
        if !staging.convert_layer(layer, form)? {
            return Ok(None);
        }
    }
    staging.commit()?;
    Ok(Some(form))
}

/// The form of what is based on nothing.
pub(crate) fn usual_form(store: &Store) -> ObjectForm {
    match store.check_form(ObjectForm::Packs) {
        Ok(()) => ObjectForm::Packs,
        Err(_) => ObjectForm::Files,
    }
}

/// The chain with that ID, if it is held. A record that is damaged is as good as none: it is written again.
pub(crate) fn try_held(store: &Store, id: &ChainId) -> Result<Option<Chain>, Error> {
    match store.held_chain(id) {
        Err(sealpack_store::Error::RefDamaged(_)) => Ok(None),
        other => Ok(other?),
    }
}

/// The chain with that ID, if it is held and the store has all its layers.
pub(crate) fn whole(store: &Store, id: &ChainId) -> Result<Option<Chain>, Error> {
    let Some(chain) = try_held(store, id)? else { return Ok(None) };
    for layer in &chain.layers {
        if !store.has_layer(layer, chain.objects)? {
            return Ok(None);
        }
    }
    Ok(Some(chain))
}

/// The chain with that ID, which must be held.
pub(crate) fn held(store: &Store, id: &ChainId) -> Result<Chain, Error> {
    try_held(store, id)?.ok_or_else(|| Error::ChainLost(id.to_string()))
}
