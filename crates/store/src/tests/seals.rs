//! A seal for each name, and stores from when there was one for each image.

use super::*;

/// A seal as they are, but for its signatures.
pub(super) fn seal_of(statement: &str) -> Vec<u8> {
    serde_json::json!({ "version": 1, "statement": statement, "signatures": {} }).to_string().into_bytes()
}

pub(super) fn kept_of(statement: &str) -> KeptSeal {
    KeptSeal { statement: blob_of(statement).0, json: seal_of(statement) }
}

fn names_in(path: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(path.join("seals")).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// A store as versions before there was a seal for each name wrote it.
pub(super) struct OldStore {
    _directory: tempfile::TempDir,
    pub(super) path: PathBuf,
}

impl OldStore {
    /// With two names of one image, one of another that has an earlier one, all sealed, and one without a seal.
    pub(super) fn new() -> Self {
        let directory = tempfile::tempdir_in("/dev/shm")
            .or_else(|_| tempfile::tempdir())
            .expect("a directory for the store");
        let path = directory.path().join("store");
        let store = Store::create(&path, Algorithm::Sha256).unwrap();
        let one = pull_as(ObjectForm::Packs, &store, "dev", &[&["one"]]);
        pull_as(ObjectForm::Packs, &store, "prod", &[&["one"]]);
        let two = pull(&store, "other", &[&["two"]]);
        let three = pull(&store, "other", &[&["three"]]);
        pull(&store, "unsealed", &[&["four"]]);
        let meta = path.join("meta.json");
        let mut json: serde_json::Value = serde_json::from_slice(&std::fs::read(&meta).unwrap()).unwrap();
        assert_eq!(json["incompat"], serde_json::json!(["packs", "history"]));
        json["incompat"] = serde_json::json!(["history", "packs"]);
        std::fs::remove_file(&meta).unwrap();
        std::fs::write(&meta, json.to_string()).unwrap();
        for (record, statement) in [(&one, "one"), (&two, "two"), (&three, "three")] {
            let name = format!("seals/{}.json", record.manifest.hex());
            std::fs::write(path.join(name), seal_of(statement)).unwrap();
        }
        Self { _directory: directory, path }
    }

    /// That each name has the seal that it had, wherever it is by now.
    pub(super) fn check(&self) {
        let store = Store::open(&self.path).unwrap();
        for (name, statement) in
            [("dev", Some("one")), ("prod", Some("one")), ("other", Some("three")), ("unsealed", None)]
        {
            let record = store.image(name).unwrap().unwrap();
            let listed = store.images().unwrap().records.into_iter().find(|record| record.name == name);
            assert_eq!(listed.as_ref(), Some(&record));
            assert_eq!(store.read_seal(&record).unwrap(), statement.map(seal_of), "{name}");
            assert_eq!(store.seal_path(&record).is_some_and(|path| path.exists()), statement.is_some());
        }
        let [earlier] = store.history("other").unwrap().try_into().unwrap();
        assert_eq!(store.read_seal(&earlier).unwrap(), Some(seal_of("two")));
        assert_clean(&store);
    }

    /// That no seal is where it was.
    pub(super) fn check_moved(&self) {
        let names = names_in(&self.path);
        assert!(names.len() == 3 && names.iter().all(|name| name.contains('-')), "{names:?}");
        let meta = std::fs::read_to_string(self.path.join("meta.json")).unwrap();
        assert!(meta.contains("\"seals\""), "earlier versions would find no seals: {meta}");
    }
}

#[test]
fn each_name_of_an_image_has_a_seal_of_its_own() {
    let fixture = fixture();
    let dev = pull(&fixture, "dev", &[&["x"]]);
    let prod = pull(&fixture, "prod", &[&["x"]]);
    fixture.write_seal(&dev, &kept_of("dev")).unwrap();
    assert_eq!(read_seal(&fixture, &prod).unwrap(), None);
    fixture.write_seal(&prod, &kept_of("prod")).unwrap();
    for name in ["dev", "prod"] {
        let record = fixture.image(name).unwrap().unwrap();
        assert_eq!(fixture.read_seal(&record).unwrap(), Some(seal_of(name)));
    }
    // One that no name has any more goes with the next gc, the others stay.
    fixture.write_seal(&prod, &kept_of("prod again")).unwrap();
    assert_eq!(gc(&fixture).seals.count, 1);
    assert_eq!(read_seal(&fixture, &dev).unwrap(), Some(seal_of("dev")));
    assert_eq!(read_seal(&fixture, &prod).unwrap(), Some(seal_of("prod again")));
    fixture.remove_image("prod").unwrap();
    assert_eq!(gc(&fixture).seals.count, 1);
    assert_eq!(read_seal(&fixture, &dev).unwrap(), Some(seal_of("dev")));
    assert_clean(&fixture);
}

#[test]
fn a_seal_is_not_that_of_an_image_which_got_the_name_meanwhile() {
    let fixture = fixture();
    let before = pull(&fixture, "a", &[&["x"]]);
    pull(&fixture, "a", &[&["y"]]);
    let error = fixture.write_seal(&before, &kept_of("x")).unwrap_err();
    assert!(matches!(error, crate::Error::NameChanged(_)), "{error}");
    assert_eq!(read_seal(&fixture, &before).unwrap(), None);
}

#[test]
fn an_old_store_reads_as_it_did_without_being_changed() {
    let old = OldStore::new();
    let before = snapshot(&old.path);
    old.check();
    let store = Store::open(&old.path).unwrap();
    let planned = store.gc(&GcOptions { dry_run: true, ..GcOptions::default() }, &objects_of, &()).unwrap();
    assert_eq!(planned.seals.count, 0);
    assert_eq!(snapshot(&old.path), before);
}

#[test]
fn an_old_store_becomes_one_with_a_seal_for_each_name_by_whatever_changes_names() {
    let changes: [&dyn Fn(&Store); 4] = [
        &|store| drop(pull(store, "new", &[&["new"]])),
        &|store| {
            let record = store.image("unsealed").unwrap().unwrap();
            store.write_seal(&record, &kept_of("four")).unwrap();
            let sealed = store.image("unsealed").unwrap().unwrap();
            std::fs::remove_file(store.seal_path(&sealed).unwrap()).unwrap();
            store.put_record(&record).unwrap();
        },
        &|store| assert_eq!(gc(store).seals.count, 0),
        &|store| {
            let record = store.image("dev").unwrap().unwrap();
            store.convert(&record, ObjectForm::Files, &()).unwrap();
        },
    ];
    for change in changes {
        let old = OldStore::new();
        // Opened before, and by somebody who reads meanwhile.
        let reader = Store::open(&old.path).unwrap();
        let record = reader.image("dev").unwrap().unwrap();
        change(&Store::open(&old.path).unwrap());
        assert_eq!(reader.read_seal(&record).unwrap(), Some(seal_of("one")));
        assert_eq!(reader.image("prod").unwrap().unwrap().statement, record.statement);
        old.check_moved();
        old.check();
    }
}

/// What is no seal stays a bad one; nothing becomes unsealed by being moved.
#[test]
fn a_damaged_old_seal_is_moved_as_what_it_is() {
    let old = OldStore::new();
    let record = Store::open(&old.path).unwrap().image("dev").unwrap().unwrap();
    std::fs::write(old.path.join(format!("seals/{}.json", record.manifest.hex())), "{").unwrap();
    let store = Store::open(&old.path).unwrap();
    pull(&store, "new", &[&["new"]]);
    let record = store.image("dev").unwrap().unwrap();
    assert_eq!(store.read_seal(&record).unwrap().as_deref(), Some(&b"{"[..]));
    let report = fsck(&store, false);
    assert_eq!(report.problems[0].kind, crate::ProblemKind::DamagedSeal);
    assert_eq!(report.problems[0].images, ["dev", "prod"]);
}
