//! What an image says of its size, before any of it is fetched.

use sealpack_store::Store;

use super::{Numbered, PullError};
use crate::budget::{Budget, Limit, Limits};
use crate::transport::ImageSource;

/// Refuses layers whose blobs alone are more than the image may unpack to, or than there is room for. No compression
/// makes a blob much larger than its content.
///
/// # Errors
/// [`PullError::Declared`]; [`sealpack_store::Error::NoRoom`].
pub(super) fn check(
    store: &Store,
    source: &dyn ImageSource,
    missing: &Numbered<'_>,
    limits: &Limits,
) -> Result<(), PullError> {
    let budget = Budget::new(*limits);
    let mut needed_bytes: u64 = 0;
    for (number, layer) in missing {
        let (digest, size_bytes) = (layer.descriptor.digest, layer.descriptor.size_bytes);
        let declared = |source| PullError::Declared { layer: number + 1, digest, size_bytes, source };
        budget.spend(Limit::Unpacked, size_bytes).map_err(declared)?;
        let kept_bytes = if source.is_remote() { store.partial_bytes(&digest)? } else { 0 };
        needed_bytes = needed_bytes.saturating_add(size_bytes.saturating_sub(kept_bytes));
    }
    Ok(store.check_room(needed_bytes)?)
}
