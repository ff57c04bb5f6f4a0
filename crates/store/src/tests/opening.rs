use std::os::unix::fs::{MetadataExt, PermissionsExt};

use super::*;
use crate::{Error, Integrity};

fn error_of(path: &Path) -> Error {
    Store::open(path).unwrap_err()
}

#[test]
fn a_store_opens_with_what_it_was_made_with() {
    for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
        let fixture = fixture_with(algorithm);
        let again = Store::open(fixture.path()).unwrap();
        assert_eq!(again.algorithm(), algorithm);
        assert_eq!(std::fs::metadata(again.path()).unwrap().mode() & 0o777, 0o700);
        assert_clean(&again);
    }
}

#[test]
fn making_a_store_twice_and_asking_for_another_algorithm_are_refused() {
    let fixture = fixture();
    assert!(matches!(Store::create(fixture.path(), Algorithm::Sha256), Err(Error::Exists { .. })));
    let error = Store::open_or_create(fixture.path(), Some(Algorithm::Sha512)).unwrap_err();
    assert!(error.to_string().contains("names objects by sha256, not sha512"), "{error}");
    Store::open_or_create(fixture.path(), Some(Algorithm::Sha256)).unwrap();
    Store::open_or_create(fixture.path(), None).unwrap();
    let error = fixture.check_object(&ObjectId::sha512([0; 64])).unwrap_err();
    assert!(matches!(error, Error::Algorithm { .. }));
}

#[test]
fn what_is_no_store_is_told_apart() {
    let directory = tempfile::tempdir().unwrap();
    assert!(matches!(error_of(&directory.path().join("nothing")), Error::Missing { .. }));
    assert!(matches!(error_of(directory.path()), Error::Empty { .. }));
    std::fs::write(directory.path().join("thesis.tex"), "").unwrap();
    assert!(matches!(error_of(directory.path()), Error::Foreign { found, .. } if found == "thesis.tex"));
    let error = Store::open_or_create(directory.path(), None).unwrap_err();
    assert!(matches!(error, Error::Foreign { .. }), "{error}");
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1, "nothing was made there");
}

#[test]
fn an_empty_directory_becomes_a_store_that_is_closed_to_others() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o750)).unwrap();
    // As on the root of a filesystem made for it.
    std::fs::create_dir(directory.path().join("lost+found")).unwrap();
    let store = Store::open_or_create(directory.path(), Some(Algorithm::Sha512)).unwrap();
    assert_eq!(store.algorithm(), Algorithm::Sha512);
    assert_eq!(std::fs::metadata(directory.path()).unwrap().mode() & 0o777, 0o700);
    assert_clean(&Store::open(directory.path()).unwrap());
}

#[test]
fn many_processes_making_the_same_store_make_one() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a/b/store");
    std::thread::scope(|scope| {
        let threads: Vec<_> =
            (0..8).map(|_| scope.spawn(|| Store::open_or_create(&path, None).unwrap())).collect();
        threads.into_iter().for_each(|thread| drop(thread.join().unwrap()));
    });
    assert_clean(&Store::open(path).unwrap());
}

fn with_meta(json: &str) -> (Fixture, String) {
    let fixture = fixture();
    let path = fixture.path().join("meta.json");
    std::fs::remove_file(&path).unwrap();
    std::fs::write(path, json).unwrap();
    let answer = Store::open(fixture.path()).map(|_| "opened".to_owned()).unwrap_or_else(|e| e.to_string());
    (fixture, answer)
}

#[test]
fn stores_of_later_versions_are_refused_and_say_what_to_do() {
    let (_fixture, answer) = with_meta(r#"{"format":"sealpack-store","version":2,"anything":{}}"#);
    assert!(answer.contains("format version 2") && answer.contains("newer sealpack"), "{answer}");
    let (_fixture, answer) = with_meta(
        r#"{"format":"sealpack-store","version":1,"algorithm":"sha256","compat":["x"],"incompat":["cloud","y"]}"#,
    );
    assert!(answer.contains("(cloud, y)") && answer.contains("newer sealpack"), "{answer}");
}

#[test]
fn what_a_program_may_ignore_is_ignored_and_stays() {
    let json =
        r#"{"format":"sealpack-store","version":1,"algorithm":"sha256","compat":["index"],"later":[1]}"#;
    let (fixture, answer) = with_meta(json);
    assert_eq!(answer, "opened");
    let store = Store::open(fixture.path()).unwrap();
    pull(&store, "a", &[&["x"]]);
    gc(&store);
    assert_eq!(std::fs::read_to_string(fixture.path().join("meta.json")).unwrap(), json);
}

#[test]
fn a_damaged_meta_file_is_named() {
    for json in [
        "",
        "{",
        "[]",
        r#"{"format":"other","version":1,"algorithm":"sha256"}"#,
        r#"{"format":"sealpack-store","version":0,"algorithm":"sha256"}"#,
        r#"{"format":"sealpack-store","version":1,"algorithm":"md5"}"#,
        r#"{"format":"sealpack-store","version":1}"#,
    ] {
        let (fixture, answer) = with_meta(json);
        let path = fixture.path().join("meta.json");
        assert!(answer.starts_with(&format!("{} is damaged: ", path.display())), "{json}: {answer}");
    }
}

#[test]
fn somebody_elses_store_is_refused() {
    if !is_root() {
        eprintln!("skipped: only root can give a directory to another user");
        return;
    }
    let fixture = fixture();
    std::os::unix::fs::chown(fixture.path(), Some(12345), None).unwrap();
    let answer = error_of(fixture.path()).to_string();
    assert!(answer.contains("belongs to user 12345, and this is user 0"), "{answer}");
    let answer = Store::open_or_create(fixture.path(), None).unwrap_err().to_string();
    assert!(answer.contains("belongs to user 12345"), "{answer}");
}

#[test]
fn integrity_is_what_the_filesystem_can_do() {
    let fixture = fixture();
    let record = pull(&fixture, "a", &[&["x"]]);
    let id = id_of(&fixture, "x");
    assert_eq!(fixture.object_integrity(&id).unwrap(), Some(fixture.integrity()));
    assert_eq!(fixture.verify_metadata_image(&record.metadata_image).unwrap().1, fixture.integrity());
    assert_eq!(fixture.object_integrity(&id_of(&fixture, "y")).unwrap(), None);
    if fixture.integrity() == Integrity::None {
        eprintln!("skipped in part: {} has no fs-verity", fixture.path().display());
    }
}
