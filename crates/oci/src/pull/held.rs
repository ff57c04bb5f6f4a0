//! What the store has of an image's layers.

use std::collections::HashMap;

use sealpack_format::DiffId;
use sealpack_store::{Error, ObjectForm, Store};

/// Which layers the store has in which form, each looked at once. Only while the store's lock is held, so that nothing goes.
pub(super) struct Held<'s> {
    pub(super) store: &'s Store,
    known: HashMap<(DiffId, ObjectForm), bool>,
}

impl<'s> Held<'s> {
    pub(super) fn new(store: &'s Store) -> Self {
        Self { store, known: HashMap::new() }
    }

    /// Whether the store has the layer in that form, whole.
    pub(super) fn has(&mut self, layer: &DiffId, form: ObjectForm) -> Result<bool, Error> {
        if let Some(known) = self.known.get(&(*layer, form)) {
            return Ok(*known);
        }
        let has = self.store.has_layer(layer, form)?;
        self.known.insert((*layer, form), has);
        Ok(has)
    }
}
