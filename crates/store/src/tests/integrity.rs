use std::os::unix::fs::MetadataExt;

use sealpack_format::erofs::{FormatVersion, write_metadata_image};
use sealpack_format::tree::{Inode, InodeId, Kind, Tree};

use super::*;
use crate::fault::recorded;
use crate::{Added, Error, Integrity, ObjectState};

fn add(store: &Store, text: &str) -> Added {
    let staging = store.stage().unwrap();
    let added = staging.add_bytes(&id_of(store, text), &content(text)).unwrap();
    staging.commit().unwrap();
    added
}

#[test]
fn an_object_is_written_once() {
    let fixture = fixture();
    assert_eq!(add(&fixture, "x"), Added::New);
    let path = fixture.object_path(&id_of(&fixture, "x"));
    let inode = std::fs::metadata(&path).unwrap().ino();
    assert_eq!(add(&fixture, "x"), Added::Existing);
    let staging = fixture.stage().unwrap();
    let mut writer = staging.object_writer().unwrap();
    writer.write_all(&content("x")).unwrap();
    assert_eq!(writer.finish(&id_of(&fixture, "x")).unwrap(), Added::Existing);
    assert_eq!(staging.add_bytes(&id_of(&fixture, "y"), &content("y")).unwrap(), Added::New);
    assert_eq!(staging.add_bytes(&id_of(&fixture, "y"), &content("y")).unwrap(), Added::Existing);
    assert_eq!(staging.figures().objects, 1);
    assert_eq!(staging.figures().existing_objects, 2);
    staging.commit().unwrap();
    let metadata = std::fs::metadata(&path).unwrap();
    assert_eq!(metadata.ino(), inode);
    assert_eq!(metadata.mode() & 0o333, 0, "objects are read-only");
}

#[test]
fn many_threads_adding_the_same_objects_write_whole_ones() {
    let fixture = fixture();
    let staging = fixture.stage().unwrap();
    let texts: Vec<String> = (0..200).map(|n| format!("object {n}")).collect();
    std::thread::scope(|scope| {
        for part in 0..4 {
            let (staging, texts, store) = (&staging, &texts, &fixture.store);
            scope.spawn(move || {
                for text in texts {
                    if part % 2 == 0 {
                        staging.add_bytes(&id_of(store, text), &content(text)).unwrap();
                    } else {
                        let mut writer = staging.object_writer().unwrap();
                        writer.write_all(&content(text)).unwrap();
                        writer.finish(&id_of(store, text)).unwrap();
                    }
                }
                staging.commit().unwrap();
            });
        }
    });
    let report = fsck(&fixture, false);
    assert_eq!((report.objects, report.problems.len()), (200, 0));
}

#[test]
fn a_damaged_object_of_the_right_size_is_replaced_and_reported() {
    let fixture = fixture();
    add(&fixture, "x");
    let id = id_of(&fixture, "x");
    damage(&fixture.object_path(&id));
    assert_eq!(fixture.check_object(&id).unwrap(), ObjectState::Damaged);
    let staging = fixture.stage().unwrap();
    assert_eq!(staging.add_bytes(&id, &content("x")).unwrap(), Added::Replaced);
    assert_eq!(staging.figures().replaced, [id]);
    staging.commit().unwrap();
    assert_eq!(std::fs::read(fixture.object_path(&id)).unwrap(), content("x"));
    assert_clean(&fixture);
}

/// A file that was verified, and not touched since, is not read again, nor by the next process. Touching it
/// is enough to have it read, even when neither its content nor its size or mtime is another.
#[test]
fn what_was_verified_is_remembered_until_it_is_touched() {
    let fixture = fixture();
    if fixture.integrity() == Integrity::FsVerity {
        eprintln!("skipped: with fs-verity nothing needs remembering");
        return;
    }
    add(&fixture, "x");
    let id = id_of(&fixture, "x");
    let path = fixture.object_path(&id);
    let hashes = |store: &Store| {
        let check = || assert_eq!(store.check_object(&id).unwrap(), ObjectState::Good);
        recorded(check).iter().filter(|change| change.what == "hash" && change.path == path).count()
    };
    let open = || Store::open(fixture.path()).unwrap();
    assert_eq!(hashes(&fixture), 0, "remembered by the one who wrote it");
    assert_eq!(hashes(&open()), 0, "remembered by the next one");

    let modified = std::fs::metadata(&path).unwrap().modified().unwrap();
    // The clock of some filesystems ticks every 10 ms only.
    std::thread::sleep(std::time::Duration::from_millis(30));
    File::open(&path).unwrap().set_modified(modified).unwrap();
    let store = open();
    assert_eq!(hashes(&store), 1, "touched");
    assert_eq!(hashes(&store), 0, "remembered since");
    assert_eq!(hashes(&open()), 1, "but only by this one, which has not saved it");
    fsck(&store, false);
    assert_eq!(hashes(&open()), 0, "fsck has");
    // Another file, all the same but for the inode and the ctime.
    let copy = fixture.directory.path().join("copy");
    std::fs::copy(&path, &copy).unwrap();
    File::open(&copy).unwrap().set_modified(modified).unwrap();
    std::fs::rename(&copy, &path).unwrap();
    assert_eq!(hashes(&open()), 1);
}

#[test]
fn a_torn_or_damaged_memory_costs_time_and_nothing_else() {
    let fixture = fixture();
    if fixture.integrity() == Integrity::FsVerity {
        eprintln!("skipped: with fs-verity nothing needs remembering");
        return;
    }
    add(&fixture, "x");
    let path = fixture.path().join("verified");
    std::fs::write(&path, b"torn").unwrap();
    let store = Store::open(fixture.path()).unwrap();
    assert_eq!(add(&store, "x"), Added::Existing);
    assert_eq!(add(&store, "y"), Added::New);
    // The torn record is cut off, so that the next ones stand where they are looked for.
    assert_eq!(std::fs::metadata(&path).unwrap().len(), 32);
    let store = Store::open(fixture.path()).unwrap();
    assert_eq!(store.check_object(&id_of(&store, "y")).unwrap(), ObjectState::Good);
    std::fs::remove_file(&path).unwrap();
    let store = Store::open(fixture.path()).unwrap();
    assert_eq!(store.check_object(&id_of(&store, "y")).unwrap(), ObjectState::Good);
    assert_clean(&store);
}

#[test]
fn gc_forgets_what_it_removes() {
    let fixture = fixture();
    if fixture.integrity() == Integrity::FsVerity {
        eprintln!("skipped: with fs-verity nothing needs remembering");
        return;
    }
    let texts: Vec<String> = (0..50).map(|n| format!("object {n}")).collect();
    for text in &texts {
        add(&fixture, text);
    }
    pull(&fixture, "a", &[&["object 1"]]);
    assert_eq!(gc(&fixture).objects.count, 49);
    // The object and the metadata image.
    assert_eq!(std::fs::metadata(fixture.path().join("verified")).unwrap().len(), 32);
    let store = Store::open(fixture.path()).unwrap();
    assert_eq!(store.check_object(&id_of(&store, "object 1")).unwrap(), ObjectState::Good);
}

#[test]
fn blobs_are_checked_when_they_come_and_when_they_go() {
    let fixture = fixture();
    let (digest, bytes) = blob_of("manifest");
    let staging = fixture.stage().unwrap();
    let error = staging.add_blob(&digest, b"other").unwrap_err();
    assert!(error.is_verification() && matches!(error, Error::BlobMismatch(_)));
    let large = vec![0; usize::try_from(crate::BLOB_MAX_BYTES).unwrap() + 1];
    assert!(matches!(staging.add_blob(&digest, &large), Err(Error::BlobTooLarge { .. })));
    assert_eq!(staging.add_blob(&digest, &bytes).unwrap(), Added::New);
    staging.commit().unwrap();
    assert_eq!(staging.add_blob(&digest, &bytes).unwrap(), Added::Existing);
    assert_eq!(fixture.blob(&digest).unwrap(), bytes);
    assert!(matches!(fixture.blob(&blob_of("none").0), Err(Error::BlobMissing(_))));

    damage(&fixture.path().join("blobs/sha256").join(digest.hex()));
    let error = fixture.blob(&digest).unwrap_err();
    assert!(error.is_verification() && matches!(error, Error::BlobDamaged { .. }));
    assert_eq!(staging.add_blob(&digest, &bytes).unwrap(), Added::Replaced);
    staging.commit().unwrap();
    assert_eq!(fixture.blob(&digest).unwrap(), bytes);
}

#[test]
fn a_metadata_image_is_measured_whatever_is_remembered() {
    let fixture = fixture();
    let record = pull(&fixture, "a", &[&["x"]]);
    let (mut file, _) = fixture.verify_metadata_image(&record.metadata_image).unwrap();
    let mut text = String::new();
    file.read_to_string(&mut text).unwrap();
    assert_eq!(text.trim(), id_of(&fixture, "x").to_string());
    assert_eq!(fixture.check_metadata_image(&record.metadata_image).unwrap(), ObjectState::Good);

    damage(&fixture.metadata_image_path(&record.metadata_image));
    let error = fixture.verify_metadata_image(&record.metadata_image).unwrap_err();
    assert!(error.is_verification(), "{error}");
    assert_eq!(fixture.check_metadata_image(&record.metadata_image).unwrap(), ObjectState::Damaged);
    pull(&fixture, "a", &[&["x"]]);
    fixture.verify_metadata_image(&record.metadata_image).unwrap();
    std::fs::remove_file(fixture.metadata_image_path(&record.metadata_image)).unwrap();
    assert!(matches!(fixture.verify_metadata_image(&record.metadata_image), Err(Error::ImageMissing(_))));
}

#[test]
fn a_layer_is_whole_only_with_its_record_and_all_its_objects() {
    let fixture = fixture();
    let layer: Layer<'_> = &["x", "y"];
    let diff_id = diff_id_of(layer);
    assert!(!fixture.has_whole_layer(&diff_id).unwrap());
    pull(&fixture, "a", &[layer]);
    assert!(fixture.has_whole_layer(&diff_id).unwrap());
    damage(&fixture.object_path(&id_of(&fixture, "y")));
    assert!(!fixture.has_whole_layer(&diff_id).unwrap());
    pull(&fixture, "a", &[layer]);
    std::fs::remove_file(fixture.object_path(&id_of(&fixture, "x"))).unwrap();
    assert!(!fixture.has_whole_layer(&diff_id).unwrap());
    pull(&fixture, "a", &[layer]);
    assert!(fixture.has_whole_layer(&diff_id).unwrap());
    damage(&fixture.layer_path(&diff_id));
    assert!(!fixture.has_whole_layer(&diff_id).unwrap());
}

#[test]
fn what_is_dropped_unfinished_leaves_nothing() {
    let fixture = fixture();
    let before = snapshot(fixture.path());
    let staging = fixture.stage().unwrap();
    staging.object_writer().unwrap().write_all(b"half").unwrap();
    staging.metadata_image_writer().unwrap().write_all(b"half").unwrap();
    staging.layer_writer().unwrap().write_all(b"half").unwrap();
    staging.add_bytes(&id_of(&fixture, "x"), &content("x")).unwrap();
    drop(staging);
    assert_eq!(snapshot(fixture.path()), before);
    assert_eq!(std::fs::read_dir(fixture.path().join("tmp")).unwrap().count(), 0);
}

/// An image with a real metadata image, of a tree with one file.
pub(super) fn pull_tree(store: &Store, text: &str) -> (ImageRecord, Tree) {
    let staging = store.stage().unwrap();
    let content = content(text);
    let id = id_of(store, text);
    staging.add_bytes(&id, &content).unwrap();
    let LayerItem::Inode(metadata, _) = entry(text, id, 0).item else { unreachable!("an entry is an inode") };
    let mut tree = Tree::new(metadata.clone());
    let file = Content::Object { size: content.len() as u64, id };
    tree.insert(InodeId::ROOT, text.as_bytes(), Inode::new(metadata, Kind::Regular(file))).unwrap();
    let mut writer = staging.metadata_image_writer().unwrap();
    write_metadata_image(&tree, FormatVersion::V1, &mut writer).unwrap();
    let ((manifest, manifest_bytes), image) = (blob_of(text), writer.finish().unwrap());
    staging.add_blob(&manifest, &manifest_bytes).unwrap();
    let record = ImageRecord::new(text, manifest, manifest, image);
    staging.publish(&record).unwrap();
    (record, tree)
}

#[test]
fn the_tree_of_an_image_is_read_from_what_was_checked() {
    let fixture = fixture();
    let (record, tree) = pull_tree(&fixture, "x");
    let read = fixture.tree(&record).unwrap();
    assert_eq!(read.len(), tree.len());
    let file = read.lookup(b"/x").unwrap();
    assert_eq!(read.inode(file).kind, tree.inode(tree.lookup(b"/x").unwrap()).kind);
    damage(&fixture.metadata_image_path(&record.metadata_image));
    assert!(fixture.tree(&record).unwrap_err().is_verification());
    // Of the right digest, and no metadata image.
    let text = pull(&fixture, "y", &[&["y"]]);
    assert!(matches!(fixture.tree(&text), Err(Error::ImageUnreadable { .. })));
}

#[test]
fn all_objects_of_an_image_must_be_there_to_be_guarded() {
    let fixture = fixture();
    let (record, _) = pull_tree(&fixture, "x");
    let guarded = fixture.integrity() == Integrity::FsVerity;
    assert_eq!(fixture.all_have_verity(&record).unwrap(), guarded);
    let id = id_of(&fixture, "x");
    std::fs::remove_file(fixture.object_path(&id)).unwrap();
    let error = fixture.all_have_verity(&record).unwrap_err();
    assert_eq!(error.to_string(), format!("x is incomplete: object {id} is missing"));
}
