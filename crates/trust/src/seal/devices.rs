//! Whether a seal is that of an image.

use std::collections::BTreeMap;

use sealpack_format::digest::{BlobDigest, DiffId, ObjectId, RootHash};

use super::{SealedMetadata, SealedPack, Statement};

/// The devices of an image, as they were made from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Devices {
    /// The digest of the image's manifest.
    pub manifest: BlobDigest,
    /// Its metadata image.
    pub metadata: SealedMetadata,
    /// Its packs, in the order of their first layers.
    pub packs: Vec<SealedPack>,
}

impl Statement {
    /// Whether it is about the image that has these devices: about its manifest, and with every device of the image,
    /// with the very root hash. What else it has does not matter.
    ///
    /// # Errors
    /// Names the first difference.
    pub fn check(&self, image: &Devices) -> Result<(), Mismatch> {
        if *self.manifest() != image.manifest {
            return Err(Mismatch::Manifest { sealed: *self.manifest(), image: image.manifest });
        }
        let id = image.metadata.id;
        let Some(sealed) = self.metadata_of(id.algorithm()) else {
            return Err(Mismatch::Algorithm { image: id });
        };
        if (sealed.id, sealed.size_bytes) != (id, image.metadata.size_bytes) {
            return Err(Mismatch::Metadata { sealed: sealed.id, image: id });
        }
        if sealed.root_hash != image.metadata.root_hash {
            let (sealed, image) = (sealed.root_hash, image.metadata.root_hash);
            return Err(Mismatch::MetadataRootHash { sealed, image });
        }
        let sealed: BTreeMap<_, _> =
            self.packs().iter().flat_map(|pack| pack.layers.iter().map(move |layer| (layer, pack))).collect();
        for pack in &image.packs {
            for layer in &pack.layers {
                let Some(other) = sealed.get(layer) else {
                    return Err(Mismatch::Layer { layer: *layer, root_hash: pack.root_hash });
                };
                if (other.root_hash, other.size_bytes) != (pack.root_hash, pack.size_bytes) {
                    let (sealed, image) = (other.root_hash, pack.root_hash);
                    return Err(Mismatch::Pack { layer: *layer, sealed, image });
                }
            }
        }
        Ok(())
    }
}

/// How a seal differs from an image.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Mismatch {
    /// It is about another image.
    #[error("it is the seal of the image {sealed}, not of {image}")]
    Manifest {
        /// The manifest sealed.
        sealed: BlobDigest,
        /// The image's.
        image: BlobDigest,
    },
    /// The same manifest, but no metadata image of this algorithm.
    #[error("it has no metadata image whose digest is of the kind of {image}, which was made here")]
    Algorithm {
        /// The image's.
        image: ObjectId,
    },
    /// The same manifest, but another metadata image.
    #[error("it is for the metadata image {sealed}, not for {image}, which was made here")]
    Metadata {
        /// The fs-verity digest sealed.
        sealed: ObjectId,
        /// The image's.
        image: ObjectId,
    },
    /// The same metadata image, but another tree.
    #[error("it has root hash {sealed} for the metadata image, not {image}")]
    MetadataRootHash {
        /// The root hash sealed.
        sealed: RootHash,
        /// The image's.
        image: RootHash,
    },
    /// A layer's pack is not in it.
    #[error("it has no pack of layer {layer}, root hash {root_hash}")]
    Layer {
        /// The layer.
        layer: DiffId,
        /// The root hash of its pack.
        root_hash: RootHash,
    },
    /// A layer's pack is another one.
    #[error("it has root hash {sealed} for the pack of layer {layer}, not {image}, or another size")]
    Pack {
        /// The layer.
        layer: DiffId,
        /// The root hash sealed.
        sealed: RootHash,
        /// The image's.
        image: RootHash,
    },
}
