use super::*;
use crate::ProblemKind::*;
use crate::{Misfit, ProblemKind};

fn kinds(report: &FsckReport) -> Vec<ProblemKind> {
    report.problems.iter().map(|problem| problem.kind).collect()
}

fn two_images() -> (Fixture, ImageRecord, ImageRecord) {
    let fixture = fixture();
    let base: Layer<'_> = &["shared", "also"];
    let one = pull(&fixture, "one", &[base, &["1"]]);
    let two = pull(&fixture, "two", &[base, &["2"]]);
    (fixture, one, two)
}

/// Breaks something; expects the kinds of problems that naming and repairing find; heals by pulling again.
#[track_caller]
fn finds(expected: &[ProblemKind], names: &[&str], break_it: impl Fn(&Store, &ImageRecord)) {
    let (fixture, one, _) = two_images();
    break_it(&fixture, &one);
    let report = fsck(&fixture, false);
    assert_eq!(kinds(&report), expected, "{:#?}", report.problems);
    assert!(!fixture.path().join("quarantine").exists(), "only a repair moves anything");
    for problem in &report.problems {
        assert_eq!(problem.images, names, "{problem}");
    }
    let repaired = fsck(&fixture, true);
    assert_eq!(kinds(&repaired), expected);
    for problem in repaired.problems.iter().filter(|problem| problem.quarantined.is_some()) {
        assert!(problem.quarantined.as_ref().is_some_and(|path| path.exists()), "{problem}");
        assert!(!problem.path.exists(), "{problem}");
    }
    // What was set aside is missing now; pulling brings it back.
    two_images_again(&fixture);
    assert_clean(&fixture);
    assert_eq!(gc(&fixture).objects.count, 0);
}

fn two_images_again(store: &Store) {
    let base: Layer<'_> = &["shared", "also"];
    pull(store, "one", &[base, &["1"]]);
    pull(store, "two", &[base, &["2"]]);
}

#[test]
fn a_healthy_store_has_no_problems_and_everything_is_counted() {
    let (fixture, ..) = two_images();
    let report = fsck(&fixture, false);
    assert!(report.is_clean());
    assert_eq!((report.objects, report.object_bytes), (4, 1200));
    assert_eq!((report.images, report.layers, report.blobs, report.names), (2, 3, 4, 2));
}

#[test]
fn a_damaged_object_is_found_whatever_is_remembered_and_its_images_named() {
    let both = [DamagedObject, IncompleteLayer];
    let everything = [both[0], both[1], IncompleteImage];
    // One object of one image only.
    finds(&everything, &["one"], |store, _| damage(&store.object_path(&id_of(store, "1"))));
    // Cut short.
    finds(&everything, &["one"], |store, _| {
        let path = store.object_path(&id_of(store, "1"));
        std::fs::remove_file(&path).unwrap();
        std::fs::write(path, "").unwrap();
    });
}

#[test]
fn an_object_of_two_images_names_both() {
    let (fixture, ..) = two_images();
    damage(&fixture.object_path(&id_of(&fixture, "shared")));
    let report = fsck(&fixture, true);
    assert_eq!(kinds(&report), [DamagedObject, IncompleteLayer, IncompleteImage, IncompleteImage]);
    assert_eq!(report.problems[0].images, ["one", "two"]);
    assert_eq!(report.problems[1].images, ["one", "two"]);
    let text = report.problems[0].to_string();
    assert!(text.contains("needed by one, two; moved to "), "{text}");
    two_images_again(&fixture);
    assert_clean(&fixture);
}

#[test]
fn a_missing_object_is_found() {
    finds(&[IncompleteLayer, IncompleteImage], &["one"], |store, _| {
        std::fs::remove_file(store.object_path(&id_of(store, "1"))).unwrap();
    });
}

#[test]
fn damaged_and_missing_images_layers_and_blobs_are_found() {
    finds(&[DamagedImage], &["one"], |store, one| damage(&store.metadata_image_path(&one.metadata_image)));
    finds(&[MissingImage], &["one"], |store, one| {
        std::fs::remove_file(store.metadata_image_path(&one.metadata_image)).unwrap()
    });
    finds(&[DamagedLayer], &["one"], |store, one| damage(&store.layer_path(&one.layers[1].diff_id)));
    finds(&[MissingLayer], &["one"], |store, one| {
        std::fs::remove_file(store.layer_path(&one.layers[1].diff_id)).unwrap();
    });
    let config = |store: &Store, one: &ImageRecord| store.path().join("blobs/sha256").join(one.config.hex());
    finds(&[DamagedBlob], &["one"], |store, one| damage(&config(store, one)));
    finds(&[MissingBlob], &["one"], |store, one| std::fs::remove_file(config(store, one)).unwrap());
}

/// The record said of a seal that the name has it, the seal was gone, and fsck found all good.
#[test]
fn a_missing_seal_and_one_with_another_statement_are_found() {
    let seal = |statement: &str| serde_json::json!({ "statement": statement }).to_string().into_bytes();
    let kept = |statement: &str| KeptSeal { statement: blob_of(statement).0, json: seal(statement) };
    let (fixture, one, _) = two_images();
    let one = fixture.write_seal(&one, &kept("of one")).unwrap();
    assert_clean(&fixture);
    let path = fixture.seal_path(&one).unwrap();
    std::fs::remove_file(&path).unwrap();
    let report = fsck(&fixture, false);
    assert_eq!(kinds(&report), [MissingSeal]);
    assert_eq!((&report.problems[0].path, &report.problems[0].images[..]), (&path, &["one".to_owned()][..]));
    std::fs::write(&path, seal("of another")).unwrap();
    assert_eq!(kinds(&fsck(&fixture, true)), [DamagedSeal]);
    assert_eq!(kinds(&fsck(&fixture, true)), [MissingSeal]);
    fixture.write_seal(&one, &kept("of one")).unwrap();
    assert_clean(&fixture);
}

/// Each part of an image was whole, and that of another image; whoever reads them says so.
#[test]
fn what_contradicts_the_rest_of_its_image_is_found_and_set_aside() {
    let (fixture, one, _) = two_images();
    pull(&fixture, "one", &[&["newer"]]);
    let check = |record: &ImageRecord| {
        let what = "it has another config".to_owned();
        let is_it = record.config == one.config;
        is_it.then_some(Misfit { kind: WrongRecord, what }).into_iter().collect()
    };
    let fsck = |repair| {
        let options = FsckOptions { repair, ..FsckOptions::default() };
        fixture.fsck(&options, &objects_of, &check, &()).unwrap()
    };
    // Of what had the name before, the history is named, and stays for the others in it.
    let earlier = fsck(true);
    assert_eq!(kinds(&earlier), [WrongRecord]);
    let problem = &earlier.problems[0];
    assert_eq!((&problem.images[..], &problem.quarantined), (&["one (earlier)".to_owned()][..], &None));
    assert_eq!(problem.path, fixture.path().join("history/one.json"));
    two_images_again(&fixture);
    let now = fsck(true);
    assert_eq!(kinds(&now), [WrongRecord]);
    assert_eq!(now.problems[0].images, ["one"]);
    assert!(now.problems[0].quarantined.is_some() && fixture.image("one").unwrap().is_none());
    assert_eq!(kinds(&fsck(false)), []);
}

#[test]
fn a_metadata_image_of_the_right_digest_that_cannot_be_read_is_found() {
    let fixture = fixture();
    let staging = fixture.stage().unwrap();
    let mut image = staging.metadata_image_writer().unwrap();
    image.write_all(b"no objects").unwrap();
    image.finish().unwrap();
    staging.commit().unwrap();
    assert_eq!(kinds(&fsck(&fixture, false)), [DamagedImage]);
}

#[test]
fn strays_are_found_everywhere_and_set_aside_without_loss() {
    let (fixture, ..) = two_images();
    let strays = [
        "x",
        "objects/x",
        "objects/00/x",
        "images/x.erofs",
        "layers/x",
        "layers/sha256/x",
        "blobs/md5",
        "blobs/sha512/x",
    ];
    for stray in strays {
        let path = fixture.path().join(stray);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, stray).unwrap();
    }
    std::os::unix::fs::symlink("/etc", fixture.path().join("objects/ff1")).unwrap();
    let report = fsck(&fixture, true);
    assert_eq!(kinds(&report), [Stray; 9]);
    for problem in &report.problems {
        assert!(
            problem.quarantined.as_ref().is_some_and(|path| path.is_symlink() || path.is_file()),
            "{problem}"
        );
    }
    assert_clean(&fixture);
    std::fs::write(fixture.path().join("x"), "again").unwrap();
    fsck(&fixture, true);
    let quarantine = fixture.path().join("quarantine");
    assert_eq!(std::fs::read(quarantine.join("x")).unwrap(), b"x");
    assert_eq!(std::fs::read(quarantine.join("x.1")).unwrap(), b"again");
}

#[test]
fn an_object_that_is_no_file_is_a_stray_and_a_link_is_not_followed() {
    let (fixture, ..) = two_images();
    let path = fixture.object_path(&id_of(&fixture, "1"));
    let elsewhere = fixture.directory.path().join("elsewhere");
    std::fs::rename(&path, &elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, &path).unwrap();
    assert_eq!(fixture.check_object(&id_of(&fixture, "1")).unwrap(), crate::ObjectState::Damaged);
    let report = fsck(&fixture, true);
    assert_eq!(kinds(&report), [IncompleteLayer, IncompleteImage, Stray]);
    two_images_again(&fixture);
    assert_clean(&fixture);
}
