use super::*;
use crate::{Accepted, Epoch, Error, HISTORY_MAX, ProblemKind};

/// The manifests of the images that had the name before.
fn earlier(store: &Store, name: &str) -> Vec<BlobDigest> {
    store.history(name).unwrap().iter().map(|record| record.manifest).collect()
}

fn gc_keeping(store: &Store, keep_previous: usize) -> GcReport {
    store.gc(&GcOptions { keep_previous, ..GcOptions::default() }, &objects_of, &()).unwrap()
}

fn features(store: &Store) -> serde_json::Value {
    let json = std::fs::read(store.path().join("meta.json")).unwrap();
    serde_json::from_slice::<serde_json::Value>(&json).unwrap()["incompat"].clone()
}

/// Remembers that an image with that manifest had a seal of that epoch for `name`.
fn remember(store: &Store, name: &str, epoch: u64, manifest: &BlobDigest) -> crate::error::Result<()> {
    store.remember_epoch(&epoch_for(name, epoch), &image_of(manifest, "linux/amd64"))
}

fn image_of(manifest: &BlobDigest, platform: &str) -> ImageRecord {
    let mut record = ImageRecord::new("x", *manifest, *manifest, ObjectId::sha256([0; 32]));
    record.platform = platform.into();
    record
}

#[test]
fn a_name_remembers_the_images_that_had_it_the_newest_first() {
    let fixture = fixture();
    let one = pull(&fixture, "a", &[&["1"]]);
    assert_eq!(features(&fixture), serde_json::json!([]), "nothing has to be known to use this store");
    let two = pull(&fixture, "a", &[&["2"]]);
    assert_eq!(features(&fixture), serde_json::json!(["history"]));
    // Again, and in another form: still the same image.
    pull(&fixture, "a", &[&["2"]]);
    fixture.convert(&two, ObjectForm::Packs, &()).unwrap();
    assert_eq!(earlier(&fixture, "a"), [one.manifest]);
    assert_eq!(fixture.history("a").unwrap(), std::slice::from_ref(&one));
    // Back, and forth: none is in it twice, and not the one that has the name.
    fixture.set_image(&one).unwrap();
    assert_eq!(earlier(&fixture, "a"), [two.manifest]);
    let three = pull(&fixture, "a", &[&["3"]]);
    assert_eq!(earlier(&fixture, "a"), [one.manifest, two.manifest]);
    assert_eq!(earlier(&fixture, "b"), []);
    assert_clean(&fixture);
    assert_eq!(fsck(&fixture, false).earlier, 2);
    // An end of the name is an end of its history.
    fixture.remove_image("a").unwrap();
    assert_eq!(earlier(&fixture, "a"), []);
    fixture.set_image(&three).unwrap();
    assert_eq!(earlier(&fixture, "a"), []);
    assert_clean(&fixture);
}

#[test]
fn a_history_has_an_end() {
    let fixture = fixture();
    let texts: Vec<String> = (0..HISTORY_MAX + 3).map(|n| n.to_string()).collect();
    let pulled: Vec<_> = texts.iter().map(|text| pull(&fixture, "a", &[&[text]]).manifest).collect();
    let expected: Vec<_> = pulled.iter().rev().skip(1).take(HISTORY_MAX).copied().collect();
    assert_eq!(earlier(&fixture, "a"), expected);
    assert_clean(&fixture);
}

#[test]
fn gc_keeps_what_the_image_before_needs_and_forgets_the_others() {
    for form in [ObjectForm::Files, ObjectForm::Packs] {
        let fixture = fixture();
        for text in ["1", "2", "3"] {
            let record = pull_as(form, &fixture, "a", &[&["base"], &[text]]);
            write_seal(&fixture, &record, b"{}").unwrap();
        }
        let [two, one] = fixture.history("a").unwrap().try_into().unwrap();
        let options = GcOptions { dry_run: true, ..GcOptions::default() };
        let planned = fixture.gc(&options, &objects_of, &()).unwrap();
        assert_eq!((planned.earlier.count, fixture.history("a").unwrap().len()), (1, 2));
        let report = gc(&fixture);
        assert_eq!(planned, report, "what was announced is not what was removed");
        assert_eq!(
            (report.earlier.count, report.images.count, report.seals.count),
            (1, 1 + u64::from(form == ObjectForm::Packs), 1)
        );
        assert_eq!(fixture.history("a").unwrap(), std::slice::from_ref(&two));
        assert_clean(&fixture);
        let again = gc(&fixture);
        assert_eq!((again.total().count, again.kept.earlier), (0, 1));
        // It is all there, without anything being fetched.
        fixture.verify_metadata_image(&two.metadata_image).unwrap();
        assert!(two.layers.iter().all(|layer| fixture.has_layer(&layer.diff_id, form).unwrap()));
        assert!(read_seal(&fixture, &two).unwrap().is_some());
        assert!(!fixture.has_layer(&one.layers[1].diff_id, form).unwrap());
        fixture.set_image(&two).unwrap();
        gc(&fixture);
        assert_eq!(fixture.history("a").unwrap().len(), 1);
        assert!(gc_keeping(&fixture, 0).earlier.count == 1);
        assert_eq!(fixture.history("a").unwrap(), []);
        assert_clean(&fixture);
        let files = snapshot(&fixture.path().join("history"));
        assert!(files.is_empty(), "{files:?}");
    }
}

#[test]
fn taking_back_a_pull_spares_what_earlier_images_need() {
    let fixture = fixture();
    let layer: Layer<'_> = &["x", "y"];
    pull(&fixture, "a", &[layer]);
    pull(&fixture, "a", &[&["z"]]);
    let discard = crate::Discard { layers: &[diff_id_of(layer)], ..crate::Discard::default() };
    assert!(fixture.discard(&discard, &objects_of).unwrap());
    assert!(fixture.has_whole_layer(&diff_id_of(layer)).unwrap());
    assert_clean(&fixture);
}

#[test]
fn what_an_earlier_image_lacks_is_reported_as_that() {
    let fixture = fixture();
    let one = pull(&fixture, "a", &[&["1"]]);
    pull(&fixture, "a", &[&["2"]]);
    std::fs::remove_file(fixture.metadata_image_path(&one.metadata_image)).unwrap();
    let report = fsck(&fixture, false);
    let [problem] = report.problems.as_slice() else { panic!("{:#?}", report.problems) };
    assert_eq!(
        (problem.kind, problem.images.as_slice()),
        (ProblemKind::MissingImage, &["a (earlier)".to_owned()][..])
    );
    gc_keeping(&fixture, 0);
    assert_clean(&fixture);
}

#[test]
fn a_damaged_history_stops_what_would_lose_it_until_it_is_set_aside() {
    let refused = |content: &dyn Fn(&str) -> String, why: &str| {
        let fixture = fixture();
        let one = pull(&fixture, "a", &[&["1"]]);
        pull(&fixture, "a", &[&["2"]]);
        let path = fixture.path().join("history/a.json");
        let before = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, content(&before)).unwrap();
        let damaged = [
            fixture.history("a").map(drop).unwrap_err(),
            fixture.set_image(&one).unwrap_err(),
            fixture.gc(&GcOptions::default(), &objects_of, &()).map(drop).unwrap_err(),
        ];
        for error in damaged.map(|error| error.to_string()) {
            assert!(error.contains("history/a.json is not the history of a name"), "{error}");
            assert!(error.contains(why), "{error}");
        }
        let report = fsck(&fixture, true);
        assert_eq!(report.problems[0].kind, ProblemKind::DamagedHistory);
        fixture.set_image(&one).unwrap();
        assert_clean(&fixture);
        gc(&fixture);
        assert_clean(&fixture);
    };
    refused(&|_| "{".to_owned(), "EOF");
    refused(&|before| before.replace("\"version\": 1", "\"version\": 2"), "newer sealpack");
    refused(&|before| before.replace("\"a\"", "\"b\""), "it is about \"b\"");
    refused(&|before| before.replacen("\"a\"", "\"b\"", 2).replacen("\"b\"", "\"a\"", 1), "is called \"b\"");
    refused(
        &|before| {
            let mut json: serde_json::Value = serde_json::from_str(before).unwrap();
            let record = json["records"][0].clone();
            json["records"] = vec![record; HISTORY_MAX + 1].into();
            json.to_string()
        },
        "more than 8",
    );
}

#[test]
fn an_epoch_never_falls_and_outlives_name_and_gc() {
    let fixture = fixture();
    let epoch = || fixture.epoch("a").unwrap().map(|known: Epoch| (known.epoch, known.manifest));
    let record = pull(&fixture, "a", &[&["1"]]);
    let other = blob_of("other").0;
    assert_eq!(epoch(), None);
    remember(&fixture, "a", 5, &record.manifest).unwrap();
    let error = remember(&fixture, "a", 4, &other).unwrap_err();
    assert!(
        matches!(error, Error::EpochOlder { known: 5, epoch: 4, .. }) && error.is_verification(),
        "{error}"
    );
    assert!(matches!(remember(&fixture, "a", 5, &other), Err(Error::EpochSame { epoch: 5, .. })));
    assert_eq!(epoch(), Some((5, record.manifest)));
    remember(&fixture, "a", 9, &other).unwrap();
    remember(&fixture, "b", 1, &other).unwrap();
    fixture.remove_image("a").unwrap();
    gc(&fixture);
    assert_eq!(epoch(), Some((9, other)));
    assert_clean(&fixture);
    assert_eq!(fsck(&fixture, false).epochs, 2);
}

#[test]
fn a_damaged_epoch_is_no_lower_one() {
    let fixture = fixture();
    let manifest = blob_of("x").0;
    remember(&fixture, "a", 5, &manifest).unwrap();
    std::fs::write(fixture.path().join("epochs/a.json"), "{}").unwrap();
    for error in [fixture.epoch("a").unwrap_err(), remember(&fixture, "a", 9, &manifest).unwrap_err()] {
        let error = error.to_string();
        assert!(error.contains("epochs/a.json is not the epoch of a name"), "{error}");
    }
    let report = fsck(&fixture, true);
    assert_eq!(report.problems[0].kind, ProblemKind::DamagedEpoch);
    assert_eq!(fixture.epoch("a").unwrap(), None);
    assert_clean(&fixture);
}

#[test]
fn seal_and_epoch_are_there_before_the_name() {
    let fixture = fixture();
    let record = pull(&fixture, "a", &[&["x"]]);
    let mut named = record.clone();
    named.name = "b".into();
    let accepted =
        Accepted { seal: Some(kept(b"{}")), epochs: vec![epoch_for("b", 7)], ..Accepted::default() };
    let changes =
        crate::fault::recorded(|| drop(fixture.stage().unwrap().publish_with(&named, &accepted).unwrap()));
    let places: Vec<_> = changes
        .iter()
        .filter(|change| change.what == "rename")
        .filter_map(|change| change.to.strip_prefix(fixture.path()).ok()?.iter().next()?.to_str())
        .collect();
    assert_eq!(places, ["meta.json", "seals", "meta.json", "epochs", "refs"]);
    assert_eq!(read_seal(&fixture, &named).unwrap().as_deref(), Some(&b"{}"[..]));
    assert_eq!(read_seal(&fixture, &record).unwrap(), None, "the seal of one name is another's");
    assert_eq!(fixture.epoch("b").unwrap().unwrap().epoch, 7);
}

#[test]
fn an_older_image_does_not_get_the_name_that_a_later_one_got_meanwhile() {
    let fixture = fixture();
    let later = pull(&fixture, "a", &[&["later"]]);
    let mut older = pull(&fixture, "b", &[&["older"]]);
    older.name = "a".into();
    remember(&fixture, "a", 8, &later.manifest).unwrap();
    let accepted = Accepted { seal: None, epochs: vec![epoch_for("a", 7)], ..Accepted::default() };
    let error = fixture.stage().unwrap().publish_with(&older, &accepted).unwrap_err();
    assert!(matches!(error, Error::EpochOlder { .. }), "{error}");
    assert_eq!(fixture.image("a").unwrap(), Some(later));
    assert_clean(&fixture);
}

#[test]
fn an_unsealed_image_does_not_get_the_name_that_a_sealed_one_got_meanwhile() {
    let fixture = fixture();
    let sealed = pull(&fixture, "a", &[&["sealed"]]);
    let mut unsealed = pull(&fixture, "b", &[&["unsealed"]]);
    unsealed.name = "a".into();
    let accepted = Accepted { unsealed: vec!["a".into()], ..Accepted::default() };
    let publish = |record| fixture.stage().unwrap().publish_with(record, &accepted);
    publish(&sealed).unwrap();
    remember(&fixture, "a", 8, &sealed.manifest).unwrap();
    let error = publish(&unsealed).unwrap_err();
    assert!(matches!(error, Error::EpochUnsealed { known: 8, .. }) && error.is_verification(), "{error}");
    assert_eq!(fixture.image("a").unwrap(), Some(sealed));
    assert_clean(&fixture);
}

#[test]
fn the_root_hash_of_a_metadata_image_is_known_before_it_is_committed() {
    let fixture = fixture();
    let staging = fixture.stage().unwrap();
    let mut image = staging.metadata_image_writer().unwrap();
    image.write_all(&[b'\n'; 8192]).unwrap();
    let id = image.finish().unwrap();
    let staged = staging.metadata_image_root_hash(&id).unwrap();
    assert!(matches!(fixture.metadata_image_root_hash(&id), Err(Error::ImageMissing(_))));
    staging.commit().unwrap();
    assert_eq!(
        (staging.metadata_image_root_hash(&id).unwrap(), fixture.metadata_image_root_hash(&id).unwrap()),
        (staged, staged)
    );
}

#[test]
fn names_change_one_at_a_time() {
    let fixture = fixture();
    let texts: Vec<String> = (0..HISTORY_MAX + 1).map(|n| n.to_string()).collect();
    let records: Vec<_> = texts.iter().map(|text| pull(&fixture, text, &[&[text]])).collect();
    std::thread::scope(|scope| {
        for mut record in records.iter().cloned() {
            record.name = "a".into();
            let store = &fixture.store;
            scope.spawn(move || store.set_image(&record).unwrap());
        }
    });
    // Nobody's entry was lost.
    assert_eq!(fixture.history("a").unwrap().len(), HISTORY_MAX);
    assert_clean(&fixture);
}

#[test]
fn another_image_of_the_same_epoch_follows_only_where_it_was_sealed_later() {
    let fixture = fixture();
    let [one, two, arm] = ["one", "two", "arm"].map(|text| blob_of(text).0);
    let remember = |created: u64, manifest: &BlobDigest, platform: &str| {
        let accepted = AcceptedEpoch { created_unix_seconds: created, ..epoch_for("a", 5) };
        fixture.remember_epoch(&accepted, &image_of(manifest, platform))
    };
    remember(10, &one, "linux/amd64").unwrap();
    // Another platform of the same index, and the same image again.
    remember(10, &arm, "linux/arm64").unwrap();
    remember(9, &one, "linux/amd64").unwrap();
    for created in [9, 10] {
        let error = remember(created, &two, "linux/amd64").unwrap_err();
        assert!(matches!(error, Error::EpochSame { epoch: 5, .. }) && error.is_verification(), "{error}");
    }
    remember(11, &two, "linux/amd64").unwrap();
    assert!(matches!(remember(10, &one, "linux/amd64"), Err(Error::EpochSame { .. })), "it went back");
    let known = fixture.epoch("a").unwrap().unwrap();
    assert_eq!((known.manifest, known.platforms["linux/amd64"].manifest), (one, two));
    assert_eq!(known.platforms["linux/arm64"].manifest, arm);
    assert_clean(&fixture);
}

/// `epochs/` of versions that did not know the images' platforms and times.
#[test]
fn an_epoch_of_an_earlier_version_goes_on_counting() {
    let fixture = fixture();
    let [one, two] = ["one", "two"].map(|text| blob_of(text).0);
    remember(&fixture, "a", 1, &one).unwrap();
    let json =
        serde_json::json!({ "version": 1, "name": "a", "epoch": 5, "manifest": one, "unix_seconds": 7 });
    std::fs::write(fixture.path().join("epochs/a.json"), json.to_string()).unwrap();
    let known = fixture.epoch("a").unwrap().unwrap();
    assert!((known.epoch, known.given, known.platforms.len()) == (5, false, 0), "{known:?}");
    assert!(matches!(remember(&fixture, "a", 4, &two), Err(Error::EpochOlder { .. })));
    remember(&fixture, "a", 5, &one).unwrap();
    assert!(matches!(remember(&fixture, "a", 5, &two), Err(Error::EpochSame { .. })));
    remember(&fixture, "a", 6, &two).unwrap();
    assert_clean(&fixture);
}

#[test]
fn no_way_to_a_name_that_had_a_sealed_image_is_open_to_an_unsealed_one() {
    let fixture = fixture();
    let sealed = pull(&fixture, "a", &[&["sealed"]]);
    let accepted =
        Accepted { seal: Some(kept(b"{}")), epochs: vec![epoch_for("a", 5)], ..Accepted::default() };
    let sealed = fixture.set_image_with(&sealed, &accepted).unwrap();
    let mut other = pull(&fixture, "b", &[&["other"]]);
    other.name = "a".into();
    let refused = [
        fixture.set_image(&other).unwrap_err(),
        fixture.stage().unwrap().publish(&other).unwrap_err(),
        fixture
            .set_image_with(&other, &Accepted { seal: Some(kept(b"{ }")), ..Accepted::default() })
            .unwrap_err(),
    ];
    for error in refused {
        assert!(matches!(error, Error::EpochUnsealed { known: 5, .. }), "{error}");
    }
    // The same image keeps the name, and its seal, whatever comes.
    let again = pull(&fixture, "a", &[&["sealed"]]);
    assert_eq!(again.manifest, sealed.manifest);
    assert_eq!(fixture.image("a").unwrap().unwrap().statement, sealed.statement);
    fixture.convert(&fixture.image("a").unwrap().unwrap(), ObjectForm::Packs, &()).unwrap();
    assert_eq!(read_seal(&fixture, &sealed).unwrap().as_deref(), Some(&b"{}"[..]));
    // Whoever knows it may have it otherwise.
    fixture.set_image_with(&other, &Accepted { agreed: true, ..Accepted::default() }).unwrap();
    assert_eq!(fixture.epoch("a").unwrap().unwrap().epoch, 5);
    assert_clean(&fixture);
}
