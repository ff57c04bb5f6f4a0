//! Chains that are held.

use sealpack_format::Algorithm;
use sealpack_format::digest::DiffId;

use crate::{Chain, ChainId, Error, GcOptions, ObjectForm, Store, objects_of_image};

fn layer(byte: u8) -> DiffId {
    DiffId::from_slice(Algorithm::Sha256, &[byte; 32]).unwrap()
}

#[test]
fn a_chain_id_is_the_digest_of_the_one_below_and_the_layer() {
    // `printf 'sha256:0101… sha256:0202…' | sha256sum`
    let chain = ChainId::of(&[layer(1), layer(2)]).unwrap();
    assert_eq!(ChainId::of(&[layer(1)]).unwrap().to_string(), layer(1).to_string());
    assert_eq!(chain.to_string(), "sha256:ad00036de6f26a309d173ace61d4a45573a1658ab0ff36e3858c3dbee3c5ded8");
    assert_eq!(ChainId::of(&[]), None);
    assert_eq!(ChainId::all_of(&[layer(1), layer(2)]).count(), 2);
    assert_eq!(chain.to_string().parse::<ChainId>().unwrap(), chain);
}

#[test]
fn a_chain_is_held_until_it_is_released() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::create(directory.path().join("store"), Algorithm::Sha256).unwrap();
    let chain = Chain::new(vec![layer(1), layer(2)], ObjectForm::Files);
    assert_eq!(store.held_chains().unwrap(), []);
    let id = store.hold_chain(&chain).unwrap();
    let again = Store::open(store.path()).unwrap();
    assert_eq!((again.held_chains().unwrap(), again.held_chain(&id).unwrap()), (vec![id], Some(chain)));
    assert!(store.release_chain(&id).unwrap() && !store.release_chain(&id).unwrap());
    assert_eq!(store.held_chain(&id).unwrap(), None);
}

#[test]
fn gc_removes_nothing_while_it_cannot_read_what_is_held() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::create(directory.path().join("store"), Algorithm::Sha256).unwrap();
    let id = store.hold_chain(&Chain::new(vec![layer(1)], ObjectForm::Files)).unwrap();
    let path = store.path().join("chains").join(format!("{}.json", id.hex()));
    std::fs::write(&path, "{").unwrap();
    assert!(matches!(store.held_chain(&id), Err(Error::RefDamaged(_))));
    let refused = store.gc(&GcOptions::default(), &objects_of_image, &());
    assert!(matches!(refused, Err(Error::RootUnreadable { .. })), "{refused:?}");
}

#[test]
fn gc_keeps_what_a_held_chain_needs_and_no_more() {
    let fixture = super::fixture();
    super::pull(&fixture, "one", &[&["base"], &["one"]]);
    let layers: Vec<DiffId> =
        fixture.image("one").unwrap().unwrap().layers.iter().map(|it| it.diff_id).collect();
    let id = fixture.hold_chain(&Chain::new(layers[..1].to_vec(), ObjectForm::Files)).unwrap();
    fixture.remove_image("one").unwrap();
    super::gc(&fixture);
    assert!(fixture.has_layer(&layers[0], ObjectForm::Files).unwrap());
    assert!(!fixture.layer_path(&layers[1]).exists());
    super::assert_clean(&fixture);
    assert_eq!(fixture.layer_usage(&layers[0], ObjectForm::Files).unwrap().1, 1);
    fixture.release_chain(&id).unwrap();
    super::gc(&fixture);
    assert!(!fixture.layer_path(&layers[0]).exists());
}
