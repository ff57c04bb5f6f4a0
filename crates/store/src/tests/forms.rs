//! Images as files and in packs, and from one to the other.

use super::*;
use crate::ProblemKind::*;
use crate::{Discard, Error, ObjectState, ProblemKind};

const BASE: Layer<'static> = &["shared", "also", "shared"];

fn root_of(store: &Store, layer: Layer<'_>) -> sealpack_format::digest::RootHash {
    store.layer_pack(&diff_id_of(layer)).unwrap().unwrap().root_hash
}

fn packs(store: &Store) -> usize {
    std::fs::read_dir(store.path().join("packs/sha256")).map_or(0, Iterator::count)
}

fn objects(store: &Store) -> usize {
    snapshot(store.objects_path()).len()
}

fn convert(store: &Store, name: &str, to: ObjectForm) -> crate::Converted {
    let record = store.image(name).unwrap().unwrap();
    store.convert(&record, to, &()).unwrap()
}

#[track_caller]
fn assert_readable(store: &Store, record: &ImageRecord, texts: &[&str]) {
    for text in texts {
        let mut read = Vec::new();
        let object = store.object_of_image(record, &id_of(store, text)).unwrap().unwrap();
        object.copy_to(&mut read).unwrap();
        assert_eq!(read, content(text));
    }
}

/// Expects the files of `before`, whatever is remembered of them.
#[track_caller]
fn assert_same_but_for_memory(store: &Store, before: Vec<(PathBuf, Vec<u8>)>) {
    let files = |mut files: Vec<(PathBuf, Vec<u8>)>| {
        files.retain(|(path, _)| !path.ends_with("verified"));
        files
    };
    let (before, after) = (files(before), files(snapshot(store.path())));
    let names = |files: &[(PathBuf, Vec<u8>)]| files.iter().map(|(path, _)| path.clone()).collect::<Vec<_>>();
    assert_eq!(names(&after), names(&before));
    assert!(after == before, "some files have other contents");
}

#[test]
fn an_image_goes_from_files_to_packs_and_back_and_gc_removes_the_other_form() {
    let fixture = fixture();
    let record = pull(&fixture, "a", &[BASE, &["1", "shared"], &[]]);
    let before = snapshot(fixture.objects_path());
    let packed = convert(&fixture, "a", ObjectForm::Packs);
    assert_eq!((packed.layers, packed.added.packs), (3, 2));
    assert_eq!(fixture.image("a").unwrap().unwrap(), packed.record);
    assert!(fixture.hash_area_path(&record.metadata_image).exists());
    assert_clean(&fixture);
    assert_eq!(gc(&fixture).objects.count, 3);
    assert_eq!((objects(&fixture), packs(&fixture)), (0, 2));
    assert_clean(&fixture);
    assert_readable(&fixture, &packed.record, &["shared", "also", "1"]);

    let unpacked = convert(&fixture, "a", ObjectForm::Files);
    assert_eq!(unpacked.record, record);
    assert_eq!(
        (unpacked.layers, unpacked.added.objects),
        (2, 3),
        "nothing is to be done for the empty layer"
    );
    assert_clean(&fixture);
    assert_eq!(gc(&fixture).packs.count, 2);
    assert!(snapshot(fixture.objects_path()) == before);
    assert_readable(&fixture, &record, &["shared", "also", "1"]);
    // What packs the layers have is known all the same.
    assert_eq!(fixture.image_packs(&record).unwrap(), fixture.image_packs(&packed.record).unwrap());
    assert_clean(&fixture);
}

#[test]
fn a_pack_has_the_same_bytes_from_the_stream_and_from_objects() {
    let fixtures = [fixture(), fixture()];
    pull_as(ObjectForm::Packs, &fixtures[0], "a", &[BASE, &["z", "y", "x"]]);
    pull(&fixtures[1], "a", &[BASE, &["z", "y", "x"]]);
    convert(&fixtures[1], "a", ObjectForm::Packs);
    let [one, other] = fixtures.each_ref().map(|fixture| snapshot(&fixture.path().join("packs")));
    assert!(one.len() == 2 && one == other);
}

#[test]
fn converting_to_the_form_that_is_there_mends_what_is_missing_and_changes_nothing_else() {
    let fixture = fixture();
    pull(&fixture, "a", &[BASE]);
    convert(&fixture, "a", ObjectForm::Packs);
    let good = snapshot(fixture.path());
    assert_eq!(convert(&fixture, "a", ObjectForm::Packs).layers, 0);
    assert!(snapshot(fixture.path()) == good);
    damage(&fixture.pack_path(&root_of(&fixture, BASE)));
    let mended = convert(&fixture, "a", ObjectForm::Packs);
    assert_eq!((mended.layers, mended.added.replaced_packs.len()), (1, 1));
    assert_clean(&fixture);
}

#[test]
fn what_is_not_whole_in_either_form_is_not_converted_and_leaves_nothing() {
    for damaged_last in [false, true] {
        let fixture = fixture();
        let record = pull(&fixture, "a", &[BASE, &["1"]]);
        let path = fixture.object_path(&id_of(&fixture, "1"));
        if damaged_last {
            damage(&path)
        } else {
            std::fs::remove_file(path).unwrap()
        }
        let before = snapshot(fixture.path());
        let error = fixture.convert(&record, ObjectForm::Packs, &()).unwrap_err();
        assert!(
            matches!(error, Error::LayerIncomplete(layer) if layer == record.layers[1].diff_id),
            "{error}"
        );
        assert_same_but_for_memory(&fixture, before);
    }
    let fixture = fixture();
    let record = pull_as(ObjectForm::Packs, &fixture, "a", &[BASE, &["1"]]);
    damage(&fixture.pack_path(&root_of(&fixture, BASE)));
    let before = snapshot(fixture.path());
    let error = fixture.convert(&record, ObjectForm::Files, &()).unwrap_err();
    assert!(matches!(error, Error::LayerIncomplete(layer) if layer == diff_id_of(BASE)), "{error}");
    let after = snapshot(fixture.path());
    assert!(
        after
            .iter()
            .filter(|(path, _)| !path.ends_with("verified"))
            .eq(before.iter().filter(|(path, _)| !path.ends_with("verified")))
    );
}

#[test]
fn a_name_that_changes_meanwhile_is_not_overwritten() {
    let fixture = fixture();
    let old = pull(&fixture, "a", &[BASE]);
    let new = pull(&fixture, "a", &[&["new"]]);
    let error = fixture.convert(&old, ObjectForm::Packs, &()).unwrap_err();
    assert!(matches!(error, Error::NameChanged(_)), "{error}");
    assert_eq!(fixture.image("a").unwrap(), Some(new));
}

/// What is converted is flushed before the name changes, which takes its time.
#[test]
fn a_name_that_changes_or_goes_while_packs_are_flushed_stays_as_it_is_then() {
    let fixture = fixture();
    pull_as(ObjectForm::Packs, &fixture, "other", &[&["other"]]);
    for (name, layer, is_there) in [("a", "1", true), ("b", "2", false)] {
        let (new, old) = (pull(&fixture, name, &[&["new"]]), pull(&fixture, name, &[&[layer]]));
        let store = Store::open(fixture.path()).unwrap();
        let before = packs(&fixture);
        let names = fixture.lock_names().unwrap();
        let converting = std::thread::spawn(move || store.convert(&old, ObjectForm::Packs, &()));
        while packs(&fixture) == before {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        if is_there {
            fixture.put_record(&new).unwrap();
        } else {
            fixture.refs.unlink(format!("{name}.json")).unwrap();
        }
        drop(names);
        let error = converting.join().unwrap().unwrap_err();
        assert!(matches!(error, Error::NameChanged(_)), "{error}");
        assert_eq!(fixture.image(name).unwrap(), is_there.then_some(new));
    }
}

#[test]
fn a_store_of_sha512_does_not_convert() {
    let fixture = fixture_with(Algorithm::Sha512);
    let record = pull(&fixture, "a", &[BASE]);
    let error = fixture.convert(&record, ObjectForm::Packs, &()).unwrap_err();
    assert!(matches!(error, Error::PackAlgorithm { .. }), "{error}");
}

#[test]
fn an_image_of_more_than_400_packs_is_refused_with_advice() {
    let fixture = fixture();
    let texts: Vec<String> = (0..401).map(|n| n.to_string()).collect();
    let texts: Vec<[&str; 1]> = texts.iter().map(|text| [text.as_str()]).collect();
    let layers: Vec<Layer<'_>> = texts.iter().map(|text| text.as_slice()).collect();
    pull(&fixture, "most", &layers[1..]);
    assert_eq!(convert(&fixture, "most", ObjectForm::Packs).layers, 400);
    let record = pull(&fixture, "a", &layers);
    let before = packs(&fixture);
    let error = fixture.convert(&record, ObjectForm::Packs, &()).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("401 packs") && text.contains("at most 400: keep its objects as files"), "{text}");
    assert_eq!(packs(&fixture), before);
    assert_eq!(fixture.image("a").unwrap(), Some(record));
}

#[test]
fn sparse_objects_stay_sparse_in_both_forms() {
    let fixture = fixture();
    let mut bytes = vec![0; 1 << 20];
    bytes[..1000].fill(1);
    bytes[700_000..700_100].fill(2);
    let id = sealpack_format::verity::fsverity_digest(Algorithm::Sha256, &bytes);
    let diff_id = diff_id_of(&["sparse"]);
    let staging = fixture.stage().unwrap();
    let mut record = LayerWriter::new(staging.layer_writer().unwrap(), Algorithm::Sha256).unwrap();
    staging.add_bytes(&id, &bytes).unwrap();
    record.push(&entry("sparse", id, bytes.len() as u64)).unwrap();
    record.finish().unwrap().finish(&diff_id).unwrap();
    staging.commit().unwrap();
    assert!(staging.convert_layer(&diff_id, ObjectForm::Packs).unwrap());
    staging.commit().unwrap();
    let pack = fixture.layer_pack(&diff_id).unwrap().unwrap();
    assert!(pack.size_bytes < 200_000, "{pack:?}");
    std::fs::remove_file(fixture.object_path(&id)).unwrap();
    assert!(staging.convert_layer(&diff_id, ObjectForm::Files).unwrap());
    staging.commit().unwrap();
    assert_eq!(std::fs::read(fixture.object_path(&id)).unwrap(), bytes);
    let blocks =
        std::os::unix::fs::MetadataExt::blocks(&std::fs::metadata(fixture.object_path(&id)).unwrap());
    assert!(blocks * 512 < 300_000, "{blocks}");
}

#[test]
fn gc_keeps_what_each_form_needs_and_what_is_mounted() {
    let fixture = fixture();
    let packed = pull_as(ObjectForm::Packs, &fixture, "packed", &[BASE, &["1"]]);
    pull(&fixture, "files", &[BASE, &["2"]]);
    write_seal(&fixture, &packed, b"{}").unwrap();
    assert_eq!(gc(&fixture).total().count, 0);
    assert_clean(&fixture);

    // Without its name, mounted: the packs with its objects stay, and so does what belongs to its metadata image.
    fixture.remove_image("packed").unwrap();
    let options =
        crate::GcOptions { keep_images: vec![packed.metadata_image], ..crate::GcOptions::default() };
    let report = fixture.gc(&options, &objects_of, &()).unwrap();
    assert_eq!((report.packs.count, report.images.count, report.seals.count), (0, 0, 1));
    assert!(fixture.hash_area_path(&packed.metadata_image).exists());
    // Once more, now that the records of its layers are gone.
    assert_eq!(fixture.gc(&options, &objects_of, &()).unwrap().total().count, 0);

    // A pack in use stays, the other goes.
    let base = root_of(&fixture, BASE);
    let options = crate::GcOptions { keep_packs: vec![base], ..crate::GcOptions::default() };
    let report = fixture.gc(&options, &objects_of, &()).unwrap();
    assert_eq!((report.packs.count, report.images.count), (1, 2));
    assert_eq!(fixture.check_pack(&base).unwrap(), ObjectState::Good);
    assert_eq!(gc(&fixture).packs.count, 1);
    assert_clean(&fixture);
    fixture.remove_image("files").unwrap();
    gc(&fixture);
    let files: Vec<_> = snapshot(fixture.path()).into_iter().map(|(path, _)| path).collect();
    assert_eq!(
        files,
        ["lock", "making.lock", "meta.json", "names.lock", "verified"].map(PathBuf::from)[..files.len()]
    );
}

#[test]
fn objects_of_a_mounted_image_stay_when_it_is_converted() {
    let fixture = fixture();
    let record = pull(&fixture, "a", &[BASE]);
    convert(&fixture, "a", ObjectForm::Packs);
    let options =
        crate::GcOptions { keep_images: vec![record.metadata_image], ..crate::GcOptions::default() };
    let report = fixture.gc(&options, &objects_of, &()).unwrap();
    assert_eq!((report.objects.count, report.packs.count), (0, 0));
    assert_eq!(gc(&fixture).objects.count, 2);
}

#[test]
fn packs_stay_while_the_record_that_names_them_is_set_aside() {
    let fixture = fixture();
    pull_as(ObjectForm::Packs, &fixture, "a", &[BASE]);
    std::fs::write(fixture.pack_record_path(&diff_id_of(BASE)), "{").unwrap_or_else(|_| {
        let path = fixture.pack_record_path(&diff_id_of(BASE));
        std::fs::remove_file(&path).unwrap();
        std::fs::write(path, "{").unwrap();
    });
    let error = fixture.gc(&crate::GcOptions::default(), &objects_of, &()).unwrap_err();
    assert!(error.to_string().starts_with("nothing was removed"), "{error}");
    fsck(&fixture, true);
    assert_eq!(gc(&fixture).packs.count, 0);
    assert_eq!(packs(&fixture), 1);
}

/// Breaks something of an image in packs; expects the kinds of problems; heals by pulling again.
#[track_caller]
fn finds(expected: &[ProblemKind], break_it: impl Fn(&Store, &ImageRecord)) {
    let fixture = fixture();
    let again = || pull_as(ObjectForm::Packs, &fixture, "a", &[BASE, &["1"]]);
    let record = again();
    write_seal(&fixture, &record, b"{}").unwrap();
    assert_clean(&fixture);
    break_it(&fixture, &record);
    let kinds =
        |report: &FsckReport| -> Vec<_> { report.problems.iter().map(|problem| problem.kind).collect() };
    let report = fsck(&fixture, false);
    assert_eq!(kinds(&report), expected, "{:#?}", report.problems);
    assert!(report.problems.iter().all(|problem| problem.images == ["a"]), "{:#?}", report.problems);
    let repaired = fsck(&fixture, true);
    assert_eq!(kinds(&repaired), expected);
    for problem in repaired.problems.iter().filter(|problem| problem.quarantined.is_some()) {
        assert!(!problem.path.exists(), "{problem}");
    }
    again();
    assert_clean(&fixture);
}

#[test]
fn damage_of_packs_their_records_hash_areas_and_seals_is_found() {
    let layer = diff_id_of(BASE);
    let incomplete = [DamagedPack, IncompleteLayer, IncompleteImage];
    finds(&incomplete, |store, _| damage(&store.pack_path(&root_of(store, BASE))));
    finds(&incomplete, |store, _| {
        let path = store.pack_path(&root_of(store, BASE));
        let mut bytes = std::fs::read(&path).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        std::fs::remove_file(&path).unwrap();
        std::fs::write(path, bytes).unwrap();
    });
    finds(&incomplete, |store, _| {
        let path = store.pack_path(&root_of(store, BASE));
        std::fs::remove_file(&path).unwrap();
        std::fs::write(path, "short").unwrap();
    });
    finds(&[IncompleteLayer, IncompleteImage, MissingPack], |store, _| {
        std::fs::remove_file(store.pack_path(&root_of(store, BASE))).unwrap();
    });
    finds(&[IncompleteLayer, IncompleteImage, MissingPack], |store, _| {
        std::fs::remove_file(store.pack_record_path(&layer)).unwrap();
    });
    finds(&[DamagedPackRecord, IncompleteLayer, IncompleteImage], |store, _| {
        damage(&store.pack_record_path(&layer));
    });
    finds(&[DamagedImageTree], |store, record| damage(&store.hash_area_path(&record.metadata_image)));
    finds(&[DamagedSeal], |store, record| drop(write_seal(store, record, b"{").unwrap()));
}

#[test]
fn a_record_that_names_another_layers_pack_is_found() {
    finds(&[DamagedPackRecord, IncompleteLayer, IncompleteImage], |store, _| {
        let (from, to) = (diff_id_of(&["1"]), diff_id_of(BASE));
        std::fs::remove_file(store.pack_record_path(&to)).unwrap();
        std::fs::copy(store.pack_record_path(&from), store.pack_record_path(&to)).unwrap();
    });
}

#[test]
fn files_are_as_they_were_when_only_the_pack_is_whole() {
    let fixture = fixture();
    pull(&fixture, "a", &[BASE]);
    convert(&fixture, "a", ObjectForm::Packs);
    let record = convert(&fixture, "a", ObjectForm::Files).record;
    std::fs::remove_file(fixture.object_path(&id_of(&fixture, "also"))).unwrap();
    let report = fsck(&fixture, true);
    let kinds: Vec<_> = report.problems.iter().map(|problem| problem.kind).collect();
    assert_eq!(kinds, [IncompleteImage], "the layer has its pack, and needs no fetching");
    fixture.convert(&record, ObjectForm::Files, &()).unwrap();
    assert_clean(&fixture);
}

#[test]
fn what_a_failed_pull_has_packed_is_taken_back_and_nothing_else() {
    let fixture = fixture();
    pull_as(ObjectForm::Packs, &fixture, "packed", &[BASE]);
    let files = pull(&fixture, "files", &[&["2"]]);
    let before = snapshot(fixture.path());
    let staging = fixture.stage().unwrap();
    let new = add_packed_layer(&staging, &["new"]);
    // Another layer with the contents of one that stays.
    let twin: Layer<'_> = &["shared", "also"];
    let twin = add_packed_layer(&staging, twin);
    let known = files.layers[0].diff_id;
    assert!(staging.convert_layer(&known, ObjectForm::Packs).unwrap());
    staging.commit().unwrap();
    drop(staging);
    assert_eq!(packs(&fixture), 3);
    let brought = Discard { layers: &[new, twin, diff_id_of(BASE)], packs: &[known], blobs: &[] };
    assert!(fixture.discard(&brought, &objects_of).unwrap());
    assert_same_but_for_memory(&fixture, before);
    assert_clean(&fixture);
}

#[test]
fn figures_count_packs_by_what_goes_with_the_image() {
    let fixture = fixture();
    let one = pull_as(ObjectForm::Packs, &fixture, "one", &[BASE, &["1"]]);
    let two = pull_as(ObjectForm::Packs, &fixture, "two", &[BASE, &["2", "two"]]);
    let files = pull(&fixture, "files", &[BASE]);
    let usage = fixture.usage(&[one.clone(), two.clone(), files.clone()]).unwrap();
    let size = |layer| fixture.layer_pack(&diff_id_of(layer)).unwrap().unwrap().size_bytes;
    assert_eq!((usage[0].packs, usage[0].own_packs, usage[0].objects, usage[0].own_objects), (2, 1, 3, 1));
    assert_eq!(usage[0].bytes, size(BASE) + size(&["1"]));
    assert_eq!((usage[1].own_objects, usage[1].own_bytes), (2, size(&["2", "two"])));
    assert_eq!((usage[2].packs, usage[2].objects, usage[2].own_objects), (0, 2, 2));
    let sharing = fixture.sharing(&one, &files).unwrap();
    assert_eq!((sharing.layers, sharing.objects), (1, 2));
}

#[test]
fn a_damaged_content_is_not_handed_out() {
    let fixture = fixture();
    let record = pull_as(ObjectForm::Packs, &fixture, "a", &[BASE]);
    let path = fixture.pack_path(&root_of(&fixture, BASE));
    let mut bytes = std::fs::read(&path).unwrap();
    let content = content("also");
    let at = bytes.windows(content.len()).position(|window| window == content).unwrap();
    bytes[at] ^= 1;
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, bytes).unwrap();
    let error = fixture.object_of_image(&record, &id_of(&fixture, "also")).map(drop).unwrap_err();
    assert!(matches!(error, Error::ObjectDamaged { .. }), "{error}");
    assert_readable(&fixture, &record, &["shared"]);
    assert!(fixture.object_of_image(&record, &id_of(&fixture, "unknown")).unwrap().is_none());
}
