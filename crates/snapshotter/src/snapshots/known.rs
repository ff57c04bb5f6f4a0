//! Layers that the store has, so that containerd need not fetch them.

use sealpack_format::DiffId;
use sealpack_store::{Chain, ChainId};

use super::{Snapshotter, check_new, is_extraction};
use crate::chains::{held, in_one_form, try_held};
use crate::error::Error;
use crate::mounts::{self, Mount};
use crate::state::{Change, Kind, Labels, Layered, Row, State, Usage};

/// The label with the chain ID of the snapshot that containerd would like to have.
const TARGET: &str = "containerd.io/snapshot.ref";

impl Snapshotter {
    /// Commits the snapshot that containerd would like to have, if the store has its layers, or finds it among those that
    /// there are: one for each chain and parent, which containerd looks for by its label and parent.
    ///
    /// A containerd that unpacks layers in parallel says the parent only when it commits. Of a chain of several layers it gets
    /// an active snapshot then that has the layer already, and what to mount for it.
    ///
    /// # Errors
    /// [`Error::TargetExists`] when it is there then: containerd takes that for an answer.
    pub(super) fn answer_known(
        &self,
        key: &str,
        parent: &str,
        labels: &Labels,
    ) -> Result<Option<Mount>, Error> {
        // Another text than a chain ID is not one of ours.
        let Some(target) = labels.get(TARGET).and_then(|target| target.parse::<ChainId>().ok()) else {
            return Ok(None);
        };
        let exists = || Error::TargetExists(target.to_string());
        let there = find(&self.state(), &target, parent);
        if let Some(usage) = there {
            self.metrics.asked_for_chain(Some(usage.size_bytes));
            return Err(exists());
        }
        let _holding = self.hold();
        let Some(chain) = self.hold_known(&target, parent)? else {
            self.metrics.asked_for_chain(None);
            return Ok(None);
        };
        let (layered, usage) = self.highest_of(target, &chain)?;
        self.metrics.asked_for_chain(Some(usage.size_bytes));
        if parent.is_empty() && chain.layers.len() > 1 && is_extraction(key) {
            return self.stage(key, labels.clone(), layered).map(Some);
        }
        let mut state = self.state();
        if find(&state, &target, parent).is_some() {
            return Err(exists());
        }
        super::check_parent(&state, parent)?;
        let id = state.new_id();
        let plain = target.to_string();
        let name = if state.is_free(&plain) { plain } else { format!("{plain}@{id}") };
        let row = Row::new(id, Kind::Committed, parent.to_owned(), Labels::new());
        state.change(Change::default().put(name, row.committed(labels.clone(), usage, Some(layered))))?;
        Err(exists())
    }

    /// Makes an active snapshot that has its layers already, and gets its parent when it is committed. That its mount is
    /// read-only tells containerd (2.4 and later) to fetch and apply nothing; an older one applies the layer once more, which
    /// changes nothing.
    fn stage(&self, key: &str, labels: Labels, layered: Layered) -> Result<Mount, Error> {
        let mut state = self.state();
        check_new(&state, key, "")?;
        let id = state.new_id();
        self.directories.make(id, None)?;
        let mut row = Row::new(id, Kind::Active, String::new(), labels);
        row.layered = Some(layered);
        if let Err(error) = state.change(Change::default().put(key, row)) {
            drop(state);
            _ = self.directories.remove(id);
            return Err(error);
        }
        Ok(mounts::of(&[], None, &self.directories.content(id)))
    }

    /// The layers of a chain, held, if the store has all of them.
    pub(super) fn hold_known(&self, target: &ChainId, parent: &str) -> Result<Option<Chain>, Error> {
        if let Some(chain) = try_held(&self.store, target)? {
            return Ok(Some(chain));
        }
        let Some(layers) = self.index.layers(&self.store, target)? else { return Ok(None) };
        let staging = self.store.stage()?;
        let form = match self.parents_form(parent, &layers)? {
            Some(form) if staging.store().has_layer(layers.last().expect("a chain has layers"), form)? => {
                form
            }
            _ => match in_one_form(&staging, &layers)? {
                Some(form) => form,
                None => return Ok(None),
            },
        };
        let chain = Chain::new(layers, form);
        self.store.hold_chain(&chain)?;
        Ok(Some(chain))
    }

    /// The form of all layers but the last, if they are those of the parent: these need no looking at.
    fn parents_form(
        &self,
        parent: &str,
        layers: &[DiffId],
    ) -> Result<Option<sealpack_store::ObjectForm>, Error> {
        let parent = match parent {
            "" => return Ok(None),
            parent => self.state().get(parent)?.layered,
        };
        let Some(Layered { chain, .. }) = parent else { return Ok(None) };
        let below = held(&self.store, &chain)?;
        Ok((below.layers == layers[..layers.len() - 1]).then_some(below.objects))
    }
}

/// Whether a client that is not containerd's own prepares a snapshot to get the layer that it says: whoever does that has the chain ID
/// in the key, behind a space. A container's key has not, whatever its labels say: these may be a pod's annotations.
pub(super) fn is_of_target(key: &str, labels: &Labels) -> bool {
    labels.get(TARGET).is_some_and(|target| key.rsplit_once(' ').is_some_and(|(_, last)| last == target))
}

/// What the snapshot takes that containerd would find for a chain on a parent, if there is one.
fn find(state: &State, target: &ChainId, parent: &str) -> Option<Usage> {
    let is_it = |row: &Row| {
        row.kind == Kind::Committed
            && row.parent == parent
            && row.labels.get(TARGET).is_some_and(|label| *label == target.to_string())
    };
    let found = state.rows().find(|(_, row)| is_it(row));
    found.map(|(_, row)| row.usage.unwrap_or_default())
}
