//! What was lost: chains that the store does not hold any more, rows that cannot be read, a database that is gone. What the
//! store still has is put together again; the rest is told by name.

use std::collections::HashMap;

use sealpack_format::DiffId;
use sealpack_store::{Chain, ChainId, ObjectForm};

use super::unpacked::chain_of_name;
use super::{Kind, Notice, Snapshotter};
use crate::chains::{in_one_form, try_held};
use crate::error::Error;
use crate::state::{Change, Labels, Layered, Row, State};

impl Snapshotter {
    /// Holds the chains again that rows have and the store does not hold, and makes rows again that cannot be read and whose
    /// names say which layers they were.
    ///
    /// # Errors
    /// Of the store and of the database. Layers that are gone are no error here.
    pub(super) fn heal(&self) -> Result<Vec<Notice>, Error> {
        let mut notices = Vec::new();
        let lost: Vec<String> = self.state().broken().map(|(name, _)| name.to_owned()).collect();
        for name in lost {
            if self.restore(&name)? {
                notices.push(Notice::Restored { name });
            }
        }
        let _holding = self.hold();
        for (name, layered) in self.not_held()? {
            let layers = layers_of(&self.state(), &name);
            if !self.hold_again(&layered.chain, layers)? {
                notices.push(Notice::LayersLost { name, layer: layered.layer });
            }
        }
        self.note_lost(&notices);
        Ok(notices)
    }

    /// The rows whose chains the store does not hold, or has not all layers of; one for each chain.
    fn not_held(&self) -> Result<Vec<(String, Layered)>, Error> {
        let mut chains: std::collections::BTreeMap<String, (String, Layered)> = self
            .state()
            .rows()
            .filter_map(|(name, row)| {
                let layered = row.layered?;
                Some((layered.chain.to_string(), (name.to_owned(), layered)))
            })
            .collect();
        let mut known = HashMap::new();
        for chain in self.store.held_chains()? {
            let Some(held) = try_held(&self.store, &chain)? else { continue };
            if self.has_packs(&held, &mut known)? {
                chains.remove(&chain.to_string());
            }
        }
        Ok(chains.into_values().collect())
    }

    /// Whether the packs of a chain are there, where it is kept in packs. What else may be gone, or damaged, would take long to
    /// find out at each start: it is noticed when it is used.
    fn has_packs(&self, chain: &Chain, known: &mut HashMap<DiffId, bool>) -> Result<bool, Error> {
        if chain.objects != ObjectForm::Packs {
            return Ok(true);
        }
        for layer in &chain.layers {
            let is_there = match known.get(layer) {
                Some(is_there) => *is_there,
                None => self.store.names_pack(layer)?,
            };
            known.insert(*layer, is_there);
            if !is_there {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Holds a chain of these layers, or of those that an image says, if the store has all of them.
    pub(super) fn hold_again(&self, chain: &ChainId, layers: Option<Vec<DiffId>>) -> Result<bool, Error> {
        let layers = match layers.filter(|layers| ChainId::of(layers).as_ref() == Some(chain)) {
            Some(layers) => layers,
            None => match self.index.layers(&self.store, chain)? {
                Some(layers) => layers,
                None => return Ok(false),
            },
        };
        let staging = self.store.stage()?;
        let Some(form) = in_one_form(&staging, &layers)? else { return Ok(false) };
        self.store.hold_chain(&Chain::new(layers, form))?;
        Ok(true)
    }

    /// Makes the row of a committed snapshot again that is lost or cannot be read, if its name has the chain ID of layers that the
    /// store has. Answers whether it did. Its labels and its parent are known to containerd, which looks nowhere else for them.
    pub(super) fn restore(&self, name: &str) -> Result<bool, Error> {
        if self.state().has(name) {
            return Ok(false);
        }
        // A snapshot that has no namespace is not one of a containerd's own.
        let Some(target) = chain_of_name(name).filter(|_| name.contains('/')) else { return Ok(false) };
        let _holding = self.hold();
        let Some(chain) = self.hold_known(&target, "")? else { return Ok(false) };
        let (layered, usage) = self.highest_of(target, &chain)?;
        let mut state = self.state();
        if state.has(name) {
            return Ok(false);
        }
        let id = state.new_id();
        let row = Row::new(id, Kind::Committed, String::new(), Labels::new());
        let row = row.committed(Labels::new(), usage, Some(layered));
        state.change(Change::default().remove(name).put(name, row))?;
        Ok(true)
    }
}

/// The layers of a snapshot as the rows below it say them, the lowest first.
pub(super) fn layers_of(state: &State, name: &str) -> Option<Vec<DiffId>> {
    let ancestry = state.ancestry(name).ok()?;
    ancestry.iter().rev().map(|(_, row)| Some(row.layered?.layer)).collect()
}
