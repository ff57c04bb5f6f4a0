//! What is in the directories of a store, by the names of the files.

use std::path::{Path, PathBuf};

use sealpack_format::digest::{BlobDigest, DiffId, ObjectId, RootHash};

use crate::dir::Entry;
use crate::error::Result;
use crate::places::{
    ALGORITHMS, BLOBS, DIRECTORIES_AT_ROOT, FILES_AT_ROOT, IMAGES, LAYERS, OBJECTS, OfLayer, PACKS,
    PACKS_PARENT, SEALS, blob_of_file_name, manifest_of_seal_file_name, metadata_image_of_file_name,
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
    /// The manifests of images with a seal.
    pub(crate) seals: Vec<BlobDigest>,
    pub(crate) blobs: Vec<BlobDigest>,
    pub(crate) strays: Vec<PathBuf>,
}

/// Lists everything; opens no file.
pub(crate) fn take(store: &Store) -> Result<Inventory> {
    let mut found = Inventory::default();
    for entry in store.root.entries()? {
        let is_file = FILES_AT_ROOT.iter().any(|name| entry.name == **name);
        let is_directory = DIRECTORIES_AT_ROOT.iter().any(|name| entry.name == **name);
        if !(is_file && entry.kind.is_file() || is_directory && entry.kind.is_dir()) {
            found.strays.push(PathBuf::from(&entry.name));
        }
    }
    scan_objects(store, &mut found)?;
    scan_images(store, &mut found)?;
    for known in scan_algorithms(store, LAYERS, of_layer_file_name, &mut found.strays)? {
        match known {
            OfLayer::Record(layer) => found.layers.push(layer),
            OfLayer::PackRecord(layer) => found.pack_records.push(layer),
        }
    }
    found.blobs = scan_algorithms(store, BLOBS, blob_of_file_name, &mut found.strays)?;
    scan_packs(store, &mut found)?;
    let seal = |entry: &Entry| manifest_of_seal_file_name(entry.name.to_str()?);
    found.seals = scan_directory(store, SEALS, seal, &mut found.strays)?;
    Ok(found)
}

fn scan_images(store: &Store, found: &mut Inventory) -> Result<()> {
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
    scan_directory(store, IMAGES, known, &mut found.strays)?;
    (found.images, found.hash_areas) = (images, hash_areas);
    Ok(())
}

fn scan_packs(store: &Store, found: &mut Inventory) -> Result<()> {
    let pack = |entry: &Entry| pack_of_file_name(entry.name.to_str()?);
    found.packs = scan_directory(store, PACKS, pack, &mut found.strays)?;
    let Some(directory) = store.root.try_sub(PACKS_PARENT)? else { return Ok(()) };
    for entry in directory.entries()? {
        let path = Path::new(PACKS_PARENT).join(&entry.name);
        if path != Path::new(PACKS) || !entry.kind.is_dir() {
            found.strays.push(path);
        }
    }
    Ok(())
}

fn scan_objects(store: &Store, found: &mut Inventory) -> Result<()> {
    let mut fans = Vec::new();
    store.for_each_object_directory(|fan, directory| {
        fans.push(fan.to_owned());
        for entry in directory.entries()? {
            let id = object_of(fan, &entry.name).filter(|id| id.algorithm() == store.algorithm());
            match id {
                Some(id) if entry.kind.is_file() => found.objects.push(id),
                _ => found.strays.push(Path::new(OBJECTS).join(fan).join(entry.name)),
            }
        }
        Ok(())
    })?;
    found.objects.sort_unstable();
    let known = |entry: &Entry| fans.iter().any(|fan| entry.name == **fan);
    let strays = store.objects.entries()?.into_iter().filter(|entry| !known(entry));
    found.strays.extend(strays.map(|entry| Path::new(OBJECTS).join(entry.name)));
    Ok(())
}

/// The files of `path` that `parse` knows; the others are strays.
fn scan_directory<T>(
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
fn scan_algorithms<T>(
    store: &Store,
    path: &str,
    parse: impl Fn(&str, &str) -> Option<T>,
    strays: &mut Vec<PathBuf>,
) -> Result<Vec<T>> {
    let mut known = Vec::new();
    for algorithm in ALGORITHMS {
        let parse = |entry: &Entry| parse(algorithm, entry.name.to_str()?);
        known.extend(scan_directory(store, &format!("{path}/{algorithm}"), parse, strays)?);
    }
    let Some(directory) = store.root.try_sub(path)? else { return Ok(known) };
    let others = directory.entries()?.into_iter().filter(|entry| {
        !(entry.kind.is_dir() && ALGORITHMS.iter().any(|algorithm| entry.name == **algorithm))
    });
    strays.extend(others.map(|entry| Path::new(path).join(entry.name)));
    Ok(known)
}
