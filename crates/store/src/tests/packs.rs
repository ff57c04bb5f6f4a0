use sealpack_format::pack::PackReader;

use super::*;
use crate::{Error, ObjectForm, ObjectState, PackDescriptor};

fn pack_of(store: &Store, layer: Layer<'_>) -> PackDescriptor {
    store.layer_pack(&diff_id_of(layer)).unwrap().unwrap()
}

#[test]
fn a_layers_pack_is_known_and_good_and_has_its_objects_in_their_order() {
    let fixture = fixture();
    let layer: Layer<'_> = &["zebra", "apple", "zebra", "mouse"];
    let staging = fixture.stage().unwrap();
    add_packed_layer(&staging, layer);
    let figures = staging.figures();
    drop(staging);
    let pack = pack_of(&fixture, layer);
    assert_eq!((figures.packs, figures.pack_bytes), (1, pack.size_bytes));
    assert_eq!(fixture.check_pack(&pack.root_hash).unwrap(), ObjectState::Good);
    let reader = PackReader::open(fixture.open_pack(&pack.root_hash).unwrap().unwrap()).unwrap();
    let ids: Vec<_> = reader.objects().iter().map(|object| object.id).collect();
    assert_eq!(ids, ["zebra", "apple", "mouse"].map(|text| id_of(&fixture, text)));
    assert_eq!((pack.objects, pack.object_bytes), (3, 1500));
    assert_eq!(std::fs::metadata(fixture.pack_path(&pack.root_hash)).unwrap().len(), pack.size_bytes);
    // Known without the file.
    std::fs::remove_file(fixture.pack_path(&pack.root_hash)).unwrap();
    assert_eq!(pack_of(&fixture, layer), pack);
    assert_eq!(fixture.check_pack(&pack.root_hash).unwrap(), ObjectState::Absent);
}

#[test]
fn any_changed_byte_of_a_pack_is_noticed_and_the_pack_replaced_when_it_is_made_again() {
    let fixture = fixture();
    let layer: Layer<'_> = &["x", "y"];
    add_packed_layer(&fixture.stage().unwrap(), layer);
    let pack = pack_of(&fixture, layer);
    let path = fixture.pack_path(&pack.root_hash);
    let good = std::fs::read(&path).unwrap();
    for offset in (0..good.len()).step_by(1021).chain([good.len() - 1]) {
        let mut bad = good.clone();
        bad[offset] ^= 1;
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, &bad).unwrap();
        assert_eq!(fixture.check_pack(&pack.root_hash).unwrap(), ObjectState::Damaged, "byte {offset}");
    }
    let staging = fixture.stage().unwrap();
    add_packed_layer(&staging, layer);
    assert_eq!(staging.figures().replaced_packs, [pack.root_hash]);
    assert_eq!(std::fs::read(&path).unwrap(), good);
    assert_eq!(fixture.check_pack(&pack.root_hash).unwrap(), ObjectState::Good);
}

#[test]
fn a_layer_without_objects_has_no_pack_and_that_is_known() {
    let fixture = fixture();
    let staging = fixture.stage().unwrap();
    let (empty, other): (Layer<'_>, Layer<'_>) = (&[], &["x"]);
    add_packed_layer(&staging, empty);
    add_packed_layer(&staging, other);
    drop(staging);
    assert_eq!(fixture.layer_pack(&diff_id_of(empty)).unwrap(), None);
    let mut record = pull(&fixture, "a", &[empty, other, empty, other]);
    let packs = fixture.image_packs(&record).unwrap();
    assert_eq!(packs.len(), 1);
    assert_eq!((packs[0].layer, packs[0].pack), (diff_id_of(other), pack_of(&fixture, other)));
    let unknown = diff_id_of(&["unknown"]);
    record.layers.push(LayerDescriptor::new(unknown, record.manifest, 1));
    assert!(matches!(fixture.image_packs(&record), Err(Error::PackUnknown(id)) if id == unknown));
}

#[test]
fn a_store_of_sha512_refuses_packs_and_says_so() {
    let fixture = fixture_with(Algorithm::Sha512);
    let staging = fixture.stage().unwrap();
    let error = staging.pack_writer().map(drop).unwrap_err();
    assert!(error.to_string().contains("names objects by sha512, and packs need sha256"), "{error}");
}

#[test]
fn packs_lock_out_programs_that_do_not_know_them() {
    let fixture = fixture();
    let meta = || std::fs::read_to_string(fixture.path().join("meta.json")).unwrap();
    pull(&fixture, "a", &[&["x"]]);
    assert!(!meta().contains("packs"), "{}", meta());
    add_packed_layer(&fixture.stage().unwrap(), &["x"]);
    let json: serde_json::Value = serde_json::from_str(&meta()).unwrap();
    assert_eq!(json["incompat"], serde_json::json!(["packs"]));
    // Again, by others too: once is enough.
    add_packed_layer(&Store::open(fixture.path()).unwrap().stage().unwrap(), &["y"]);
    assert_eq!(serde_json::from_str::<serde_json::Value>(&meta()).unwrap(), json);
}

#[test]
fn a_record_says_in_which_form_objects_are_and_old_ones_mean_files() {
    let fixture = fixture();
    let mut record = pull(&fixture, "a", &[&["x"]]);
    assert_eq!(record.objects, ObjectForm::Files);
    let path = fixture.path().join("refs/a.json");
    let mut json: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    assert_eq!(json.as_object_mut().unwrap().remove("objects"), Some("files".into()));
    std::fs::write(&path, json.to_string()).unwrap();
    assert_eq!(fixture.image("a").unwrap().unwrap(), record);
    record.objects = ObjectForm::Packs;
    fixture.set_image(&record).unwrap();
    assert_eq!(fixture.image("a").unwrap().unwrap(), record);
}

#[test]
fn the_hash_area_of_a_metadata_image_is_made_when_it_is_asked_for_and_mended() {
    for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
        let fixture = fixture_with(algorithm);
        let staging = fixture.stage().unwrap();
        let mut image = staging.metadata_image_writer().unwrap();
        image.write_all(&[7; 3 * 4096]).unwrap();
        let id = image.finish().unwrap();
        staging.commit().unwrap();
        drop(staging);
        let path = fixture.hash_area_path(&id);
        assert!(!path.exists());
        let root_hash = fixture.ensure_hash_area(&id).unwrap();
        let area = std::fs::read(&path).unwrap();
        let image = std::fs::read(fixture.metadata_image_path(&id)).unwrap();
        let hash = sealpack_kernel::sha256::leaf_hash();
        sealpack_format::verity::dmverity::verify(hash, &image, &area, &root_hash).unwrap();
        assert_eq!(fixture.ensure_hash_area(&id).unwrap(), root_hash);
        damage(&path);
        assert_eq!(fixture.ensure_hash_area(&id).unwrap(), root_hash);
        assert_eq!(std::fs::read(&path).unwrap(), area);
        damage(&fixture.metadata_image_path(&id));
        assert!(matches!(fixture.ensure_hash_area(&id), Err(Error::ImageDamaged { .. })));
    }
}

#[test]
fn a_seal_is_kept_replaced_and_bounded() {
    let fixture = fixture();
    let record = pull(&fixture, "a", &[&["x"]]);
    assert_eq!(read_seal(&fixture, &record).unwrap(), None);
    for seal in [&b"{}"[..], b"{\"version\":1}"] {
        write_seal(&fixture, &record, seal).unwrap();
        assert_eq!(read_seal(&fixture, &record).unwrap().as_deref(), Some(seal));
    }
    assert_clean(&fixture);
    let large = vec![b' '; sealpack_format::limits::SEAL_MAX_BYTES + 1];
    let error = write_seal(&fixture, &record, &large).unwrap_err();
    assert!(matches!(error, Error::SealTooLarge { .. }), "{error}");
    let sealed = fixture.image("a").unwrap().unwrap();
    std::fs::write(fixture.seal_path(&sealed).unwrap(), &large).unwrap();
    assert!(matches!(read_seal(&fixture, &record), Err(Error::SealTooLarge { .. })));
}

#[test]
fn packs_that_are_vouched_for_are_read_whatever_was_remembered_of_them() {
    let fixture = fixture();
    let (one, two): (Layer<'_>, Layer<'_>) = (&["x", "y"], &["z"]);
    let image = pull_as(ObjectForm::Packs, &fixture, "a", &[one, two, one]);
    fixture.verify_image_packs(&image).unwrap();
    let (pack, other) = (pack_of(&fixture, one), pack_of(&fixture, two));
    let refusal = || {
        let error = fixture.verify_image_packs(&image).unwrap_err();
        assert!(error.is_verification(), "{error}");
        error.to_string()
    };

    // A whole pack with consistent records, but of another layer.
    let path = fixture.pack_record_path(&diff_id_of(one));
    let record = std::fs::read(&path).unwrap();
    std::fs::write(&path, std::fs::read(fixture.pack_record_path(&diff_id_of(two))).unwrap()).unwrap();
    let text = refusal();
    assert!(text.contains(&format!("names pack {}, which is another layer's", other.root_hash)), "{text}");
    std::fs::write(&path, record).unwrap();
    fixture.verify_image_packs(&image).unwrap();

    let path = fixture.pack_path(&pack.root_hash);
    let good = std::fs::read(&path).unwrap();
    for offset in [5000, good.len() - 1] {
        let mut bad = good.clone();
        bad[offset] ^= 1;
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, bad).unwrap();
        assert!(refusal().contains(&pack.root_hash.to_string()));
    }
    std::fs::remove_file(&path).unwrap();
    assert!(refusal().contains("it is missing"));
}
