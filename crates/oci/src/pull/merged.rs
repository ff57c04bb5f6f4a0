//! The tree of an image whose layers the store has.

use sealpack_format::DiffId;
use sealpack_format::tree::Tree;
use sealpack_store::{Error as StoreError, Store};

use super::error::PullError;
use crate::budget::Limits;
use crate::merge::{Merger, XattrRule};

/// The version of the rules by which layers become a tree, and a tree a metadata image. To be raised with every change of a
/// digest: stores remember what came of the rules.
const RULES: u32 = 1;

/// All that the metadata image of some layers depends on besides their records, as a text.
#[must_use]
pub fn image_rule(xattrs: XattrRule) -> String {
    format!("rules {RULES}, {xattrs:?}")
}

/// [`image_rule`], and what the image may take: another limit may refuse it.
pub(super) fn rule(xattrs: XattrRule, limits: Limits) -> String {
    format!("{}, {limits:?}", image_rule(xattrs))
}

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
