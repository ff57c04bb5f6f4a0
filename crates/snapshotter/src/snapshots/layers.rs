//! Snapshots that are layers of the store.

use std::collections::HashSet;
use std::sync::{PoisonError, RwLockReadGuard, TryLockError};

use sealpack_store::{Chain, ChainId, ObjectForm};

use super::Snapshotter;
use super::unpacked::chain_of_name;
use crate::chains::{held, in_one_form, try_held};
use crate::error::Error;
use crate::state::{Kind, Layered, Row, State, Unpacked, Usage};

/// What a snapshot is based on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Below {
    /// What was written to the directory of a snapshot.
    Directory(u64),
    /// Layers, all that there are below.
    Layers(ChainId),
}

/// The snapshot `name` and what is below it, the highest first.
pub(super) fn below(state: &State, name: &str) -> Result<Vec<Below>, Error> {
    let mut below = Vec::new();
    for (_, row) in state.ancestry(name)? {
        match row.layered {
            Some(Layered { chain, .. }) => {
                below.push(Below::Layers(chain));
                break;
            }
            None => below.push(Below::Directory(row.id)),
        }
    }
    Ok(below)
}

impl Snapshotter {
    pub(super) fn hold(&self) -> RwLockReadGuard<'_, ()> {
        self.holding.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// What an active snapshot with an applied layer is when it is committed. `None` for one with none, and for one that was
    /// written to besides.
    ///
    /// `onto`, if it is not empty, is the parent that it gets only now: then its layer is that one's with this one on top.
    pub(super) fn layered_on(&self, active: &Row, name: &str, onto: &str) -> Result<Option<Layered>, Error> {
        let Some(layered) = active.layered else { return Ok(None) };
        if !self.directories.is_empty(active.id)? {
            return Ok(None);
        }
        // One that had all its layers from the beginning needs none of its parent's.
        if onto.is_empty() || chain_of_name(name) == Some(layered.chain) {
            return Ok(Some(layered));
        }
        let parent = below(&self.state(), onto)?;
        let Some(Below::Layers(parent)) = parent.first().copied() else {
            return Err(Error::OnDirectory(onto.to_owned()));
        };
        let chain = parent.with(&layered.layer);
        // A parent that it was prepared with is in its chain already.
        if layered.chain != chain && try_held(&self.store, &chain)?.is_none() {
            let Chain { mut layers, objects, .. } = held(&self.store, &parent)?;
            layers.push(layered.layer);
            let staging = self.store.stage()?;
            // It was applied before anybody knew in which form those below it are.
            let form = match self.store.has_layer(&layered.layer, objects)? {
                true => objects,
                false => {
                    in_one_form(&staging, &layers)?.ok_or_else(|| Error::ChainLost(chain.to_string()))?
                }
            };
            self.store.hold_chain(&Chain::new(layers, form))?;
        }
        Ok(Some(Layered { chain, ..layered }))
    }

    /// What a layer takes.
    pub(super) fn usage_of(&self, layered: &Layered) -> Result<Usage, Error> {
        self.usage_in(layered, held(&self.store, &layered.chain)?.objects)
    }

    /// The highest layer of a chain that is held under `id`, and what it takes.
    pub(super) fn highest_of(&self, id: ChainId, chain: &Chain) -> Result<(Layered, Usage), Error> {
        let layered = Layered { chain: id, layer: *chain.layers.last().expect("a chain has layers") };
        Ok((layered, self.usage_in(&layered, chain.objects)?))
    }

    fn usage_in(&self, layered: &Layered, form: ObjectForm) -> Result<Usage, Error> {
        let (size_bytes, inodes) = self.store.layer_usage(&layered.layer, form)?;
        Ok(Usage { size_bytes, inodes })
    }

    /// Unmounts and releases what no snapshot needs; answers with what went wrong.
    pub(super) fn sweep_layers(&self) -> Result<Vec<Error>, Error> {
        // While a layer comes in, which can take long, the next sweep will do.
        let _alone = match self.holding.try_write() {
            Ok(alone) => alone,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return Ok(Vec::new()),
        };
        let (needed, mounted) = {
            let state = self.state();
            // Nobody knows what such a row needs.
            if state.broken().next().is_some() {
                return Ok(Vec::new());
            }
            let of_rows = state.rows().filter_map(|(_, row)| Some(row.layered?.chain));
            let needed: HashSet<ChainId> = of_rows.chain(state.adopted().iter().copied()).collect();
            (needed, mounted(&state))
        };
        let problems = self.bases.sweep(&mounted)?;
        for chain in self.store.held_chains()?.iter().filter(|chain| !needed.contains(chain)) {
            self.store.release_chain(chain)?;
        }
        Ok(problems)
    }
}

/// The chains whose mounts are to stay: those of images, which are based on by no other layer, and those that what is not committed
/// is based on. A layer in the middle is mounted only while containerd unpacks the next one.
pub(super) fn mounted(state: &State) -> HashSet<ChainId> {
    let layers = || state.rows().filter_map(|(name, row)| Some((name, row, row.layered?.chain)));
    let middle: HashSet<&str> = layers()
        .filter(|(_, row, _)| row.kind == Kind::Committed)
        .map(|(_, row, _)| row.parent.as_str())
        .collect();
    let tops = layers().filter(|(name, _, _)| !middle.contains(name)).map(|(_, _, chain)| chain);
    let based = state.rows().filter(|(_, row)| row.kind != Kind::Committed);
    let based = based.filter_map(|(_, row)| mounted_with(state, row));
    tops.chain(based).collect()
}

/// The layers that a snapshot is mounted with, as they were when it was made: what containerd unpacked was a directory then, and may
/// be one of the store's layers by now.
fn mounted_with(state: &State, row: &Row) -> Option<ChainId> {
    let was_directory = |below: &Row| matches!(below.unpacked, Some(Unpacked::Until(id)) if row.id < id);
    let all = state.ancestry(&row.parent).ok()?;
    all.into_iter()
        .filter(|(_, below)| !was_directory(below))
        .find_map(|(_, below)| Some(below.layered?.chain))
}
