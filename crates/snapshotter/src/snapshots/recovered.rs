//! Layers that the store has lost, and whose blobs containerd still has: they are taken in once more.
//!
//! Which blob is a layer containerd says of those that it has applied. A containerd that discards the blobs of what it has
//! unpacked, or that fetched none since the store had the layer, has nothing to give.

use std::collections::{BTreeSet, HashMap};
use std::sync::PoisonError;

use sealpack_format::DiffId;
use sealpack_store::{ChainId, ObjectForm};

use super::apply::{Blob, namespace_of};
use super::lost::layers_of;
use super::unpacked::Blobs;
use super::{Notice, Snapshotter};
use crate::chains::{usual_form, whole};
use crate::error::Error;

/// What became of a snapshot whose layers were lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recovered {
    /// The store has them.
    Done,
    /// No blob is that layer.
    NoBlob(DiffId),
    /// It cannot be told which layers they were: rows below it are gone.
    Unknown,
}

impl Snapshotter {
    /// The snapshots whose layers the store has lost, as far as that was noticed.
    #[must_use]
    pub fn lost(&self) -> Vec<String> {
        let mut lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
        let state = self.state();
        lost.retain(|name| state.get(name).is_ok_and(|row| row.layered.is_some()));
        lost.iter().cloned().collect()
    }

    /// Notes those of which that is said.
    pub(super) fn note_lost(&self, notices: &[Notice]) {
        let mut lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
        lost.extend(notices.iter().filter_map(|notice| match notice {
            Notice::LayersLost { name, .. } => Some(name.clone()),
            _ => None,
        }));
    }

    /// Has it noticed where something failed since layers of `name` are gone: that is the failure then.
    pub(super) fn noticed<T>(&self, name: &str, done: Result<T, Error>) -> Result<T, Error> {
        let Err(error) = done else { return done };
        let Some((name, chain)) = self.chain_below(name) else { return Err(error) };
        // Why it cannot be told is not what is asked.
        if !matches!(whole(&self.store, &chain), Ok(None)) {
            return Err(error);
        }
        self.lost.lock().unwrap_or_else(PoisonError::into_inner).insert(name);
        self.tell();
        Err(Error::ChainLost(chain.to_string()))
    }

    /// The highest snapshot of layers that `name` is or is based on.
    fn chain_below(&self, name: &str) -> Option<(String, ChainId)> {
        let state = self.state();
        let ancestry = state.ancestry(name).ok()?;
        ancestry.into_iter().find_map(|(name, row)| Some((name.to_owned(), row.layered?.chain)))
    }

    /// Takes the layers of a snapshot in that the store has lost.
    ///
    /// # Errors
    /// [`Error::NotFound`] for a snapshot that is gone; [`Error::Content`] where containerd's word cannot be had; as
    /// [`apply`](Self::apply).
    pub fn recover(&self, name: &str, blobs: &impl Blobs) -> Result<Recovered, Error> {
        let (chain, layers, namespaces) = {
            let state = self.state();
            let chain = state.get(name)?.layered.ok_or_else(|| Error::NotFound(name.to_owned()))?.chain;
            let of = |name: &str| name.contains('/').then(|| namespace_of(name).to_owned());
            let mut others: BTreeSet<String> = state.rows().filter_map(|(name, _)| of(name)).collect();
            // Its own is the likeliest.
            let own = of(name).and_then(|own| others.take(&own));
            (chain, layers_of(&state, name), own.into_iter().chain(others).collect::<Vec<_>>())
        };
        let _holding = self.hold();
        let recovered = match layers.filter(|layers| ChainId::of(layers).as_ref() == Some(&chain)) {
            _ if whole(&self.store, &chain)?.is_some() => Recovered::Done,
            // An image may have come meanwhile that says which they are.
            None if self.hold_again(&chain, None)? => Recovered::Done,
            None => Recovered::Unknown,
            Some(layers) => self.recover_layers(&chain, layers, &namespaces, blobs)?,
        };
        if recovered == Recovered::Done {
            self.lost.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
        }
        Ok(recovered)
    }

    fn recover_layers(
        &self,
        chain: &ChainId,
        layers: Vec<DiffId>,
        namespaces: &[String],
        blobs: &impl Blobs,
    ) -> Result<Recovered, Error> {
        // What is taken in stays there until the chain is held.
        let staging = self.store.stage()?;
        let form = usual_form(&self.store);
        // Asked once, by whichever layer is missing first.
        let mut found = None;
        for layer in &layers {
            if self.store.has_layer(layer, form)? || self.store.has_layer(layer, ObjectForm::Files)? {
                continue;
            }
            let found = match &found {
                Some(found) => found,
                None => found.insert(blobs_of(namespaces, blobs)?),
            };
            let Some((namespace, blob)) = found.get(layer) else { return Ok(Recovered::NoBlob(*layer)) };
            let applied = self.taken_in(&staging, blob, form, || blobs.open(namespace, &blob.digest))?;
            if applied.layer != *layer {
                return Err(Error::OtherLayer { blob: blob.digest, is: applied.layer, said: *layer });
            }
        }
        match self.hold_again(chain, Some(layers.clone()))? {
            true => Ok(Recovered::Done),
            false => Ok(layers.last().copied().map_or(Recovered::Unknown, Recovered::NoBlob)),
        }
    }
}

/// The blobs of layers, with the first of these namespaces that has each.
fn blobs_of<'n>(
    namespaces: &'n [String],
    blobs: &impl Blobs,
) -> Result<HashMap<DiffId, (&'n str, Blob)>, Error> {
    let mut found = HashMap::new();
    for namespace in namespaces {
        for (layer, blob) in blobs.layers(namespace).map_err(Error::Content)? {
            found.entry(layer).or_insert((namespace.as_str(), blob));
        }
    }
    Ok(found)
}
