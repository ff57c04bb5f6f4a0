//! A layer's blob that comes from no source, as a snapshotter has it.

use std::io::{self, Read};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use sealpack_format::Algorithm;
use sealpack_oci::budget::{Budget, Limits};
use sealpack_oci::hash::blob_digest;
use sealpack_oci::ingest::{Expected, IngestError, Ingested, ScanError, Watch, ingest};
use sealpack_store::{ObjectForm, Staging};

use super::memory::compressed;
use super::*;

fn expected(blob: &[u8]) -> Expected {
    Expected {
        digest: blob_digest(Algorithm::Sha256, blob),
        size_bytes: blob.len() as u64,
        diff_id_algorithm: Algorithm::Sha256,
    }
}

fn ingest_all<'a>(
    staging: &'a Staging<'a>,
    form: ObjectForm,
    blob: &[u8],
    expected: &Expected,
    budget: &'a Budget,
) -> Result<Ingested<'a>, IngestError> {
    ingest(blob, staging, form, expected, budget, &Watch::NOBODY)
}

#[test]
fn a_blob_becomes_a_layer_by_what_it_unpacks_to_without_a_source() {
    let tar = &two_layers()[0];
    for form in [ObjectForm::Files, ObjectForm::Packs] {
        for compression in [Compression::Plain, Compression::Gzip, Compression::Zstd] {
            let store = fixture(Algorithm::Sha256);
            let blob = compressed(tar, compression);
            let (staging, budget) = (store.stage().unwrap(), Budget::new(Limits::default()));
            let ingested = ingest_all(&staging, form, &blob, &expected(&blob), &budget).unwrap();
            assert_eq!(ingested.diff_id, diff_id_of(tar));
            assert_eq!(ingested.size_bytes, tar.len() as u64);
            assert_eq!(ingested.pack.is_some(), form == ObjectForm::Packs);
            let diff_id = ingested.diff_id;
            assert!(!store.has_layer(&diff_id, form).unwrap(), "it is not named before it is finished");
            ingested.finish().unwrap();
            staging.commit().unwrap();
            assert!(store.has_layer(&diff_id, form).unwrap());
        }
    }
}

#[test]
fn a_blob_other_than_the_expected_one_is_refused_before_what_is_in_it() {
    let store = fixture(Algorithm::Sha256);
    let (staging, budget) = (store.stage().unwrap(), Budget::new(Limits::default()));
    let blob = compressed(&two_layers()[0], Compression::Gzip);
    let refused = |blob: &[u8], expected: &Expected| {
        ingest_all(&staging, ObjectForm::Files, blob, expected, &budget).unwrap_err()
    };
    let longer = Expected { size_bytes: blob.len() as u64 + 1, ..expected(&blob) };
    assert!(matches!(refused(&blob, &longer), IngestError::Size { .. }));
    // Neither a tar nor the blob that is expected: the digest is what counts.
    let garbage = vec![b'x'; blob.len()];
    assert!(matches!(refused(&garbage, &expected(&blob)), IngestError::Digest { .. }));
    assert!(matches!(refused(&garbage, &expected(&garbage)), IngestError::Layer(ScanError::Tar(_))));
    let mut corrupt = blob.clone();
    corrupt[blob.len() / 2] ^= 0xff;
    assert!(matches!(refused(&corrupt, &expected(&corrupt)), IngestError::Corrupt(_)));
    assert!(files(&store, "layers").is_empty());
}

#[test]
fn whoever_looks_on_hears_of_each_byte_and_may_end_it() {
    let store = fixture(Algorithm::Sha256);
    let (staging, budget) = (store.stage().unwrap(), Budget::new(Limits::default()));
    let blob = compressed(&two_layers()[0], Compression::Plain);
    let (stop, heard) = (AtomicBool::new(false), AtomicU64::new(0));
    let advanced = |bytes| _ = heard.fetch_add(bytes, Ordering::Relaxed);
    let watch = Watch { stop: &stop, advanced: &advanced };
    ingest(blob.as_slice(), &staging, ObjectForm::Files, &expected(&blob), &budget, &watch).unwrap();
    assert_eq!(heard.load(Ordering::Relaxed), blob.len() as u64);
    stop.store(true, Ordering::Relaxed);
    let error =
        ingest(blob.as_slice(), &staging, ObjectForm::Files, &expected(&blob), &budget, &watch).unwrap_err();
    assert!(matches!(error, IngestError::Layer(ScanError::Stopped)), "{error}");
}

#[test]
fn a_reader_that_breaks_is_told_as_it_is() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("the cable is out"))
        }
    }
    let store = fixture(Algorithm::Sha256);
    let (staging, budget) = (store.stage().unwrap(), Budget::new(Limits::default()));
    let blob = compressed(&two_layers()[0], Compression::Plain);
    let reader = blob[..1000].chain(Broken);
    let error =
        ingest(reader, &staging, ObjectForm::Packs, &expected(&blob), &budget, &Watch::NOBODY).unwrap_err();
    assert!(matches!(error, IngestError::Read(_)) && error.to_string() == "the cable is out", "{error}");
}
