//! Which image of a store a text means.
#![allow(clippy::unwrap_used, reason = "the whole crate is a test, its helpers included")]

use sealpack_format::digest::{Algorithm, BlobDigest};
use sealpack_node::find::{Digests, FindError, find};
use sealpack_store::{ImageRecord, Store};

fn blob(algorithm: &str, digit: &str) -> BlobDigest {
    let digits = if algorithm == "sha512" { 128 } else { 64 };
    format!("{algorithm}:{}", digit.repeat(digits / digit.len())).parse().unwrap()
}

struct Fixture {
    _directory: tempfile::TempDir,
    store: Store,
}

impl Fixture {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::create(directory.path().join("store"), Algorithm::Sha512).unwrap();
        Self { _directory: directory, store }
    }

    /// Gives a name to an image that is nothing but a record.
    fn add(&self, name: &str, manifest: &str, index: Option<BlobDigest>, metadata_image: &str) {
        let record = serde_json::json!({
            "version": 1, "name": name, "manifest": manifest, "config": blob("sha256", "c"), "index": index,
            "platform": "linux/amd64", "image": metadata_image, "image_size_bytes": 4096, "layers": [],
            "pulled_unix_seconds": 1,
        });
        let record: ImageRecord = serde_json::from_value(record).unwrap();
        self.store.set_image(&record).unwrap();
    }

    fn found(&self, text: &str, digests: Digests) -> Result<String, String> {
        find(&self.store, text, digests).map(|record| record.name).map_err(|error| match error {
            sealpack_node::Error::Find(FindError::SeveralImages(_)) => "several".to_owned(),
            sealpack_node::Error::Find(FindError::Beginning(_)) => "beginning".to_owned(),
            sealpack_node::Error::Find(FindError::Missing { .. }) => "missing".to_owned(),
            sealpack_node::Error::Find(FindError::NoDigest(_)) => "no digest".to_owned(),
            other => other.to_string(),
        })
    }
}

#[test]
fn an_index_of_several_images_names_none_of_them() {
    let fixture = Fixture::new();
    let index = Some(blob("sha256", "1"));
    for (name, digit) in [("x.org/app:amd64", "2"), ("x.org/app:arm64", "3"), ("x.org/other:1", "4")] {
        let metadata_image = digit.repeat(128);
        fixture.add(name, &blob("sha256", digit).to_string(), index, &metadata_image);
    }
    let digest = blob("sha256", "1");
    for text in [format!("x.org/app@{digest}"), digest.to_string(), digest.hex()] {
        assert_eq!(fixture.found(&text, Digests::Whole), Err("several".into()), "{text}");
    }
    assert_eq!(fixture.found(&format!("x.org/other@{digest}"), Digests::Whole), Ok("x.org/other:1".into()));
}

#[test]
fn digests_of_sha_512_are_found_whole_and_by_no_sha_256_digest() {
    let fixture = Fixture::new();
    fixture.add("a", &blob("sha512", "ab").to_string(), None, &"cd".repeat(64));
    for hex in ["ab", "cd"] {
        let (half, whole) = (hex.repeat(32), hex.repeat(64));
        assert_eq!(fixture.found(&whole, Digests::Whole), Ok("a".into()));
        assert_eq!(fixture.found(&half, Digests::Beginnings), Ok("a".into()));
        // As many digits as a whole digest of SHA-256 has.
        assert_eq!(fixture.found(&half, Digests::Whole), Err("beginning".into()));
        assert_eq!(fixture.found(&format!("sha256:{half}"), Digests::Beginnings), Err("missing".into()));
        assert_eq!(fixture.found(&format!("sha512:{whole}"), Digests::Beginnings), Err("no digest".into()));
    }
}

#[test]
fn a_whole_digest_never_means_an_image_that_is_called_so() {
    let fixture = Fixture::new();
    for digit in ["ab", "cd"] {
        fixture.add(&format!("a:{digit}"), &blob("sha256", digit).to_string(), None, &digit.repeat(64));
        let names = [digit.repeat(32), digit.repeat(64)].map(|hex| format!("docker.io/library/{hex}:latest"));
        for name in &names {
            fixture.add(name, &blob("sha256", "e").to_string(), None, &"f".repeat(128));
        }
        for hex in [digit.repeat(32), digit.repeat(64)] {
            assert_eq!(fixture.found(&hex, Digests::Whole), Ok(format!("a:{digit}")));
        }
        for name in names {
            assert_eq!(fixture.found(&name, Digests::Whole), Ok(name));
        }
    }
}
