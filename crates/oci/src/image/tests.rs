use std::collections::HashMap;

use sealpack_format::BlobDigest;

use std::io::Read;

use sealpack_format::reference::Reference;

use super::*;
use crate::media_type::{DOCKER_LAYER_GZIP, OCI_CONFIG, OCI_INDEX, OCI_LAYER, OCI_MANIFEST};

/// Documents by their digests, the last one added being the root.
#[derive(Default)]
struct Memory {
    blobs: HashMap<BlobDigest, Vec<u8>>,
    root: Option<Descriptor>,
}

impl Memory {
    fn add(&mut self, media_type: &str, text: String) -> String {
        let descriptor = Descriptor::of(media_type, text.as_bytes());
        self.blobs.insert(descriptor.digest, text.into_bytes());
        let entry = entry(&descriptor);
        self.root = Some(descriptor);
        entry
    }

    fn image(&mut self, architecture: &str) -> String {
        let config = format!(
            r#"{{"os":"linux","architecture":"{architecture}","rootfs":{{"type":"layers","diff_ids":[]}}}}"#
        );
        let config = self.add(OCI_CONFIG, config);
        self.add(OCI_MANIFEST, format!(r#"{{"schemaVersion":2,"config":{config},"layers":[]}}"#))
    }

    fn index(&mut self, entries: &[String]) -> String {
        self.add(OCI_INDEX, format!(r#"{{"schemaVersion":2,"manifests":[{}]}}"#, entries.join(",")))
    }

    fn resolve(&self, platform: &str) -> Result<ResolvedImage> {
        resolve(self, &platform.parse().unwrap())
    }
}

fn entry(descriptor: &Descriptor) -> String {
    let Descriptor { media_type, digest, size_bytes, .. } = descriptor;
    format!(r#"{{"mediaType":"{media_type}","digest":"{digest}","size":{size_bytes}}}"#)
}

/// The entry with more fields.
fn with(entry: &str, fields: &str) -> String {
    format!("{},{fields}}}", entry.strip_suffix('}').unwrap())
}

fn on(entry: &str, os: &str, architecture: &str) -> String {
    with(entry, &format!(r#""platform":{{"os":"{os}","architecture":"{architecture}"}}"#))
}

impl ImageSource for Memory {
    fn description(&self) -> String {
        "memory".to_owned()
    }

    fn root(&self) -> Result<(Descriptor, Vec<u8>)> {
        let root = self.root.clone().unwrap();
        Ok((root.clone(), self.blobs[&root.digest].clone()))
    }

    fn fetch(&self, descriptor: &Descriptor) -> Result<Vec<u8>> {
        Ok(self.blobs[&descriptor.digest].clone())
    }

    fn open(&self, _descriptor: &Descriptor, _offset: u64) -> Result<Box<dyn Read + Send>> {
        unreachable!("layers are not read to resolve an image")
    }

    fn default_name(&self) -> Option<Reference> {
        None
    }
}

#[test]
fn entries_without_a_platform_are_opened_to_see() {
    let mut memory = Memory::default();
    let (arm, amd) = (memory.image("arm64"), memory.image("amd64"));
    memory.index(&[arm, amd]);
    assert_eq!(memory.resolve("linux/amd64").unwrap().platform, Some("linux/amd64".parse().unwrap()));
    let error = memory.resolve("linux/s390x").unwrap_err().to_string();
    assert_eq!(error, "memory has no image for linux/s390x; it has linux/amd64, linux/arm64");
}

#[test]
fn attestations_are_no_images() {
    let mut memory = Memory::default();
    let (amd, other) = (memory.image("amd64"), memory.image("riscv64"));
    let attestation =
        with(&on(&other, "linux", "amd64"), r#""annotations":{"vnd.docker.reference.type":"x"}"#);
    memory.index(&[on(&other, "unknown", "unknown"), attestation.clone(), on(&amd, "linux", "amd64")]);
    assert_eq!(memory.resolve("linux/amd64").unwrap().platform, Some("linux/amd64".parse().unwrap()));
    memory.index(&[on(&other, "unknown", "unknown"), attestation]);
    assert!(memory.resolve("linux/amd64").unwrap_err().to_string().ends_with("it has none at all"));
}

#[test]
fn endless_nesting_ends() {
    let mut memory = Memory::default();
    let mut inner = memory.image("amd64");
    for _ in 0..=NESTING_MAX {
        inner = memory.index(&[inner]);
    }
    assert!(memory.resolve("linux/amd64").unwrap_err().to_string().contains("nested deeper than 4"));
}

#[test]
fn a_matching_entry_of_an_unknown_type_is_named() {
    let mut memory = Memory::default();
    let entry = memory.image("amd64").replace(OCI_MANIFEST, "application/vnd.example");
    memory.index(&[on(&entry, "linux", "amd64")]);
    assert!(memory.resolve("linux/amd64").unwrap_err().to_string().contains("\"application/vnd.example\""));
}

#[test]
fn a_config_without_a_platform_takes_the_indexs_word() {
    let mut memory = Memory::default();
    let image = memory.image("");
    memory.index(&[on(&image, "linux", "amd64")]);
    assert_eq!(memory.resolve("linux/amd64").unwrap().platform, Some("linux/amd64".parse().unwrap()));
}

#[test]
fn layers_come_with_compression_and_diff_id() {
    let mut memory = Memory::default();
    let (one, two) = (Descriptor::of(OCI_LAYER, b"1"), Descriptor::of(DOCKER_LAYER_GZIP, b"2"));
    let diff_ids = format!(r#"["{}","{}"]"#, one.digest, two.digest);
    let config = memory.add(OCI_CONFIG, format!(r#"{{"rootfs":{{"type":"layers","diff_ids":{diff_ids}}}}}"#));
    let layers = format!("[{},{}]", entry(&one), entry(&two));
    memory.add(OCI_MANIFEST, format!(r#"{{"schemaVersion":2,"config":{config},"layers":{layers}}}"#));
    let image = memory.resolve("linux/amd64").unwrap();
    assert_eq!(image.layers[0].compression, Compression::Plain);
    assert_eq!(image.layers[1].compression, Compression::Gzip);
    assert_eq!(image.layers[1].diff_id.to_string(), two.digest.to_string());
    assert_eq!(image.platform, None);
}
