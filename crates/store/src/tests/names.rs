use super::*;
use crate::Error;

#[test]
fn names_are_given_replaced_listed_in_order_and_taken() {
    let fixture = fixture();
    let long = format!("registry.example/{}@sha256:{}", "deep/".repeat(700), "0".repeat(64));
    for name in ["docker.io/library/debian:12", "a", &long, "../../etc/passwd", "."] {
        pull(&fixture, name, &[&["x"]]);
    }
    let second = pull(&fixture, "a", &[&["y"]]);
    assert_eq!(fixture.image("a").unwrap(), Some(second));
    let images = fixture.images().unwrap();
    assert!(images.damaged.is_empty());
    let names: Vec<_> = images.records.iter().map(|record| record.name.as_str()).collect();
    assert_eq!(names, [".", "../../etc/passwd", "a", "docker.io/library/debian:12", &long]);
    assert!(fixture.remove_image(&long).unwrap());
    assert!(!fixture.remove_image(&long).unwrap());
    assert_eq!(fixture.image(&long).unwrap(), None);
    assert!(matches!(fixture.image(""), Err(Error::Name { .. })));
    assert_clean(&fixture);
}

#[test]
fn one_damaged_name_does_not_hide_the_others() {
    let fixture = fixture();
    for name in ["a", "b", "c"] {
        pull(&fixture, name, &[&["x"]]);
    }
    let refs = fixture.path().join("refs");
    std::fs::write(refs.join("b.json"), "{").unwrap();
    std::fs::copy(refs.join("a.json"), refs.join("z.json")).unwrap();
    std::fs::create_dir(refs.join("dir")).unwrap();
    let images = fixture.images().unwrap();
    assert_eq!(images.records.len(), 2);
    let damaged: Vec<_> = images.damaged.iter().map(ToString::to_string).collect();
    assert_eq!(damaged.len(), 3);
    assert!(
        damaged[0].starts_with(&format!("{} is not the record of an image", refs.join("b.json").display()))
    );
    assert!(damaged[2].contains("it is about \"a\""), "{}", damaged[2]);
    assert!(matches!(fixture.image("b"), Err(Error::RefDamaged(_))));
    let report = fsck(&fixture, true);
    assert_eq!(report.problems.len(), 3);
    assert_clean(&fixture);
}

#[test]
fn fields_of_later_versions_survive_and_later_records_are_refused() {
    let fixture = fixture();
    pull(&fixture, "a", &[&["x"]]);
    let path = fixture.path().join("refs/a.json");
    let mut json: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    json["seal"] = "new".into();
    json["layers"][0]["root_hash"] = 5.into();
    std::fs::write(&path, json.to_string()).unwrap();
    let mut record = fixture.image("a").unwrap().unwrap();
    record.name = "b".into();
    fixture.set_image(&record).unwrap();
    let copy = std::fs::read(fixture.path().join("refs/b.json")).unwrap();
    let copy: serde_json::Value = serde_json::from_slice(&copy).unwrap();
    assert_eq!((&copy["seal"], &copy["layers"][0]["root_hash"]), (&json["seal"], &5.into()));

    json["version"] = 2.into();
    std::fs::write(&path, json.to_string()).unwrap();
    let answer = fixture.image("a").unwrap_err().to_string();
    assert!(answer.contains("version 2") && answer.contains("newer sealpack"), "{answer}");
}

#[test]
fn figures_count_every_object_once_and_tell_what_is_shared() {
    let fixture = fixture();
    let (base, top, other): (Layer<'_>, Layer<'_>, Layer<'_>) = (&["a", "bb", "a"], &["ccc", "a"], &["dddd"]);
    let one = pull(&fixture, "one", &[base, top]);
    let two = pull(&fixture, "two", &[base, other]);
    let usage = fixture.usage(&[one.clone(), two.clone()]).unwrap();
    assert_eq!((usage[0].objects, usage[0].bytes), (3, 600));
    assert_eq!((usage[0].own_objects, usage[0].own_bytes), (1, 300));
    assert_eq!((usage[1].objects, usage[1].own_bytes), (3, 400));
    let sharing = fixture.sharing(&one, &two).unwrap();
    assert_eq!((sharing.objects, sharing.bytes, sharing.layers), (2, 300, 1));
}

/// The fields have names in the code that are not those on the disk.
#[test]
fn the_record_of_an_image_has_on_the_disk_the_fields_that_its_format_names() {
    let fixture = fixture();
    let record = pull(&fixture, "a", &[&["x"]]);
    let json = std::fs::read(fixture.path().join("refs/a.json")).unwrap();
    let layer = &record.layers[0];
    let expected = format!(
        r#"{{
  "version": 1,
  "name": "a",
  "manifest": "{}",
  "config": "{}",
  "platform": "linux/amd64",
  "image": "{}",
  "image_size_bytes": 4096,
  "layers": [
    {{
      "diff_id": "{}",
      "blob": "{}",
      "blob_size_bytes": 7
    }}
  ],
  "objects": "files",
  "pulled_unix_seconds": 0
}}
"#,
        record.manifest, record.config, record.metadata_image, layer.diff_id, layer.blob
    );
    assert_eq!(String::from_utf8(json).unwrap(), expected);
}
