//! What whoever pulls has to say before an image gets its name.

use std::sync::Mutex;

use sealpack_format::digest::{DiffId, RootHash};
use sealpack_oci::pull::{Objection, Rebuilt, Word};
use sealpack_store::{Accepted, AcceptedEpoch, ImageRecord, KeptSeal};

use super::*;

/// What a check can say.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct No(String);

/// What a check was asked about.
type Seen = (ImageRecord, RootHash, Vec<(DiffId, RootHash)>);

fn pull_with(
    store: &Store,
    source: &Memory,
    form: ObjectForm,
    answer: Result<Accepted, &str>,
) -> (Result<Pulled, PullError>, Seen) {
    let seen = Mutex::new(None);
    let check = |rebuilt: &Rebuilt<'_>| {
        let packs = rebuilt.packs.iter().map(|pack| (pack.layer, pack.pack.root_hash)).collect();
        assert!(
            seen.lock()
                .unwrap()
                .replace((rebuilt.record.clone(), rebuilt.root_hash().unwrap(), packs))
                .is_none()
        );
        answer.clone().map_err(|why| Objection::new(No(why.to_owned())))
    };
    let name = "localhost/image:1".parse().unwrap();
    let request = Request { word: Word::Of(&check), ..Request::unjudged(&name, Some(form)) };
    let pulled = pull(store, source, &source.image, &request, &());
    (pulled, seen.into_inner().unwrap().unwrap())
}

#[test]
fn a_check_sees_the_root_hashes_that_the_layers_give_before_anything_has_a_name() {
    // fsck holds a seal's file against the statement that it is named for.
    let seal = br#"{"statement":"all of it"}"#;
    for form in [ObjectForm::Packs, ObjectForm::Files] {
        let (store, source) = (fixture(Algorithm::Sha256), Memory::new(&two_layers(), Compression::Gzip));
        let accepted = Accepted {
            seal: Some(KeptSeal::new(b"all of it", seal.to_vec())),
            epochs: vec![AcceptedEpoch {
                name: "localhost/image:1".into(),
                epoch: 3,
                created_unix_seconds: 3,
                given: false,
            }],
            ..Accepted::default()
        };
        let (pulled, (record, root_hash, packs)) = pull_with(&store, &source, form, Ok(accepted));
        let pulled = pulled.unwrap();
        assert_eq!(pulled.record.manifest, record.manifest);
        assert_eq!(root_hash, store.metadata_image_root_hash(&record.metadata_image).unwrap());
        let expected: Vec<_> = match form {
            ObjectForm::Files => Vec::new(),
            ObjectForm::Packs => {
                let packs = store.image_packs(&record).unwrap();
                packs.iter().map(|pack| (pack.layer, pack.pack.root_hash)).collect()
            }
        };
        assert_eq!(packs, expected);
        assert_eq!(store.read_seal(&pulled.record).unwrap().as_deref(), Some(&seal[..]));
        assert_eq!(store.epoch("localhost/image:1").unwrap().unwrap().epoch, 3);
        assert!(
            store.fsck(&FsckOptions::default(), &objects_of_image, &|_| Vec::new(), &()).unwrap().is_clean()
        );
    }
}

#[test]
fn what_a_check_refuses_leaves_the_store_as_it_was() {
    let (first, both) =
        (Memory::new(&two_layers()[..1], Compression::Gzip), Memory::new(&two_layers(), Compression::Gzip));
    let refuse = |store: &Store, source: &Memory| {
        let everything = || {
            let directories =
                ["packs/sha256", "layers/sha256", "refs", "images", "tmp", "blobs/sha256", "seals", "epochs"];
            directories.map(|directory| files(store, directory))
        };
        let before = everything();
        let error = pull_with(store, source, ObjectForm::Packs, Err("not this one")).0.unwrap_err();
        assert_eq!(error.to_string(), "not this one");
        let PullError::Refused(objection) = &error else { panic!("{error:?}") };
        assert!(objection.reason().downcast_ref::<No>().is_some_and(|No(why)| why == "not this one"));
        assert!(error.is_verification());
        assert!(everything() == before);
    };
    let store = fixture(Algorithm::Sha256);
    refuse(&store, &first);
    pull_as(&store, &first, ObjectForm::Packs);
    refuse(&store, &both);
    refuse(&store, &first);
    // Layers that are there as files have no packs afterwards.
    let store = fixture(Algorithm::Sha256);
    pull_as(&store, &first, ObjectForm::Files);
    refuse(&store, &first);
    refuse(&store, &both);
}
