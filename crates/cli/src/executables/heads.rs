//! How objects begin, from a store.

use std::io::Read;

use sealpack_format::ObjectId;
use sealpack_store::Store;

use super::Heads;
use super::shape::HEAD_BYTES;
use crate::error::CommandError;

/// Objects of a store.
pub(crate) struct StoredHeads<'s> {
    pub(crate) store: &'s Store,
    /// The image's name, for errors.
    pub(crate) image: &'s str,
}

impl Heads for StoredHeads<'_> {
    fn head(&self, id: &ObjectId) -> Result<Vec<u8>, CommandError> {
        let Some(file) = self.store.open_object(id)? else {
            let missing = format_args!("{} is incomplete: object {id} is missing", self.image).to_string();
            return Err(CommandError::failed(missing).hint("pull the image again"));
        };
        let mut head = Vec::with_capacity(HEAD_BYTES);
        file.take(HEAD_BYTES as u64)
            .read_to_end(&mut head)
            .map_err(|error| CommandError::failed(format_args!("cannot read object {id}: {error}")))?;
        Ok(head)
    }
}
