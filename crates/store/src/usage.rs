//! How large images are, and what they share.

use std::collections::BTreeSet;

use sealpack_format::digest::ObjectId;

use crate::error::Result;
use crate::refs::ImageRecord;
use crate::store::Store;

/// What one image takes, by the objects of its layers; contents kept in records (up to 64 bytes) not counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// How many objects it has, each counted once.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
    /// How many of them no other of the images has: what goes when this one is removed.
    pub own_objects: u64,
    /// Their bytes.
    pub own_bytes: u64,
}

/// What two images have in common.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sharing {
    /// How many objects both have.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
    /// How many layers both have.
    pub layers: u64,
}

impl Store {
    /// What each of `images` takes, in their order. Names of the same image share all of it, and so
    /// none of them has anything of its own. Layers without a record count nothing.
    ///
    /// # Errors
    /// [`Error::LayerDamaged`](crate::Error::LayerDamaged); failures of the system.
    pub fn usage(&self, images: &[ImageRecord]) -> Result<Vec<Usage>> {
        let mut all = Vec::new();
        for (index, image) in images.iter().enumerate() {
            all.extend(self.objects_of_layers(image)?.into_iter().map(|(id, size)| (id, size, index)));
        }
        all.sort_unstable();
        let mut usage = vec![Usage::default(); images.len()];
        for same in all.chunk_by(|a, b| a.0 == b.0) {
            for (_, size, index) in same {
                let usage = &mut usage[*index];
                usage.objects += 1;
                usage.bytes += size;
                if same.len() == 1 {
                    usage.own_objects += 1;
                    usage.own_bytes += size;
                }
            }
        }
        Ok(usage)
    }

    /// What images `a` and `b` have in common.
    ///
    /// # Errors
    /// As [`usage`](Self::usage).
    pub fn sharing(&self, a: &ImageRecord, b: &ImageRecord) -> Result<Sharing> {
        let theirs = self.objects_of_layers(b)?;
        let layers: BTreeSet<_> = b.layers.iter().map(|layer| layer.diff_id).collect();
        let ours: BTreeSet<_> = a.layers.iter().map(|layer| layer.diff_id).collect();
        let mut sharing = Sharing { layers: ours.intersection(&layers).count() as u64, ..Sharing::default() };
        for (id, size) in self.objects_of_layers(a)? {
            if theirs.binary_search_by(|(other, _)| other.cmp(&id)).is_ok() {
                sharing.objects += 1;
                sharing.bytes += size;
            }
        }
        Ok(sharing)
    }

    /// The objects of an image's layers with their sizes, sorted, each once.
    fn objects_of_layers(&self, image: &ImageRecord) -> Result<Vec<(ObjectId, u64)>> {
        let mut objects = Vec::new();
        let layers: BTreeSet<_> = image.layers.iter().map(|layer| layer.diff_id).collect();
        for diff_id in &layers {
            self.for_each_object_of_layer(diff_id, |id, size| {
                objects.push((id, size));
                Ok(())
            })?;
        }
        objects.sort_unstable();
        objects.dedup_by_key(|(id, _)| *id);
        Ok(objects)
    }
}
