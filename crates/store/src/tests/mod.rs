//! What the parts guarantee together.

mod chains;
mod crash;
mod facts;
mod forms;
mod full_disk;
mod gc;
mod history;
mod integrity;
mod locks;
mod names;
mod opening;
mod others;
mod packs;
mod problems;
mod seals;
mod single;

use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use sealpack_format::digest::{Algorithm, BlobDigest, DiffId, ObjectId};
use sealpack_format::layer::{LayerEntry, LayerItem, LayerKind, LayerWriter};
use sealpack_format::tree::{Content, Metadata, Time, Xattrs};
use sealpack_format::verity::fsverity_digest;

use crate::hash::blob_digest;
use crate::{
    AcceptedEpoch, FsckOptions, FsckReport, GcOptions, GcReport, ImageRecord, KeptSeal, LayerDescriptor,
    ObjectForm, Staging, Store,
};

/// A store in a directory of its own.
struct Fixture {
    directory: tempfile::TempDir,
    store: Store,
}

impl std::ops::Deref for Fixture {
    type Target = Store;

    fn deref(&self) -> &Store {
        &self.store
    }
}

fn fixture() -> Fixture {
    fixture_with(Algorithm::Sha256)
}

fn fixture_with(algorithm: Algorithm) -> Fixture {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::create(directory.path().join("store"), algorithm).unwrap();
    Fixture { directory, store }
}

/// The contents of a layer: what they are does not matter, equal texts are equal objects.
type Layer<'a> = &'a [&'a str];

fn content(text: &str) -> Vec<u8> {
    text.repeat(100).into_bytes()
}

fn id_of(store: &Store, text: &str) -> ObjectId {
    fsverity_digest(store.algorithm(), &content(text))
}

fn blob_of(text: &str) -> (BlobDigest, Vec<u8>) {
    (blob_digest(Algorithm::Sha256, text.as_bytes()), text.as_bytes().to_vec())
}

/// A diff_id that depends on the layer's contents.
fn diff_id_of(layer: Layer<'_>) -> DiffId {
    let digest = blob_digest(Algorithm::Sha256, layer.join("\n").as_bytes());
    DiffId::from_slice(Algorithm::Sha256, digest.as_bytes()).unwrap()
}

fn entry(path: &str, id: ObjectId, size: u64) -> LayerEntry {
    let metadata = Metadata {
        permissions: 0o644,
        uid: 0,
        gid: 0,
        mtime: Time { seconds: 0, nanoseconds: 0 },
        xattrs: Xattrs::default(),
    };
    let kind = LayerKind::Regular(Content::Object { size, id });
    LayerEntry { path: path.into(), item: LayerItem::Inode(metadata, kind) }
}

/// Stages and commits a layer the way a pull does.
fn add_layer(staging: &Staging<'_>, layer: Layer<'_>) -> DiffId {
    let (store, diff_id) = (staging.store(), diff_id_of(layer));
    let mut record = LayerWriter::new(staging.layer_writer().unwrap(), store.algorithm()).unwrap();
    for text in layer {
        let (id, content) = (id_of(store, text), content(text));
        if content.len() < 1000 {
            staging.add_bytes(&id, &content).unwrap();
        } else {
            let mut writer = staging.object_writer().unwrap();
            content.chunks(300).for_each(|chunk| writer.write_all(chunk).unwrap());
            writer.finish(&id).unwrap();
        }
        record.push(&entry(text, id, content.len() as u64)).unwrap();
    }
    record.finish().unwrap().finish(&diff_id).unwrap();
    staging.commit().unwrap();
    diff_id
}

/// Stages and commits the pack of a layer the way a pull does, beside the layer's record.
fn add_packed_layer(staging: &Staging<'_>, layer: Layer<'_>) -> DiffId {
    let (store, diff_id) = (staging.store(), diff_id_of(layer));
    let mut record = LayerWriter::new(staging.layer_writer().unwrap(), store.algorithm()).unwrap();
    let mut pack = staging.pack_writer().unwrap();
    for text in layer {
        let content = content(text);
        let mut object = pack.object();
        content.chunks(300).for_each(|chunk| object.write(chunk).unwrap());
        let id = object.finish().unwrap();
        assert_eq!(id, id_of(store, text));
        record.push(&entry(text, id, content.len() as u64)).unwrap();
    }
    record.finish().unwrap().finish(&diff_id).unwrap();
    pack.finish(&diff_id).unwrap();
    staging.commit().unwrap();
    diff_id
}

/// Stages and names an image the way a pull does. Its metadata image is the list of its objects.
fn pull(store: &Store, name: &str, layers: &[Layer<'_>]) -> ImageRecord {
    pull_as(ObjectForm::Files, store, name, layers)
}

/// As [`pull`], in that form.
fn pull_as(form: ObjectForm, store: &Store, name: &str, layers: &[Layer<'_>]) -> ImageRecord {
    let staging = store.stage().unwrap();
    let add = match form {
        ObjectForm::Files => add_layer,
        ObjectForm::Packs => add_packed_layer,
    };
    let diff_ids: Vec<_> = layers.iter().map(|layer| add(&staging, layer)).collect();
    let mut image = staging.metadata_image_writer().unwrap();
    for text in layers.iter().copied().flatten() {
        writeln!(image, "{}", id_of(store, text)).unwrap();
    }
    // Whole blocks, as a metadata image has.
    let padding = image.size_bytes().next_multiple_of(4096) - image.size_bytes();
    image.write_all(&vec![b'\n'; padding as usize]).unwrap();
    let image_size_bytes = image.size_bytes();
    let image = image.finish().unwrap();
    let (manifest, manifest_bytes) = blob_of(&format!("manifest of {layers:?}"));
    let (config, config_bytes) = blob_of(&format!("config of {layers:?}"));
    staging.add_blob(&manifest, &manifest_bytes).unwrap();
    staging.add_blob(&config, &config_bytes).unwrap();
    let mut record = ImageRecord::new(name, manifest, config, image);
    record.platform = "linux/amd64".into();
    record.objects = form;
    record.metadata_image_size_bytes = image_size_bytes;
    record.layers = diff_ids.into_iter().map(|diff_id| LayerDescriptor::new(diff_id, manifest, 7)).collect();
    staging.publish(&record).unwrap();
    record
}

/// Reads the metadata images that [`pull`] makes.
fn objects_of(mut file: &File) -> Result<Vec<ObjectId>, String> {
    let mut text = String::new();
    file.read_to_string(&mut text).map_err(|e| e.to_string())?;
    text.lines()
        .filter(|line| !line.is_empty())
        .map(|line| line.parse().map_err(|_| format!("{line:?} is no object")))
        .collect()
}

fn fsck(store: &Store, repair: bool) -> FsckReport {
    store.fsck(&FsckOptions { repair, ..FsckOptions::default() }, &objects_of, &|_| Vec::new(), &()).unwrap()
}

fn gc(store: &Store) -> GcReport {
    store.gc(&GcOptions::default(), &objects_of, &()).unwrap()
}

#[track_caller]
fn assert_clean(store: &Store) {
    let report = fsck(store, false);
    assert!(report.is_clean(), "{:#?}", report.problems);
}

/// Writes other bytes of the same number into a file.
fn damage(path: &Path) {
    let mut bytes = std::fs::read(path).unwrap();
    bytes[0] ^= 1;
    // A new file: the old one may be guarded by the kernel, and is read-only.
    std::fs::remove_file(path).unwrap();
    std::fs::write(path, bytes).unwrap();
}

/// All files below `path` with their contents, relative, sorted; directories without files are left out.
fn snapshot(path: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    fn walk(base: &Path, path: &Path, files: &mut Vec<(PathBuf, Vec<u8>)>) {
        for entry in std::fs::read_dir(path).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(base, &path, files);
            } else {
                files.push((path.strip_prefix(base).unwrap().to_owned(), std::fs::read(&path).unwrap()));
            }
        }
    }
    let mut files = Vec::new();
    walk(path, path, &mut files);
    files.sort();
    files
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// A seal, named for its bytes as one with a statement is for that.
fn kept(seal: &[u8]) -> KeptSeal {
    KeptSeal { statement: blob_digest(Algorithm::Sha256, seal), json: seal.to_vec() }
}

/// Seals the image under its name.
fn write_seal(store: &Store, record: &ImageRecord, seal: &[u8]) -> crate::error::Result<ImageRecord> {
    store.write_seal(record, &kept(seal))
}

/// The seal that the image has under its name by now.
fn read_seal(store: &Store, record: &ImageRecord) -> crate::error::Result<Option<Vec<u8>>> {
    store.image(&record.name)?.map_or(Ok(None), |record| store.read_seal(&record))
}

/// What is to be remembered for `name`.
fn epoch_for(name: &str, epoch: u64) -> AcceptedEpoch {
    AcceptedEpoch { name: name.into(), epoch, created_unix_seconds: epoch, given: false }
}
