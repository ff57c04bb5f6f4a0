//! How large images are, and what they share.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;

use sealpack_format::digest::{DiffId, ObjectId, RootHash};

use crate::error::{Error, Result};
use crate::packs::PackDescriptor;
use crate::refs::{ImageRecord, ObjectForm};
use crate::store::Store;
use crate::threads::for_each;

/// What one image takes, by the objects of its layers, or by their packs; contents kept in records (up to 64
/// bytes) not counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
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

/// What images take together, by how many of them have it. As in [`Usage`], but each object and pack once, whichever images
/// have it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Together {
    /// What one image alone has: the sum of what the images have of their own.
    pub own_bytes: u64,
    /// What several of them have.
    pub shared_bytes: u64,
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

/// What all images that have it share: some objects, or a pack.
#[derive(Debug, Clone, Copy, Default)]
struct Shared {
    objects: u64,
    packs: u64,
    bytes: u64,
}

impl Usage {
    fn add(&mut self, shared: Shared, is_own: bool) {
        let Shared { objects, packs, bytes } = shared;
        self.objects += objects;
        self.packs += packs;
        self.bytes += bytes;
        if is_own {
            self.own_objects += objects;
            self.own_packs += packs;
            self.own_bytes += bytes;
        }
    }
}

/// An object of a layer, small: there are many.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Counted {
    start: [u64; 4],
    size_bytes: u64,
    /// Of the layer.
    place: u32,
}

/// The first 32 bytes of a digest, which no two objects have in common.
fn start_of(id: &ObjectId) -> [u64; 4] {
    let (words, _) = id.as_bytes().as_chunks();
    let mut words = words.iter().map(|word| u64::from_be_bytes(*word));
    std::array::from_fn(|_| words.next().unwrap_or_default())
}

/// Places of images in a list, and of layers in another one: sorted, each once.
type Places = Vec<u32>;

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
    /// Each layer is read once, however many images have it.
    ///
    /// # Errors
    /// [`Error::LayerDamaged`](crate::Error::LayerDamaged); [`Error::PackRecordDamaged`](crate::Error::PackRecordDamaged);
    /// failures of the system.
    pub fn usage(&self, images: &[ImageRecord]) -> Result<Vec<Usage>> {
        Ok(self.usage_together(images)?.0)
    }

    /// As [`usage`](Self::usage), and what they take together.
    ///
    /// # Errors
    /// As [`usage`](Self::usage).
    pub fn usage_together(&self, images: &[ImageRecord]) -> Result<(Vec<Usage>, Together)> {
        let mut usage = vec![Usage::default(); images.len()];
        let mut together = Together::default();
        let mut count = |places: &Places, shared: Shared| {
            match places.len() {
                1 => together.own_bytes += shared.bytes,
                _ => together.shared_bytes += shared.bytes,
            }
            places.iter().for_each(|image| usage[*image as usize].add(shared, places.len() == 1));
        };
        let (diff_ids, with_layer) = layers_of(images, ObjectForm::Files);
        for (layers, shared) in self.objects_by_layers(&diff_ids)? {
            let mut with_objects: Places =
                layers.iter().flat_map(|layer| &with_layer[*layer as usize]).copied().collect();
            with_objects.sort_unstable();
            with_objects.dedup();
            count(&with_objects, shared);
        }
        let (diff_ids, with_layer) = layers_of(images, ObjectForm::Packs);
        let mut packs = BTreeMap::<RootHash, (Shared, BTreeSet<u32>)>::new();
        for (diff_id, images) in diff_ids.iter().zip(&with_layer) {
            if let Some(PackDescriptor { root_hash, objects, size_bytes, .. }) = self.layer_pack(diff_id)? {
                let shared = Shared { objects, packs: 1, bytes: size_bytes };
                packs.entry(root_hash).or_insert((shared, BTreeSet::new())).1.extend(images);
            }
        }
        for (shared, images) in packs.into_values() {
            count(&images.into_iter().collect(), shared);
        }
        Ok((usage, together))
    }

    /// The objects of layers, counted by the layers that have them.
    fn objects_by_layers(&self, layers: &[DiffId]) -> Result<BTreeMap<Places, Shared>> {
        let numbered: Vec<(u32, &DiffId)> = (0..).zip(layers).collect();
        let threads = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let mut parts =
            for_each(threads, &numbered, Vec::new, |part: &mut Vec<Counted>, (place, diff_id)| {
                let add = |id: ObjectId, size_bytes| {
                    part.push(Counted { start: start_of(&id), size_bytes, place: *place });
                    Ok(())
                };
                self.for_each_object_of_layer(diff_id, add).map(drop)
            })?;
        parts.iter_mut().for_each(|part| part.sort_unstable());
        let mut by_layers = BTreeMap::<Places, Shared>::new();
        let mut places = Places::new();
        // All together would take the memory of all once more.
        let mut rests: Vec<&[Counted]> = parts.iter().map(Vec::as_slice).collect();
        while let Some(next) = rests.iter().filter_map(|rest| rest.first()).map(|counted| counted.start).min()
        {
            places.clear();
            let mut size_bytes = 0;
            for rest in &mut rests {
                let count = rest.iter().take_while(|counted| counted.start == next).count();
                let (same, others) = rest.split_at(count);
                places.extend(same.iter().map(|counted| counted.place));
                size_bytes = same.first().map_or(size_bytes, |counted| counted.size_bytes);
                *rest = others;
            }
            places.sort_unstable();
            places.dedup();
            let shared = match by_layers.get_mut(&places) {
                Some(shared) => shared,
                None => by_layers.entry(places.clone()).or_default(),
            };
            shared.objects += 1;
            shared.bytes += size_bytes;
        }
        Ok(by_layers)
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

/// The layers of those images that are kept in a form, each once, and for each the places of the images that have it.
fn layers_of(images: &[ImageRecord], form: ObjectForm) -> (Vec<DiffId>, Vec<Places>) {
    let mut layers = BTreeMap::<DiffId, Places>::new();
    for (place, image) in (0..).zip(images).filter(|(_, image)| image.objects == form) {
        for layer in &image.layers {
            let places = layers.entry(layer.diff_id).or_default();
            if places.last() != Some(&place) {
                places.push(place);
            }
        }
    }
    layers.into_iter().unzip()
}
