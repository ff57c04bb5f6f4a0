//! What a pull tells while it runs.

use sealpack_format::{BlobDigest, DiffId, ObjectId};
use sealpack_store::ObjectForm;

/// Hears what a pull does. Called from several threads.
pub trait Observer: Sync {
    /// Something has happened.
    fn event(&self, event: &Event<'_>);
}

/// Hears nothing.
impl Observer for () {
    fn event(&self, _: &Event<'_>) {}
}

/// What happens during a pull. Layers are counted from 0 at the bottom.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Event<'a> {
    /// The image is known, its layers not yet read.
    Resolved {
        /// The digest of the manifest.
        manifest: &'a BlobDigest,
        /// The number of layers.
        layers: usize,
        /// The size of the blobs that will be read, in bytes.
        size_bytes: u64,
    },
    /// The store has this layer; it is not fetched.
    LayerKnown {
        /// The layer.
        layer: usize,
        /// Its uncompressed stream.
        diff_id: &'a DiffId,
    },
    /// The store had this layer in the other form; it is not fetched.
    LayerConverted {
        /// The layer.
        layer: usize,
        /// Its uncompressed stream.
        diff_id: &'a DiffId,
        /// The form that it has now.
        form: ObjectForm,
    },
    /// A layer's blob is being read.
    LayerStarted {
        /// The layer.
        layer: usize,
        /// Its blob.
        digest: &'a BlobDigest,
        /// The blob's size in bytes.
        size_bytes: u64,
        /// How much of it an earlier, interrupted pull had fetched, in bytes.
        resumed_bytes: u64,
    },
    /// More of a layer's blob was read.
    LayerAdvanced {
        /// The layer.
        layer: usize,
        /// How much more, in bytes.
        bytes: u64,
    },
    /// A layer's bytes were not the right ones and are read again from another place or from the start.
    LayerRestarted {
        /// The layer.
        layer: usize,
        /// What was wrong.
        reason: &'a str,
    },
    /// A layer is in the store.
    LayerStored {
        /// The layer.
        layer: usize,
        /// The size of its uncompressed stream in bytes.
        size_bytes: u64,
    },
    /// All layers are there and being merged.
    Merging,
    /// The metadata image is in the store.
    ImageStored {
        /// Its fs-verity digest.
        image: &'a ObjectId,
    },
}
