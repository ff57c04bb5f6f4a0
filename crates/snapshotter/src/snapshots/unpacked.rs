//! Layers that containerd unpacked itself, as 1.6 does it, which asks nobody else to: they are taken into the store
//! afterwards, from the blobs that containerd still has.
//!
//! Which blob that is follows from the snapshot's name: its chain ID is that of the layers below with the blob's own on top.
//! Snapshots that were made before go on with the directory, which is removed after the last of them.

use std::io::{self, Read};

use sealpack_format::{BlobDigest, DiffId};
use sealpack_store::{Chain, ChainId};

use super::apply::{Blob, namespace_of};
use super::layers::{Below, below};
use super::{Kind, Snapshotter};
use crate::chains::held;
use crate::error::Error;
use crate::state::{Change, Row, State, Unpacked};

/// What a containerd has of layers.
pub trait Blobs {
    /// The blobs of layers that a namespace has, with what they are unpacked, as far as containerd knows it.
    ///
    /// # Errors
    /// When containerd does not say.
    fn layers(&self, namespace: &str) -> io::Result<Vec<(DiffId, Blob)>>;

    /// Begins to read one of them.
    ///
    /// # Errors
    /// When it cannot be read.
    fn open(&self, namespace: &str, blob: &BlobDigest) -> io::Result<Box<dyn Read + Send>>;
}

/// What became of a layer that waited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TakenIn {
    /// The store has it.
    Done,
    /// containerd has no blob of it that it says so of. It does so a moment after the snapshot is committed.
    NoBlob,
}

impl Snapshotter {
    /// The snapshots whose layers can be taken in now, since those below are there: the oldest first.
    #[must_use]
    pub fn unpacked(&self) -> Vec<String> {
        let state = self.state();
        let mut waiting: Vec<(u64, &str)> = state
            .rows()
            .filter(|(_, row)| row.unpacked == Some(Unpacked::Waits) && on_layers(&state, row).is_ok())
            .map(|(name, row)| (row.id, name))
            .collect();
        waiting.sort_unstable();
        waiting.into_iter().map(|(_, name)| name.to_owned()).collect()
    }

    /// Takes in the layer that containerd unpacked into a snapshot.
    ///
    /// # Errors
    /// [`Error::NotFound`] for a snapshot that is gone; [`Error::Content`] where containerd's word cannot be had; as
    /// [`apply`](Self::apply).
    pub fn take_in_unpacked(&self, name: &str, blobs: &impl Blobs) -> Result<TakenIn, Error> {
        let (row, target, parent) = {
            let state = self.state();
            let row = state.get(name)?.clone();
            let Some(target) = chain_of_name(name) else { return Err(Error::NotFound(name.to_owned())) };
            let parent = on_layers(&state, &row)?;
            (row, target, parent)
        };
        let _holding = self.hold();
        let chain = match self.hold_known(&target, &row.parent)? {
            Some(chain) => chain,
            None => match self.chain_by_blob(name, &target, parent, blobs)? {
                Some(chain) => chain,
                None => return Ok(TakenIn::NoBlob),
            },
        };
        let (layered, usage) = self.highest_of(target, &chain)?;
        {
            let mut state = self.state();
            let current = state.get(name)?.clone();
            if current.id != row.id || current.unpacked != Some(Unpacked::Waits) {
                return Err(Error::NotFound(name.to_owned()));
            }
            let mut row = current;
            row.unpacked = Some(Unpacked::Until(state.new_id()));
            (row.layered, row.usage) = (Some(layered), Some(usage));
            state.change(Change::default().put(name, row))?;
        }
        self.remove_unpacked()?;
        Ok(TakenIn::Done)
    }

    /// Makes a chain of the blob that is the highest layer of `target`.
    fn chain_by_blob(
        &self,
        name: &str,
        target: &ChainId,
        parent: Option<ChainId>,
        blobs: &impl Blobs,
    ) -> Result<Option<Chain>, Error> {
        let namespace = namespace_of(name);
        let is_it = |layer: &DiffId| match &parent {
            Some(parent) => parent.with(layer) == *target,
            None => ChainId::of(&[*layer]).as_ref() == Some(target),
        };
        let found = blobs.layers(namespace).map_err(Error::Content)?;
        let Some((layer, blob)) = found.into_iter().find(|(layer, _)| is_it(layer)) else { return Ok(None) };
        let below = parent.map(|parent| held(&self.store, &parent)).transpose()?;
        let form = self.form_on(below.as_ref());
        let staging = self.store.stage()?;
        let applied = self.taken_in(&staging, &blob, form, || blobs.open(namespace, &blob.digest))?;
        if applied.layer != layer {
            return Err(Error::OtherLayer { blob: blob.digest, is: applied.layer, said: layer });
        }
        let mut layers = below.map(|below| below.layers).unwrap_or_default();
        layers.push(layer);
        let chain = Chain::new(layers, form);
        self.store.hold_chain(&chain)?;
        Ok(Some(chain))
    }

    /// Removes directories that containerd unpacked layers into which the store has, and which no snapshot may be mounted with.
    pub(super) fn remove_unpacked(&self) -> Result<(), Error> {
        let mut state = self.state();
        let unused: Vec<(String, Row)> = state
            .rows()
            .filter_map(|(name, row)| match row.unpacked {
                Some(Unpacked::Until(id)) => Some((name, row, id)),
                _ => None,
            })
            .filter(|(name, _, id)| !is_below_older(&state, name, *id))
            .map(|(name, row, _)| (name.to_owned(), row.clone()))
            .collect();
        for (name, mut row) in unused {
            // While the state is ours nobody asks for it.
            self.directories.remove(row.id)?;
            row.unpacked = None;
            state.change(Change::default().put(name, row))?;
        }
        Ok(())
    }
}

/// The chain of the layers that a snapshot is based on, which may be none.
fn on_layers(state: &State, row: &Row) -> Result<Option<ChainId>, Error> {
    match below(state, &row.parent)?.first() {
        Some(Below::Layers(chain)) => Ok(Some(*chain)),
        Some(Below::Directory(_)) => Err(Error::OnDirectory(row.parent.clone())),
        None => Ok(None),
    }
}

/// Whether a snapshot that is not committed is based on `name`, and is older than `id`.
fn is_below_older(state: &State, name: &str, id: u64) -> bool {
    state
        .rows()
        .filter(|(_, row)| row.kind != Kind::Committed && row.id < id)
        // What cannot be told counts as based on it.
        .any(|(_, row)| state.ancestry(&row.parent).map_or(true, |all| all.iter().any(|(it, _)| *it == name)))
}

/// The chain that a committed snapshot is called by, behind the namespace and a number.
pub(super) fn chain_of_name(name: &str) -> Option<ChainId> {
    name.rsplit('/').next()?.parse().ok()
}
