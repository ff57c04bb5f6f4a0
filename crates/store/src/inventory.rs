//! What is in the directories of a store, by the names of the files.

use std::path::{Path, PathBuf};

use sealpack_format::digest::{BlobDigest, DiffId, ObjectId, RootHash};

use crate::dir::Entry;
use crate::error::Result;
use crate::places::{
    ALGORITHMS, BLOBS, DIRECTORIES_AT_ROOT, FILES_AT_ROOT, IMAGES, LAYERS, OBJECTS, OfLayer, PACKS,
    PACKS_PARENT, SEALS, SealName, blob_of_file_name, metadata_image_of_file_name,
    metadata_image_of_hash_area_file_name, object_of, of_layer_file_name, pack_of_file_name,
};
use crate::store::Store;

/// What is there.
#[derive(Default)]
pub(crate) struct Inventory {
    /// Sorted.
    pub(crate) objects: Vec<ObjectId>,
    pub(crate) images: Vec<ObjectId>,
    /// Images with a hash area.
    pub(crate) hash_areas: Vec<ObjectId>,
    pub(crate) layers: Vec<DiffId>,
    /// Layers of which it is recorded what pack they have.
    pub(crate) pack_records: Vec<DiffId>,
    pub(crate) packs: Vec<RootHash>,
    pub(crate) seals: Vec<SealName>,
    pub(crate) blobs: Vec<BlobDigest>,
    pub(crate) strays: Vec<PathBuf>,
}

/// Lists everything; opens no file.
pub(crate) fn take(store: &Store) -> Result<Inventory> {
    let mut inventory = Inventory::default();
    for entry in store.root.entries()? {
        let is_file = FILES_AT_ROOT.iter().any(|name| entry.name == **name);
        let is_directory = DIRECTORIES_AT_ROOT.iter().any(|name| entry.name == **name);
        if !(is_file && entry.kind.is_file() || is_directory && entry.kind.is_dir()) {
            inventory.strays.push(PathBuf::from(&entry.name));
        }
    }
    list_objects(store, &mut inventory)?;
    list_images(store, &mut inventory)?;
    for known in list_algorithms(store, LAYERS, of_layer_file_name, &mut inventory.strays)? {
        match known {
            OfLayer::Record(layer) => inventory.layers.push(layer),
            OfLayer::PackRecord(layer) => inventory.pack_records.push(layer),
        }
    }
    inventory.blobs = list_algorithms(store, BLOBS, blob_of_file_name, &mut inventory.strays)?;
    list_packs(store, &mut inventory)?;
    let seal = |entry: &Entry| SealName::of_file_name(entry.name.to_str()?);
    inventory.seals = list_directory(store, SEALS, seal, &mut inventory.strays)?;
    Ok(inventory)
}

fn list_images(store: &Store, inventory: &mut Inventory) -> Result<()> {
    let ours = |id: &ObjectId| id.algorithm() == store.algorithm();
    let (mut images, mut hash_areas) = (Vec::new(), Vec::new());
    let known = |entry: &Entry| {
        let name = entry.name.to_str()?;
        match metadata_image_of_hash_area_file_name(name).filter(ours) {
            Some(id) => hash_areas.push(id),
            None => images.push(metadata_image_of_file_name(name).filter(ours)?),
        }
        Some(())
    };
    list_directory(store, IMAGES, known, &mut inventory.strays)?;
    (inventory.images, inventory.hash_areas) = (images, hash_areas);
    Ok(())
}

fn list_packs(store: &Store, inventory: &mut Inventory) -> Result<()> {
    let pack = |entry: &Entry| pack_of_file_name(entry.name.to_str()?);
    inventory.packs = list_directory(store, PACKS, pack, &mut inventory.strays)?;
    let Some(directory) = store.root.try_sub(PACKS_PARENT)? else { return Ok(()) };
    for entry in directory.entries()? {
        let path = Path::new(PACKS_PARENT).join(&entry.name);
        if path != Path::new(PACKS) || !entry.kind.is_dir() {
            inventory.strays.push(path);
        }
    }
    Ok(())
}

fn list_objects(store: &Store, inventory: &mut Inventory) -> Result<()> {
    let mut fans = Vec::new();
    store.for_each_object_directory(|fan, directory| {
        fans.push(fan.to_owned());
        for entry in directory.entries()? {
            let id = object_of(fan, &entry.name).filter(|id| id.algorithm() == store.algorithm());
            match id {
                Some(id) if entry.kind.is_file() => inventory.objects.push(id),
                _ => inventory.strays.push(Path::new(OBJECTS).join(fan).join(entry.name)),
            }
        }
        Ok(())
    })?;
    inventory.objects.sort_unstable();
    let known = |entry: &Entry| fans.iter().any(|fan| entry.name == **fan);
    let strays = store.objects.entries()?.into_iter().filter(|entry| !known(entry));
    inventory.strays.extend(strays.map(|entry| Path::new(OBJECTS).join(entry.name)));
    Ok(())
}

/// The files of `path` that `parse` knows; the others are strays.
fn list_directory<T>(
    store: &Store,
    path: &str,
    mut parse: impl FnMut(&Entry) -> Option<T>,
    strays: &mut Vec<PathBuf>,
) -> Result<Vec<T>> {
    let mut known = Vec::new();
    if let Some(directory) = store.root.try_sub(path)? {
        for entry in directory.entries()? {
            match entry.kind.is_file().then(|| parse(&entry)).flatten() {
                Some(item) => known.push(item),
                None => strays.push(Path::new(path).join(entry.name)),
            }
        }
    }
    Ok(known)
}

/// The files of `path/sha256` and `path/sha512` that `parse` knows by algorithm and name.
fn list_algorithms<T>(
    store: &Store,
    path: &str,
    parse: impl Fn(&str, &str) -> Option<T>,
    strays: &mut Vec<PathBuf>,
) -> Result<Vec<T>> {
    let mut known = Vec::new();
    for algorithm in ALGORITHMS {
        let parse = |entry: &Entry| parse(algorithm, entry.name.to_str()?);
        known.extend(list_directory(store, &format!("{path}/{algorithm}"), parse, strays)?);
    }
    let Some(directory) = store.root.try_sub(path)? else { return Ok(known) };
    let others = directory.entries()?.into_iter().filter(|entry| {
        !(entry.kind.is_dir() && ALGORITHMS.iter().any(|algorithm| entry.name == **algorithm))
    });
    strays.extend(others.map(|entry| Path::new(path).join(entry.name)));
    Ok(known)
}
