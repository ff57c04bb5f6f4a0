//! A store with some images of another.

use super::seals::{kept_of, seal_of};
use super::*;

#[test]
fn a_copied_image_is_all_that_the_new_store_has_and_it_is_whole() {
    for form in [ObjectForm::Files, ObjectForm::Packs] {
        let fixture = fixture();
        let wanted = pull_as(form, &fixture, "wanted", &[&["one", "two"], &["three"]]);
        let wanted = fixture.write_seal(&wanted, &kept_of("a statement")).unwrap();
        pull_as(form, &fixture, "other", &[&["one", "two"], &["four"]]);
        fixture.remember_epoch(&epoch_for("wanted", 7), &wanted).unwrap();
        fixture.remember_epoch(&epoch_for("other", 8), &wanted).unwrap();
        let path = fixture.directory.path().join("single");
        let single = fixture.copy_images_to(std::slice::from_ref(&wanted), &path).unwrap();
        assert_clean(&single);
        let names: Vec<_> = single.images().unwrap().records.into_iter().map(|record| record.name).collect();
        assert_eq!(names, ["wanted"]);
        assert_eq!(single.image("wanted").unwrap(), Some(wanted.clone()));
        assert_eq!(read_seal(&single, &wanted).unwrap(), Some(seal_of("a statement")));
        assert_eq!(single.epoch("wanted").unwrap().map(|epoch| epoch.epoch), Some(7));
        assert_eq!(single.epoch("other").unwrap(), None);
        // Nothing that only the other image needs.
        assert_eq!(gc(&single), GcReport::default(), "{form}");
    }
}

#[test]
fn what_is_damaged_is_copied_as_it_is_and_found_by_fsck() {
    let fixture = fixture();
    let record = pull_as(ObjectForm::Packs, &fixture, "image", &[&["one"]]);
    let pack = fixture.image_packs(&record).unwrap()[0].pack.root_hash;
    damage(&fixture.path().join(format!("packs/sha256/{pack}.pack")));
    let single = fixture.copy_images_to(&[record], &fixture.directory.path().join("single")).unwrap();
    assert!(!fsck(&single, false).is_clean());
}

#[test]
fn a_store_or_something_else_in_the_way_is_left_alone() {
    let fixture = fixture();
    let record = pull(&fixture, "image", &[&["one"]]);
    let before = snapshot(fixture.path());
    let error = fixture.copy_images_to(&[record], fixture.path()).unwrap_err();
    assert!(matches!(error, crate::Error::Exists { .. }), "{error}");
    assert_eq!(snapshot(fixture.path()), before);
}
