//! The tree of an image whose layers the store has.

use sealpack_format::DiffId;
use sealpack_format::tree::Tree;
use sealpack_store::{Error as StoreError, Store};

use super::error::PullError;
use crate::budget::Limits;
use crate::merge::{Merger, XattrRule};

/// The image's tree, from the records of its layers, and how much memory it is counted for.
pub(super) fn merge(
    store: &Store,
    layers: &[DiffId],
    xattrs: XattrRule,
    limits: Limits,
) -> Result<(Tree, u64), PullError> {
    let mut merger = Merger::new(xattrs, limits);
    for layer in layers {
        let missing = || StoreError::LayerMissing(*layer);
        // The merger reads twice: opened here already, so that a missing record has its own error.
        store.layer(layer)?.ok_or_else(missing)?;
        merger.apply(|| match store.layer(layer) {
            Ok(Some(record)) => Ok(record),
            Ok(None) => Err(std::io::Error::from(std::io::ErrorKind::NotFound).into()),
            Err(error) => Err(std::io::Error::other(error).into()),
        })?;
    }
    let memory_bytes = merger.memory_bytes();
    Ok((merger.finish(), memory_bytes))
}
