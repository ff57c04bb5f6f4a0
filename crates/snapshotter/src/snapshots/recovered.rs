//! Layers that the store has lost, and whose blobs containerd still has: they are taken in once more.
//!
//! Which blob is a layer containerd says of those that it has applied. A containerd that discards the blobs of what it has
//! unpacked, or that fetched none since the store had the layer, has nothing to give.

use std::collections::BTreeSet;
use std::sync::PoisonError;

use sealpack_format::DiffId;
use sealpack_store::{ChainId, Staging};

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
            let own = Some(namespace_of(name)).filter(|_| name.contains('/')).map(str::to_owned);
            let others = state.rows().map(|(name, _)| name).filter(|name| name.contains('/'));
            let others: BTreeSet<String> = others.map(|name| namespace_of(name).to_owned()).collect();
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
        for layer in &layers {
            let is_there = self.store.has_layer(layer, form)?
                || self.store.has_layer(layer, sealpack_store::ObjectForm::Files)?;
            if !is_there && !self.recover_layer(&staging, layer, namespaces, blobs)? {
                return Ok(Recovered::NoBlob(*layer));
            }
        }
        match self.hold_again(chain, Some(layers.clone()))? {
            true => Ok(Recovered::Done),
            false => Ok(layers.last().copied().map_or(Recovered::Unknown, Recovered::NoBlob)),
        }
    }

    /// Takes in the blob of a layer from the first namespace that has it. Answers whether one has.
    fn recover_layer(
        &self,
        staging: &Staging<'_>,
        layer: &DiffId,
        namespaces: &[String],
        blobs: &impl Blobs,
    ) -> Result<bool, Error> {
        for namespace in namespaces {
            let found: Vec<(DiffId, Blob)> = blobs.layers(namespace).map_err(Error::Content)?;
            let Some((_, blob)) = found.into_iter().find(|(is, _)| is == layer) else { continue };
            let form = usual_form(&self.store);
            let applied = self.taken_in(staging, &blob, form, || blobs.open(namespace, &blob.digest))?;
            if applied.layer != *layer {
                return Err(Error::OtherLayer { blob: blob.digest, is: applied.layer, said: *layer });
            }
            return Ok(true);
        }
        Ok(false)
    }
}
