//! How large images are, and what they share.

use std::collections::{BTreeMap, BTreeSet};

use sealpack_format::digest::{ObjectId, RootHash};

use crate::error::{Error, Result};
use crate::refs::{ImageRecord, ObjectForm};
use crate::store::Store;

/// What one image takes, by the objects of its layers, or by their packs; contents kept in records (up to 64
/// bytes) not counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// How many objects it has, each counted once; of an image in packs, once for each pack.
    pub objects: u64,
    /// Their bytes; of an image in packs, those of the packs, the hash trees included.
    pub bytes: u64,
    /// How many of them no other of the images has: what goes when this one is removed. Of an image
    /// in packs, those in packs that no other image in packs has.
    pub own_objects: u64,
    /// Their bytes, or those of their packs.
    pub own_bytes: u64,
    /// How many packs it is kept in; none when it is kept as files.
    pub packs: u64,
    /// How many of them no other image in packs has.
    pub own_packs: u64,
}

/// Something on the disk that images share.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Object(ObjectId),
    Pack { root_hash: RootHash, objects: u64 },
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

impl Usage {
    fn add(&mut self, part: &Part, size_bytes: u64, is_own: bool) {
        let (objects, packs) = match part {
            Part::Object(_) => (1, 0),
            Part::Pack { objects, .. } => (*objects, 1),
        };
        self.objects += objects;
        self.packs += packs;
        self.bytes += size_bytes;
        if is_own {
            self.own_objects += objects;
            self.own_packs += packs;
            self.own_bytes += size_bytes;
        }
    }
}

impl Store {
    /// Refuses to begin what would write so many bytes where the filesystem has fewer free. One that does not say how
    /// large it is has room.
    ///
    /// # Errors
    /// [`Error::NoRoom`]; failures of the system.
    pub fn check_room(&self, needed_bytes: u64) -> Result<()> {
        let stat = rustix::fs::fstatvfs(&self.root).map_err(|e| Error::io("look at", self.path(), e))?;
        // What is set aside for the superuser is there for the superuser.
        let blocks = if rustix::process::geteuid().is_root() { stat.f_bfree } else { stat.f_bavail };
        let free_bytes = blocks.saturating_mul(stat.f_frsize);
        if stat.f_blocks == 0 || needed_bytes <= free_bytes {
            return Ok(());
        }
        Err(Error::NoRoom { path: self.path().to_owned(), needed_bytes, free_bytes })
    }

    /// What each of `images` takes, in their order. Names of the same image share all of it, and so
    /// none of them has anything of its own. Layers without a record count nothing, nor do layers
    /// without a known pack in images in packs.
    ///
    /// # Errors
    /// [`Error::LayerDamaged`](crate::Error::LayerDamaged); [`Error::PackRecordDamaged`](crate::Error::PackRecordDamaged);
    /// failures of the system.
    pub fn usage(&self, images: &[ImageRecord]) -> Result<Vec<Usage>> {
        let mut all = Vec::new();
        for (index, image) in images.iter().enumerate() {
            all.extend(self.parts_of(image)?.into_iter().map(|(part, size)| (part, size, index)));
        }
        all.sort_unstable();
        let mut usage = vec![Usage::default(); images.len()];
        for same in all.chunk_by(|a, b| a.0 == b.0) {
            for (part, size, index) in same {
                usage[*index].add(part, *size, same.len() == 1);
            }
        }
        Ok(usage)
    }

    /// What is kept for an image, with sizes.
    fn parts_of(&self, image: &ImageRecord) -> Result<Vec<(Part, u64)>> {
        if image.objects == ObjectForm::Files {
            let objects = self.objects_of_layers(image)?;
            return Ok(objects.into_iter().map(|(id, size)| (Part::Object(id), size)).collect());
        }
        let mut parts = BTreeMap::new();
        for layer in &image.layers {
            if let Some(pack) = self.layer_pack(&layer.diff_id)? {
                let part = Part::Pack { root_hash: pack.root_hash, objects: pack.objects };
                parts.insert(part, pack.size_bytes);
            }
        }
        Ok(parts.into_iter().collect())
    }

    /// What images `a` and `b` have in common, whichever form they are kept in.
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
