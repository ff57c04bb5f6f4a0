//! Which image of the store runs.

use std::collections::BTreeSet;

use sealpack_format::{BlobDigest, ObjectId};
use sealpack_node::seals;
use sealpack_store::{ImageRecord, Store};

/// What the store knows of the image that a host was booted from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunningImage {
    /// Its names; images that were pulled anew since may have taken some, and they are not among these.
    pub names: Vec<String>,
    /// Its manifests' digests: several images can have the same files.
    pub manifests: BTreeSet<BlobDigest>,
    /// The highest epoch of its seals.
    pub epoch: Option<u64>,
}

impl RunningImage {
    /// A record of the image with this metadata image, under whatever name.
    ///
    /// # Errors
    /// Of the store.
    pub fn record(store: &Store, image: &ObjectId) -> Result<Option<ImageRecord>, sealpack_store::Error> {
        Ok(store.images()?.records.into_iter().find(|record| record.metadata_image == *image))
    }

    /// What a store knows of the image with this metadata image; `None` where no name means it any more.
    ///
    /// # Errors
    /// Of the store.
    pub fn find(store: &Store, image: &ObjectId) -> Result<Option<Self>, sealpack_store::Error> {
        let images = store.images()?;
        let its: Vec<_> = images.records.iter().filter(|record| record.metadata_image == *image).collect();
        if its.is_empty() {
            return Ok(None);
        }
        Ok(Some(Self {
            names: its.iter().map(|record| record.name.clone()).collect(),
            manifests: its.iter().map(|record| record.manifest).collect(),
            epoch: its.iter().filter_map(|record| seals::epoch_of(store, record)).max(),
        }))
    }
}
