//! Packs as pulls make them.
#![allow(clippy::unwrap_used, reason = "the whole crate is a test, its helpers included")]

mod again;
mod checked;
mod ingest;
mod limits;
mod memory;
mod names;
mod same_bytes;
mod tar;

use std::path::{Path, PathBuf};

use memory::{Memory, diff_id_of};
use sealpack_format::Algorithm;
use sealpack_oci::media_type::Compression;
use sealpack_oci::pull::{PullError, Pulled, Request, pull};
use sealpack_store::{FsckOptions, GcOptions, ObjectForm, Store, objects_of_image};
use tar::{Member, archive};

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

fn fixture(algorithm: Algorithm) -> Fixture {
    let directory = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let store = Store::create(directory.path().join("store"), algorithm).unwrap();
    Fixture { directory, store }
}

fn try_pull(store: &Store, source: &Memory, form: Option<ObjectForm>) -> Result<Pulled, PullError> {
    let name = "localhost/image:1".parse().unwrap();
    pull(store, source, &source.image, &Request::unjudged(&name, form), &())
}

#[track_caller]
fn pull_as(store: &Store, source: &Memory, form: ObjectForm) -> Pulled {
    let pulled = try_pull(store, source, Some(form)).unwrap();
    let report = store.fsck(&FsckOptions::default(), &objects_of_image, &|_| Vec::new(), &()).unwrap();
    assert!(report.is_clean(), "{:#?}", report.problems);
    pulled
}

/// The files in a directory of the store, by name, with their contents.
fn files(store: &Store, directory: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let Ok(entries) = std::fs::read_dir(store.path().join(directory)) else { return Vec::new() };
    let paths = entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_file());
    let mut files: Vec<_> = paths
        .map(|path| (Path::new(path.file_name().unwrap()).to_owned(), std::fs::read(&path).unwrap()))
        .collect();
    files.sort();
    files
}

fn text(length: usize) -> Vec<u8> {
    (0..length).map(|n| (n.wrapping_mul(31) ^ (n >> 8)) as u8).collect()
}

fn two_layers() -> Vec<Vec<u8>> {
    vec![
        archive(&[
            ("usr/", Member::Directory),
            ("usr/a", Member::File(text(70_000))),
            ("usr/b", Member::File(text(100))),
        ]),
        archive(&[("usr/c", Member::File(text(5000))), ("usr/d", Member::Symlink("c".to_owned()))]),
    ]
}

fn gc(store: &Store) {
    store.gc(&GcOptions::default(), &objects_of_image, &()).unwrap();
}

#[test]
fn a_layer_that_is_there_in_the_other_form_is_not_fetched() {
    let (store, source) = (fixture(Algorithm::Sha256), Memory::new(&two_layers(), Compression::Gzip));
    let files_first = pull_as(&store, &source, ObjectForm::Files);
    assert_eq!((source.opened(), files_first.objects_before), (2, None));
    let packed = pull_as(&store, &source, ObjectForm::Packs);
    assert_eq!((source.opened(), packed.layers_converted, packed.added.packs), (0, 2, 2));
    assert_eq!(packed.objects_before, Some(ObjectForm::Files));
    assert_eq!(packed.record.metadata_image, files_first.record.metadata_image);
    gc(&store);
    assert_eq!(std::fs::read_dir(store.objects_path()).unwrap().count(), 0);
    assert_eq!(pull_as(&store, &source, ObjectForm::Packs).layers_known, 2);
    let unpacked = pull_as(&store, &source, ObjectForm::Files);
    assert_eq!((source.opened(), unpacked.layers_converted, unpacked.added.objects), (0, 2, 3));
}

#[test]
fn a_name_keeps_its_form_unless_another_is_asked_for() {
    let (store, source) = (fixture(Algorithm::Sha256), Memory::new(&two_layers(), Compression::Plain));
    assert_eq!(try_pull(&store, &source, None).unwrap().record.objects, ObjectForm::Files);
    pull_as(&store, &source, ObjectForm::Packs);
    let other = Memory::new(&two_layers()[..1], Compression::Plain);
    let pulled = try_pull(&store, &other, None).unwrap();
    assert_eq!((pulled.record.objects, pulled.layers_known), (ObjectForm::Packs, 1));
    // A damaged name has no form.
    std::fs::write(store.path().join("refs/localhost%2Fimage:1.json"), "{").unwrap();
    assert_eq!(try_pull(&store, &other, None).unwrap().record.objects, ObjectForm::Files);
}

#[test]
fn what_is_damaged_in_the_store_is_fetched_again() {
    let (store, source) = (fixture(Algorithm::Sha256), Memory::new(&two_layers(), Compression::Plain));
    let record = pull_as(&store, &source, ObjectForm::Packs).record;
    source.opened();
    let pack = store.layer_pack(&record.layers[0].diff_id).unwrap().unwrap();
    let path = store.pack_path(&pack.root_hash);
    let good = std::fs::read(&path).unwrap();
    let mut bad = good.clone();
    bad[5000] ^= 1;
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, bad).unwrap();
    // Neither is it unpacked.
    let unpacked = try_pull(&store, &source, Some(ObjectForm::Files)).unwrap();
    assert_eq!((source.opened(), unpacked.layers_converted), (1, 1));
    let packed = pull_as(&store, &source, ObjectForm::Packs);
    assert_eq!((source.opened(), packed.layers_known, packed.layers_converted), (0, 1, 1));
    assert_eq!(packed.added.replaced_packs, [pack.root_hash]);
    assert_eq!(std::fs::read(&path).unwrap(), good);
}

#[test]
fn a_pull_that_fails_leaves_neither_packs_nor_records() {
    let store = fixture(Algorithm::Sha256);
    let mut tars = two_layers();
    // Its second member is cut off.
    let length = tars[1].len();
    tars[1].truncate(length - 5000);
    for form in [ObjectForm::Packs, ObjectForm::Files] {
        let error = try_pull(&store, &Memory::new(&tars, Compression::Plain), Some(form)).unwrap_err();
        assert!(error.to_string().starts_with("layer 2 "), "{error}");
        for directory in ["packs/sha256", "layers/sha256", "refs", "images", "tmp"] {
            assert!(files(&store, directory).is_empty(), "{directory}");
        }
        assert_eq!(std::fs::read_dir(store.objects_path()).unwrap().count(), 0);
    }
    // What was there before stays.
    let good = Memory::new(&two_layers()[..1], Compression::Plain);
    pull_as(&store, &good, ObjectForm::Files);
    let before = files(&store, "layers/sha256");
    try_pull(&store, &Memory::new(&tars, Compression::Plain), Some(ObjectForm::Packs)).unwrap_err();
    assert!(files(&store, "layers/sha256") == before && files(&store, "packs/sha256").is_empty());
}

#[test]
fn a_store_of_sha512_refuses_before_anything_is_fetched() {
    let (store, source) = (fixture(Algorithm::Sha512), Memory::new(&two_layers(), Compression::Plain));
    let error = try_pull(&store, &source, Some(ObjectForm::Packs)).unwrap_err();
    assert!(error.to_string().contains("packs need sha256"), "{error}");
    assert_eq!(source.opened(), 0);
}

#[test]
fn layers_with_the_same_contents_share_a_pack_and_layers_without_objects_have_none() {
    let store = fixture(Algorithm::Sha256);
    let tars = [
        archive(&[("a", Member::File(text(500))), ("tiny", Member::File(b"inline".to_vec()))]),
        archive(&[("b", Member::File(text(500)))]),
        archive(&[("tiny", Member::File(vec![1; 64])), ("dir/", Member::Directory)]),
        archive(&[]),
    ];
    let source = Memory::new(&tars, Compression::Plain);
    let record = pull_as(&store, &source, ObjectForm::Packs).record;
    let packs = store.image_packs(&record).unwrap();
    let layers: Vec<_> = packs.iter().map(|pack| pack.layer).collect();
    assert_eq!(layers, [diff_id_of(&tars[0]), diff_id_of(&tars[1])]);
    assert_eq!(packs[0].pack, packs[1].pack);
    assert_eq!(files(&store, "packs/sha256").len(), 1);
    source.opened();
    assert_eq!(pull_as(&store, &source, ObjectForm::Packs).layers_known, 4);
    assert_eq!(source.opened(), 0);
    // The directory is removed with the fixture, not before.
    assert!(store.directory.path().exists());
}
