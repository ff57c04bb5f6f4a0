//! What was found out once, and a store that somebody changed by hand since.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::time::Duration;

use sealpack_format::digest::RootHash;

use super::integrity::pull_tree;
use super::*;
use crate::{Error, Fact, Integrity};

/// Long enough for what was just written to be remembered.
fn settle() {
    std::thread::sleep(Duration::from_millis(2100));
}

fn facts_of(store: &Store) -> Vec<u8> {
    std::fs::read(store.path().join("facts")).unwrap_or_default()
}

#[test]
fn objects_that_were_there_are_looked_for_again_as_soon_as_one_may_be_gone() {
    let fixture = fixture();
    let (record, _) = pull_tree(&fixture, "x");
    let guarded = fixture.integrity() == Integrity::FsVerity;
    let is_incomplete = || {
        // Another process, which knows nothing but what is on the disk.
        let error = Store::open(fixture.path()).unwrap().all_have_verity(&record).unwrap_err();
        assert_eq!(error.to_string(), format!("x is incomplete: object {} is missing", id_of(&fixture, "x")));
    };
    let is_complete = || {
        let store = Store::open(fixture.path()).unwrap();
        assert_eq!(store.all_have_verity(&record).unwrap(), guarded);
    };
    settle();
    is_complete();
    let remembered = facts_of(&fixture);
    assert_eq!(remembered.len(), 16);
    // It is not even read again: other bytes, and the status as it was but for the time of the change.
    is_complete();
    assert_eq!(facts_of(&fixture), remembered);

    let object = fixture.object_path(&id_of(&fixture, "x"));
    let fan = object.parent().unwrap();
    let before = std::fs::metadata(fan).unwrap().modified().unwrap();
    let aside = fixture.directory.path().join("aside");
    std::fs::rename(&object, &aside).unwrap();
    is_incomplete();
    // Whoever sets the time back does not hide it.
    std::fs::File::open(fan).unwrap().set_modified(before).unwrap();
    is_incomplete();
    std::fs::rename(&aside, &object).unwrap();
    is_complete();
    std::fs::rename(fan, &aside).unwrap();
    is_incomplete();
    std::fs::create_dir(fan).unwrap();
    is_incomplete();
    std::fs::remove_dir(fan).unwrap();
    std::fs::rename(&aside, fan).unwrap();
    is_complete();

    std::fs::remove_file(fixture.metadata_image_path(&record.metadata_image)).unwrap();
    assert!(matches!(fixture.all_have_verity(&record), Err(Error::ImageMissing(_))));
    assert_eq!(
        fsck(&fixture, false).problems.iter().filter(|problem| problem.path.ends_with("facts")).count(),
        0
    );
}

#[test]
fn a_metadata_image_that_was_replaced_is_read_again() {
    let fixture = fixture();
    let (record, _) = pull_tree(&fixture, "x");
    settle();
    fixture.all_have_verity(&record).unwrap();
    damage(&fixture.metadata_image_path(&record.metadata_image));
    let store = Store::open(fixture.path()).unwrap();
    assert!(matches!(store.all_have_verity(&record), Err(Error::ImageDamaged { .. })));
}

#[test]
fn what_has_just_changed_is_not_remembered_as_it_may_change_again_unseen() {
    let fixture = fixture();
    let (record, _) = pull_tree(&fixture, "x");
    fixture.all_have_verity(&record).unwrap();
    assert_eq!(facts_of(&fixture), b"");
}

fn pack_of(store: &Store, record: &ImageRecord) -> RootHash {
    store.image_packs(record).unwrap()[0].pack.root_hash
}

#[test]
fn packs_are_looked_into_again_as_soon_as_one_may_be_another() {
    let fixture = fixture();
    let one = pull_as(ObjectForm::Packs, &fixture, "one", &[&["x"]]);
    let two = pull_as(ObjectForm::Packs, &fixture, "two", &[&["y"]]);
    let packs = [pack_of(&fixture, &one), pack_of(&fixture, &two)];
    settle();
    let fact = |image: &ImageRecord, packs: &[RootHash]| {
        fixture.packs_are_complete(&image.metadata_image, packs).unwrap()
    };
    let known = |fact: &Fact| Store::open(fixture.path()).unwrap().remembers(fact);
    let found = fact(&one, &packs);
    assert!(!known(&found));
    fixture.remember(&found);
    assert!(known(&found) && known(&fact(&one, &packs)));
    // Of this image, these packs, in this order.
    assert!(!known(&fact(&two, &packs)) && !known(&fact(&one, &packs[..1])));
    assert!(!known(&fact(&one, &[packs[1], packs[0]])));

    let path = fixture.pack_path(&packs[0]);
    let bytes = std::fs::read(&path).unwrap();
    let is_unknown = |what: &str| assert!(!known(&fact(&one, &packs)), "{what}");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    is_unknown("touched");
    std::fs::write(&path, &bytes).unwrap();
    is_unknown("written in place, to the same bytes");
    std::fs::remove_file(&path).unwrap();
    is_unknown("gone");
    std::fs::write(&path, &bytes).unwrap();
    is_unknown("another file");
    // It has changed right now, and may again, in the same tick of the clock.
    fixture.remember(&fact(&one, &packs));
    is_unknown("just changed");
}

#[test]
fn objects_of_a_layer_are_looked_at_again_as_soon_as_one_may_be_another() {
    let fixture = fixture();
    let layer: Layer<'_> = &["x", "y"];
    pull_as(ObjectForm::Files, &fixture, "one", &[layer]);
    let diff_id = diff_id_of(layer);
    let has_layer = || Store::open(fixture.path()).unwrap().has_whole_layer(&diff_id).unwrap();
    settle();
    assert!(has_layer());
    // Where nothing guards the files each of them is looked at every time.
    let records = if fixture.integrity() == Integrity::FsVerity { 1 } else { 0 };
    let remembered = facts_of(&fixture);
    assert_eq!(remembered.len(), 16 * records);
    assert!(has_layer());
    assert_eq!(facts_of(&fixture), remembered);

    let object = fixture.object_path(&id_of(&fixture, "x"));
    let aside = fixture.directory.path().join("aside");
    std::fs::rename(&object, &aside).unwrap();
    assert!(!has_layer(), "gone");
    std::fs::write(&object, content("z")).unwrap();
    assert!(!has_layer(), "another file");
    std::fs::rename(&aside, &object).unwrap();
    assert!(has_layer());
    let before = std::fs::metadata(&object).unwrap();
    std::fs::set_permissions(&object, std::fs::Permissions::from_mode(0o644)).unwrap();
    if std::fs::write(&object, content("z")).is_ok() {
        std::fs::File::open(&object).unwrap().set_modified(before.modified().unwrap()).unwrap();
        assert!(!has_layer(), "in place");
    } else {
        // fs-verity lets nobody.
        assert_eq!(records, 1);
        assert!(has_layer());
    }
    damage(&fixture.layer_path(&diff_id));
    assert!(!has_layer(), "its record");
}

#[test]
fn a_hash_area_that_is_there_is_not_made_anew_unless_it_or_its_image_is_damaged() {
    let fixture = fixture();
    let record = pull_as(ObjectForm::Packs, &fixture, "one", &[&["x"]]);
    let area = fixture.hash_area_path(&record.metadata_image);
    let (good, before) = (std::fs::read(&area).unwrap(), std::fs::metadata(&area).unwrap().ino());
    fixture.stage().unwrap().publish(&record).unwrap();
    assert_eq!(std::fs::metadata(&area).unwrap().ino(), before);
    damage(&area);
    fixture.stage().unwrap().publish(&record).unwrap();
    assert_eq!(std::fs::read(&area).unwrap(), good);
    damage(&fixture.metadata_image_path(&record.metadata_image));
    let error = fixture.stage().unwrap().publish(&record).unwrap_err();
    assert!(matches!(error, Error::ImageDamaged { .. }), "{error}");
}

#[test]
fn a_damaged_memory_remembers_nothing_that_was_not_found_out() {
    let fixture = fixture();
    let record = pull_as(ObjectForm::Packs, &fixture, "one", &[&["x"]]);
    let packs = [pack_of(&fixture, &record)];
    settle();
    let fact = fixture.packs_are_complete(&record.metadata_image, &packs).unwrap();
    let path = fixture.path().join("facts");
    for content in [&b"torn"[..], &[0xff; 16 * 5 + 3], &[0; 1 << 20]] {
        std::fs::write(&path, content).unwrap();
        let store = Store::open(fixture.path()).unwrap();
        assert!(!store.remembers(&fact));
        store.remember(&fact);
        assert!(Store::open(fixture.path()).unwrap().remembers(&fact));
        let length = std::fs::metadata(&path).unwrap().len();
        assert!(length.is_multiple_of(16) && length <= 64 * 1024, "{length}");
    }
    // What is remembered of one store is nothing to another, though all names are the same.
    let other = super::fixture();
    let same = pull_as(ObjectForm::Packs, &other, "one", &[&["x"]]);
    std::fs::copy(&path, other.path().join("facts")).unwrap();
    let fact = other.packs_are_complete(&same.metadata_image, &packs).unwrap();
    assert!(!other.remembers(&fact));
    // A directory in its place is a memory that cannot be read.
    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    let store = Store::open(fixture.path()).unwrap();
    store.remember(&fact);
    assert!(!store.remembers(&fact));
}

#[test]
fn what_layers_make_is_remembered_of_these_layers_in_this_order_and_by_this_rule() {
    let fixture = fixture();
    let record = pull_as(ObjectForm::Files, &fixture, "one", &[&["x"], &["y"]]);
    let [lower, upper] = &record.layers[..] else { panic!("two layers were pulled") };
    let (lower, upper) = (lower.diff_id, upper.diff_id);
    let (id, size_bytes) = (record.metadata_image, record.metadata_image_size_bytes);
    let right = fixture.layers_make([lower, upper], "a rule", &id, size_bytes);
    fixture.remember(&right);
    // Another process, which knows what is on the disk.
    let store = Store::open(fixture.path()).unwrap();
    assert!(store.remembers(&store.layers_make([lower, upper], "a rule", &id, size_bytes)));
    let other = pull_as(ObjectForm::Files, &fixture, "other", &[&["z"]]).metadata_image;
    for (what, fact) in [
        ("the other way round", store.layers_make([upper, lower], "a rule", &id, size_bytes)),
        ("fewer", store.layers_make([lower], "a rule", &id, size_bytes)),
        ("more", store.layers_make([lower, upper, upper], "a rule", &id, size_bytes)),
        ("another rule", store.layers_make([lower, upper], "a rule of", &id, size_bytes)),
        ("another image", store.layers_make([lower, upper], "a rule", &other, size_bytes)),
        ("another size", store.layers_make([lower, upper], "a rule", &id, size_bytes + 1)),
    ] {
        assert!(!store.remembers(&fact), "{what}");
    }
}

#[test]
fn a_store_with_a_memory_is_one_that_is_in_order() {
    let fixture = fixture();
    let record = pull_as(ObjectForm::Packs, &fixture, "one", &[&["x"]]);
    settle();
    let fact = fixture.packs_are_complete(&record.metadata_image, &[pack_of(&fixture, &record)]).unwrap();
    let meta = std::fs::read(fixture.path().join("meta.json")).unwrap();
    fixture.remember(&fact);
    // Programs that know nothing of it may use the store.
    assert_eq!(std::fs::read(fixture.path().join("meta.json")).unwrap(), meta);
    assert_clean(&fixture);
    gc(&fixture);
    assert!(fixture.remembers(&fact));
}

#[test]
fn a_hash_area_proves_the_root_hash_of_its_image_and_of_no_other() {
    let fixture = fixture();
    let staging = fixture.stage().unwrap();
    let image = |byte: u8, blocks: usize| {
        let mut image = staging.metadata_image_writer().unwrap();
        image.write_all(&vec![byte; blocks * 4096]).unwrap();
        image.finish().unwrap()
    };
    let [id, other, shorter] = [image(7, 200), image(8, 200), image(7, 199)];
    staging.commit().unwrap();
    assert_eq!(fixture.proved_root_hash(&id).unwrap(), None);
    let root_hash = fixture.ensure_hash_area(&id).unwrap();
    assert_eq!(fixture.proved_root_hash(&id).unwrap(), Some(root_hash));
    let path = fixture.hash_area_path(&id);
    let area = std::fs::read(&path).unwrap();
    let put = |path: &Path, bytes: &[u8]| {
        _ = std::fs::remove_file(path);
        std::fs::write(path, bytes).unwrap();
    };
    for offset in (0..area.len()).step_by(97).chain([area.len() - 1]) {
        let mut bytes = area.clone();
        bytes[offset] ^= 1;
        put(&path, &bytes);
        assert_eq!(fixture.proved_root_hash(&id).unwrap(), None, "byte {offset}");
    }
    put(&path, &area[..area.len() - 1]);
    assert_eq!(fixture.proved_root_hash(&id).unwrap(), None);
    // A whole one, of another image.
    fixture.ensure_hash_area(&other).unwrap();
    put(&path, &std::fs::read(fixture.hash_area_path(&other)).unwrap());
    assert_eq!(fixture.proved_root_hash(&id).unwrap(), None);
    put(&fixture.hash_area_path(&shorter), &area);
    assert_eq!(fixture.proved_root_hash(&shorter).unwrap(), None);
    // What is not proved is computed, and proved from then on.
    assert_eq!(fixture.metadata_image_root_hash(&id).unwrap(), root_hash);
    assert_eq!(fixture.proved_root_hash(&id).unwrap(), None);
    assert_eq!(fixture.remembered_root_hash(&id).unwrap(), root_hash);
    assert_eq!(fixture.proved_root_hash(&id).unwrap(), Some(root_hash));
    // It is what the digest stands for, whatever has become of the image; that its bytes are those, others see.
    damage(&fixture.metadata_image_path(&id));
    assert_eq!(fixture.proved_root_hash(&id).unwrap(), Some(root_hash));
    std::fs::remove_file(fixture.metadata_image_path(&id)).unwrap();
    assert!(matches!(fixture.proved_root_hash(&id), Err(Error::ImageMissing(_))));
}

#[test]
fn with_sha512_a_root_hash_is_computed_from_the_image() {
    let fixture = fixture_with(Algorithm::Sha512);
    let staging = fixture.stage().unwrap();
    let mut image = staging.metadata_image_writer().unwrap();
    image.write_all(&[7; 3 * 4096]).unwrap();
    let id = image.finish().unwrap();
    staging.commit().unwrap();
    let root_hash = fixture.ensure_hash_area(&id).unwrap();
    assert_eq!(fixture.proved_root_hash(&id).unwrap(), None);
    assert_eq!(fixture.remembered_root_hash(&id).unwrap(), root_hash);
    damage(&fixture.metadata_image_path(&id));
    assert!(matches!(fixture.remembered_root_hash(&id), Err(Error::ImageDamaged { .. })));
}
