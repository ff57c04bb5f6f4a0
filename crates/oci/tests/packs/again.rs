//! Pulls of what is there, and what somebody changed by hand since.

use std::os::unix::fs::PermissionsExt;

use sealpack_format::ObjectId;
use sealpack_oci::budget::Limits;
use sealpack_oci::pull::Word;
use sealpack_store::ImageRecord;

use super::*;

/// The one image that a store has.
fn record(store: &Store) -> ImageRecord {
    store.image("localhost/image:1").unwrap().unwrap()
}

/// Changes the record of the name in place.
fn edit_record(store: &Store, change: impl FnOnce(&mut serde_json::Value)) {
    let path = std::fs::read_dir(store.path().join("refs")).unwrap().next().unwrap().unwrap().path();
    let mut json = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    change(&mut json);
    std::fs::write(path, serde_json::to_vec(&json).unwrap()).unwrap();
}

fn memory_of(store: &Store) -> Vec<u8> {
    std::fs::read(store.path().join("facts")).unwrap_or_default()
}

#[test]
fn an_image_that_is_there_is_not_made_again_and_keeps_its_time() {
    for form in [ObjectForm::Files, ObjectForm::Packs] {
        let (store, source) = (fixture(Algorithm::Sha256), Memory::new(&two_layers(), Compression::Gzip));
        let first = pull_as(&store, &source, form);
        let memory = memory_of(&store);
        assert_eq!(memory.len(), 16);
        edit_record(&store, |record| record["pulled_unix_seconds"] = 7.into());
        let names = std::fs::metadata(store.path().join("refs")).unwrap().modified().unwrap();
        // Another process, which knows what is on the disk.
        let opened = Store::open(store.path()).unwrap();
        let again = pull_as(&opened, &source, form);
        assert_eq!(again.record.pulled_unix_seconds, 7);
        assert_eq!(again.record.metadata_image, first.record.metadata_image);
        assert_eq!((again.layers_known, again.added.objects, again.added.packs), (2, 0, 0));
        assert_eq!(std::fs::metadata(store.path().join("refs")).unwrap().modified().unwrap(), names);
        // What makes the image is known and not told again, whatever else was found out.
        let again = memory_of(&store);
        assert_eq!(again.chunks(16).filter(|fact| *fact == memory).count(), 1);
    }
}

#[test]
fn a_name_that_was_given_to_another_image_by_hand_gets_its_own_again() {
    let (store, source) = (fixture(Algorithm::Sha256), Memory::new(&two_layers(), Compression::Gzip));
    let right = pull_as(&store, &source, ObjectForm::Files).record;
    let other = Memory::new(&[archive(&[("x", Member::File(text(500)))])], Compression::Gzip);
    let name = "localhost/other:1".parse().unwrap();
    let request = Request::unjudged(&name, Some(ObjectForm::Files));
    let other = pull(&store, &other, &other.image, &request, &()).unwrap().record;
    store.remove_image(&other.name).unwrap();
    edit_record(&store, |record| {
        record["image"] = other.metadata_image.to_string().into();
        record["image_size_bytes"] = other.metadata_image_size_bytes.into();
    });
    assert_eq!(record(&store).metadata_image, other.metadata_image);
    let again = try_pull(&Store::open(store.path()).unwrap(), &source, Some(ObjectForm::Files)).unwrap();
    assert_eq!(again.record, right);
    assert_eq!(record(&store), right);
    // The right image, and a wrong size.
    edit_record(&store, |record| record["image_size_bytes"] = 1.into());
    pull_as(&Store::open(store.path()).unwrap(), &source, ObjectForm::Files);
    assert_eq!(record(&store), right);
}

#[test]
fn a_metadata_image_that_was_changed_by_hand_is_made_again() {
    let (store, source) = (fixture(Algorithm::Sha256), Memory::new(&two_layers(), Compression::Gzip));
    let first = pull_as(&store, &source, ObjectForm::Files).record;
    let path = store.metadata_image_path(&first.metadata_image);
    let good = std::fs::read(&path).unwrap();
    let changes: [&dyn Fn(); 3] = [
        &|| std::fs::remove_file(&path).unwrap(),
        &|| {
            let mut bad = good.clone();
            bad[2000] ^= 1;
            std::fs::remove_file(&path).unwrap();
            std::fs::write(&path, bad).unwrap();
        },
        &|| {
            std::fs::remove_file(&path).unwrap();
            std::fs::write(&path, b"").unwrap();
        },
    ];
    for change in changes {
        change();
        pull_as(&Store::open(store.path()).unwrap(), &source, ObjectForm::Files);
        assert!(std::fs::read(&path).unwrap() == good);
    }
}

#[test]
fn an_object_that_was_changed_by_hand_is_fetched_again() {
    let (store, source) = (fixture(Algorithm::Sha256), Memory::new(&two_layers(), Compression::Gzip));
    pull_as(&store, &source, ObjectForm::Files);
    let id: ObjectId = sealpack_format::verity::fsverity_digest(Algorithm::Sha256, &text(5000));
    let path = store.object_path(&id);
    let changes: [(&str, &dyn Fn()); 3] = [
        ("in place", &|| {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
            // Where fs-verity guards it, nobody can.
            if std::fs::write(&path, text(4999)).is_err() {
                std::fs::remove_file(&path).unwrap();
            }
        }),
        ("replaced", &|| {
            std::fs::remove_file(&path).unwrap();
            std::fs::write(&path, vec![7; 5000]).unwrap();
        }),
        ("removed", &|| std::fs::remove_file(&path).unwrap()),
    ];
    for (what, change) in changes {
        change();
        let again = pull_as(&Store::open(store.path()).unwrap(), &source, ObjectForm::Files);
        assert_eq!((again.layers_known, again.added.objects), (1, 1), "{what}");
        assert!(std::fs::read(&path).unwrap() == text(5000), "{what}");
    }
}

#[test]
fn what_is_known_is_within_the_limits_that_it_was_made_within() {
    let (store, source) = (fixture(Algorithm::Sha256), Memory::new(&two_layers(), Compression::Gzip));
    pull_as(&store, &source, ObjectForm::Files);
    let name = "localhost/image:1".parse().unwrap();
    let limits = Limits { memory_bytes: 10, ..Limits::USUAL };
    let request = Request { limits, ..Request::unjudged(&name, Some(ObjectForm::Files)) };
    assert!(matches!(request.word, Word::Nobodys));
    let error = pull(&store, &source, &source.image, &request, &()).unwrap_err();
    assert!(error.over_limit().is_some(), "{error}");
    pull_as(&store, &source, ObjectForm::Files);
}

#[test]
fn a_damaged_memory_costs_making_the_image_again_and_nothing_else() {
    let (store, source) = (fixture(Algorithm::Sha256), Memory::new(&two_layers(), Compression::Gzip));
    let first = pull_as(&store, &source, ObjectForm::Files).record;
    for content in [&b"torn"[..], &[0xff; 160], b""] {
        std::fs::write(store.path().join("facts"), content).unwrap();
        let again = pull_as(&Store::open(store.path()).unwrap(), &source, ObjectForm::Files);
        assert_eq!(again.record, first);
    }
}
