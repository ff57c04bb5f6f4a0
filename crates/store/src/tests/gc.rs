use super::*;
use crate::{Error, PARTIAL_KEPT};

fn contents(store: &Store) -> Vec<PathBuf> {
    snapshot(store.path())
        .into_iter()
        .map(|(path, _)| path)
        .filter(|path| !path.ends_with("verified"))
        .collect()
}

#[test]
fn only_what_no_name_needs_is_removed() {
    let fixture = fixture();
    let (base, one, two): (Layer<'_>, Layer<'_>, Layer<'_>) =
        (&["base", "hidden"], &["one"], &["two", "more"]);
    pull(&fixture, "one", &[base, one]);
    let with_one = contents(&fixture);
    pull(&fixture, "two", &[base, two]);
    assert_eq!(gc(&fixture), GcReport::default());
    fixture.remove_image("two").unwrap();
    let before = contents(&fixture);
    let options = GcOptions { dry_run: true, ..GcOptions::default() };
    let planned = fixture.gc(&options, &objects_of, &()).unwrap();
    assert_eq!(contents(&fixture), before, "a dry run removes nothing");
    let report = gc(&fixture);
    assert_eq!(report, planned);
    assert_eq!((report.objects.count, report.objects.bytes), (2, 700));
    assert_eq!((report.images.count, report.layers.count, report.blobs.count), (1, 1, 2));
    assert_eq!(report.total().count, 6);
    assert_eq!(contents(&fixture), with_one);
    assert_clean(&fixture);

    fixture.remove_image("one").unwrap();
    gc(&fixture);
    assert_eq!(contents(&fixture), ["lock", "making.lock", "meta.json", "names.lock"].map(PathBuf::from));
    assert_eq!(std::fs::read_dir(fixture.objects_path()).unwrap().count(), 0);
}

#[test]
fn what_comes_between_the_look_and_the_removal_stays_and_so_does_what_is_needed_then() {
    let fixture = fixture();
    pull(&fixture, "gone", &[&["a", "b", "c"]]);
    fixture.remove_image("gone").unwrap();
    let options = GcOptions::default();
    let marked = fixture.mark(&options, &objects_of, &()).unwrap();
    // Others go on: one of the objects is needed again, one is new and nobody's.
    let named = pull(&fixture, "new", &[&["a", "d"]]);
    pull(&fixture, "brief", &[&["e"]]);
    fixture.remove_image("brief").unwrap();
    let lock = fixture.lock(crate::LockKind::Exclusive, std::time::Duration::ZERO).unwrap();
    let report = fixture.gc_locked(&lock, &options, marked, &objects_of, &()).unwrap();
    drop(lock);
    assert_eq!(report.objects.count, 2);
    let is_there = |text| fixture.object_path(&id_of(&fixture, text)).exists();
    assert_eq!(["a", "b", "c", "d", "e"].map(is_there), [true, false, false, true, true]);
    assert!(fixture.has_whole_layer(&named.layers[0].diff_id).unwrap());
    assert_clean(&fixture);
    assert_eq!(gc(&fixture).objects.count, 1);
    assert!(!is_there("e"));
}

#[test]
fn a_mounted_image_without_a_name_keeps_its_objects() {
    let fixture = fixture();
    let record = pull(&fixture, "a", &[&["x", "y"]]);
    fixture.remove_image("a").unwrap();
    let options = GcOptions { keep_images: vec![record.metadata_image], ..GcOptions::default() };
    let report = fixture.gc(&options, &objects_of, &()).unwrap();
    assert_eq!((report.objects.count, report.images.count, report.layers.count), (0, 0, 1));
    fixture.verify_metadata_image(&record.metadata_image).unwrap();
    assert_clean(&fixture);
    std::fs::remove_file(fixture.metadata_image_path(&record.metadata_image)).unwrap();
    let error = fixture.gc(&options, &objects_of, &()).unwrap_err();
    assert!(matches!(error, Error::RootUnreadable { .. }), "{error}");
    assert_eq!(fixture.check_object(&id_of(&fixture, "x")).unwrap(), crate::ObjectState::Good);
}

#[test]
fn nothing_is_removed_when_a_root_cannot_be_read() {
    let refuses = |break_it: &dyn Fn(&Store, &ImageRecord)| {
        let fixture = fixture();
        pull(&fixture, "other", &[&["garbage"]]);
        fixture.remove_image("other").unwrap();
        let record = pull(&fixture, "a", &[&["x"]]);
        break_it(&fixture, &record);
        let before = contents(&fixture);
        let error = fixture.gc(&GcOptions::default(), &objects_of, &()).unwrap_err();
        assert!(error.to_string().starts_with("nothing was removed"), "{error}");
        assert!(matches!(error, Error::RootUnreadable { .. }), "{error:?}");
        assert_eq!(contents(&fixture), before);
        // fsck sets aside what is broken; then gc works, and takes nothing that is good of what has a name.
        fsck(&fixture, true);
        assert!(gc(&fixture).objects.count >= 1);
    };
    refuses(&|store, _| std::fs::write(store.path().join("refs/a.json"), "{}").unwrap());
    // Its layers say what an image needs; without the record of one, the metadata image does.
    refuses(&|store, record| {
        std::fs::remove_file(store.layer_path(&record.layers[0].diff_id)).unwrap();
        damage(&store.metadata_image_path(&record.metadata_image));
    });
    refuses(&|store, record| damage(&store.layer_path(&record.layers[0].diff_id)));
}

/// Metadata images are not read for what their layers say; one that is damaged takes nothing along.
#[test]
fn a_damaged_metadata_image_keeps_what_its_layers_have_and_itself() {
    let fixture = fixture();
    let record = pull(&fixture, "a", &[&["x"], &["y"]]);
    damage(&fixture.metadata_image_path(&record.metadata_image));
    let before = contents(&fixture);
    assert_eq!(gc(&fixture).total().count, 0);
    assert_eq!(contents(&fixture), before);
}

/// What names need is found out beside others that use the store. An image that comes between that and the sweep,
/// on a layer that was there without a name, keeps it.
#[test]
fn what_got_a_name_after_the_marking_stays() {
    let fixture = fixture();
    pull(&fixture, "gone", &[&["x"]]);
    fixture.remove_image("gone").unwrap();
    let options = GcOptions { wait: std::time::Duration::from_secs(5), ..GcOptions::default() };
    let marked = fixture.mark(&options, &objects_of, &()).unwrap();
    let record = pull(&fixture, "new", &[&["x"], &["y"]]);
    let lock = fixture.lock(crate::LockKind::Exclusive, options.wait).unwrap();
    let report = fixture.gc_locked(&lock, &options, marked, &objects_of, &()).unwrap();
    drop(lock);
    assert_eq!(report.objects.count, 0, "both objects are those of the new image");
    fixture.verify_metadata_image(&record.metadata_image).unwrap();
    assert_clean(&fixture);
}

#[test]
fn marking_needs_no_store_for_itself() {
    let fixture = fixture();
    pull(&fixture, "a", &[&["x"]]);
    let shared = fixture.lock(crate::LockKind::Shared, std::time::Duration::ZERO).unwrap();
    fixture.mark(&GcOptions::default(), &objects_of, &()).unwrap();
    drop(shared);
}

#[test]
fn leftovers_go_and_young_downloads_stay() {
    let fixture = fixture();
    let partial = |text: &str| {
        let mut partial = fixture.partial(&blob_of(text).0).unwrap().unwrap();
        partial.append(b"begin").unwrap();
        fixture.path().join("tmp/partial").join(format!("sha256-{}", blob_of(text).0.hex()))
    };
    let (young, old) = (partial("young"), partial("old"));
    let long_ago = std::time::SystemTime::now() - PARTIAL_KEPT - std::time::Duration::from_secs(60);
    File::options().write(true).open(&old).unwrap().set_modified(long_ago).unwrap();
    let dead = fixture.path().join("tmp/stage-1-99");
    std::fs::create_dir(&dead).unwrap();
    std::fs::write(dead.join("0"), "half").unwrap();
    std::fs::write(fixture.path().join("tmp/ref-1-2-3"), "{").unwrap();
    let report = gc(&fixture);
    assert_eq!((report.partials.count, report.partials.bytes), (1, 5));
    assert_eq!((report.temporaries.count, report.temporaries.bytes), (2, 5));
    assert!(young.exists() && !old.exists() && !dead.exists());
}

#[test]
fn an_interrupted_pulls_layers_are_there_for_the_next_one() {
    let fixture = fixture();
    let layer: Layer<'_> = &["x", "y"];
    let staging = fixture.stage().unwrap();
    add_layer(&staging, layer);
    staging.add_bytes(&id_of(&fixture, "z"), &content("z")).unwrap();
    drop(staging);
    assert!(fixture.has_whole_layer(&diff_id_of(layer)).unwrap());
    assert_clean(&fixture);
}

#[test]
fn what_a_store_takes_is_counted_by_kinds_and_what_images_share_once() {
    let fixture = fixture();
    let base: Layer<'_> = &["base", "hidden"];
    let one = pull(&fixture, "one", &[base, &["one"]]);
    let two = pull(&fixture, "two", &[base, &["two", "more"]]);
    let (usage, together) = fixture.usage_together(&[one, two]).unwrap();
    assert_eq!(usage.iter().map(|usage| usage.own_bytes).sum::<u64>(), together.own_bytes);
    assert_eq!((together.own_bytes, together.shared_bytes), (300 + 300 + 400, 400 + 600));
    let holdings = fixture.holdings().unwrap();
    assert_eq!((holdings.objects.count, holdings.objects.bytes), (5, 2000));
    assert_eq!((holdings.images.count, holdings.layers.count, holdings.packs.count), (2, 3, 0));
    let files = snapshot(fixture.path()).len() as u64;
    assert_eq!(holdings.total().count, files, "nothing is left out");
    // What nobody needs is there as well, until it is collected.
    fixture.remove_image("two").unwrap();
    assert_eq!(fixture.holdings().unwrap().objects, holdings.objects);
    let freed = gc(&fixture).objects;
    let left = fixture.holdings().unwrap().objects;
    assert_eq!((left.count + freed.count, left.bytes + freed.bytes), (5, 2000));
}

#[test]
fn of_the_images_that_a_name_had_the_young_ones_stay_too() {
    let fixture = fixture();
    for (text, pulled) in [("1", 100), ("2", 200), ("3", 300), ("4", 400)] {
        let mut record = pull(&fixture, text, &[&[text]]);
        record.pulled_unix_seconds = pulled;
        record.name = "a".to_owned();
        fixture.set_image(&record).unwrap();
    }
    let times =
        || fixture.history("a").unwrap().iter().map(|old| old.pulled_unix_seconds).collect::<Vec<_>>();
    assert_eq!(times(), [300, 200, 100]);
    let with = |keep_previous, keep_pulled_since| {
        let options = GcOptions { keep_previous, keep_pulled_since, ..GcOptions::default() };
        let report = fixture.gc(&options, &objects_of, &()).unwrap();
        (report.earlier.count, report.kept.earlier)
    };
    assert_eq!(with(1, Some(150)), (1, 2));
    assert_eq!(times(), [300, 200], "one goes, as it is old and not the newest");
    assert_eq!(with(0, Some(150)), (0, 2), "both are young");
    assert_eq!(with(1, Some(1000)), (1, 1), "old ones stay where they are among the newest");
    assert_eq!((times(), with(0, None)), (vec![300], (1, 0)));
}
