//! Layers of which nobody said what image they are.

use std::collections::HashMap;
use std::io::{self, Read};

use sealpack_format::{BlobDigest, DiffId};
use sealpack_oci::manifest::Descriptor;
use sealpack_oci::media_type::OCI_MANIFEST;
use serde_json::json;

use super::*;

/// A containerd whose namespace `ns` has images of these layers, of no compression.
#[derive(Default)]
struct Has {
    named: Vec<Named>,
    blobs: HashMap<BlobDigest, Vec<u8>>,
}

impl Has {
    fn with(mut self, name: &str, layers: &[&[u8]]) -> Self {
        let digests: Vec<DiffId> =
            layers.iter().map(|layer| blob(layer).digest.to_string().parse().unwrap()).collect();
        let config = self.add(&json!({
            "architecture": "amd64", "os": "linux", "config": { "Labels": { "name": name } },
            "rootfs": { "type": "layers", "diff_ids": digests.iter().map(ToString::to_string).collect::<Vec<_>>() },
        }));
        let descriptor = |media_type: &str, digest: &BlobDigest, size: usize| json!({ "mediaType": media_type, "digest": digest.to_string(), "size": size });
        let layers: Vec<_> = layers
            .iter()
            .map(|layer| descriptor(sealpack_oci::media_type::OCI_LAYER, &blob(layer).digest, layer.len()))
            .collect();
        let size = self.blobs[&config].len();
        let manifest = self.add(&json!({
            "schemaVersion": 2, "mediaType": OCI_MANIFEST, "layers": layers,
            "config": descriptor("application/vnd.oci.image.config.v1+json", &config, size),
        }));
        let size_bytes = self.blobs[&manifest].len() as u64;
        let target = Descriptor::new(OCI_MANIFEST, manifest, size_bytes);
        self.named.push(Named { reference: name.to_owned(), target });
        self
    }

    fn add(&mut self, document: &serde_json::Value) -> BlobDigest {
        let bytes = document.to_string().into_bytes();
        let digest = blob(&bytes).digest;
        self.blobs.insert(digest, bytes);
        digest
    }
}

impl Images for Has {
    fn named(&self, namespace: &str) -> io::Result<Vec<Named>> {
        Ok(if namespace == "ns" { self.named.clone() } else { Vec::new() })
    }

    fn read(&self, _: &str, blob: &BlobDigest) -> io::Result<Box<dyn Read + Send>> {
        let bytes = self.blobs.get(blob).ok_or(io::ErrorKind::NotFound)?;
        Ok(Box::new(io::Cursor::new(bytes.clone())))
    }
}

const GOOD_AND_BAD: &str = "default = \"sealed\"\n\
     [[namespace]]\nprefix = \"docker.io/good/\"\nrequire = \"allow\"\n\
     [[namespace]]\nprefix = \"docker.io/bad/\"\nrequire = \"refuse\"\n";

fn set(machine: &Machine, rules: &str) {
    fs::write(machine.directory.path().join("trust.d/rules.toml"), rules).unwrap();
}

#[test]
fn layers_without_a_name_are_judged_by_what_containerd_calls_exactly_these() {
    let machine = Machine::new();
    let (base, top) = (tar("base", &[1; 5000]), tar("top", &[2; 5000]));
    let opened = std::cell::Cell::new(0);
    let (lower, _) = pulled(&machine, "", &base, &opened);
    let (upper, _) = pulled(&machine, &lower, &top, &opened);
    let mut has = Has::default()
        .with("docker.io/good/base:1", &[&base])
        .with("docker.io/bad/app:1", &[&base, &top])
        .with(&format!("sha256:{}", "ab".repeat(32)), &[&base, &top])
        .with("docker.io/good/damaged:1", &[&base, &top])
        .with("docker.io/good/turned:1", &[&top, &base]);
    // Its config is gone.
    let config = has.blobs.iter().find(|(_, bytes)| String::from_utf8_lossy(bytes).contains("damaged:1"));
    let config = *config.unwrap().0;
    has.blobs.remove(&config);
    let container = |namespace: &str, parent: &str| {
        machine.check_rules(&format!("{namespace}/9/container"), parent, None)
    };
    set(&machine, GOOD_AND_BAD);
    assert!(matches!(container("ns", &lower), Err(Error::Nameless)), "nobody is asked yet");
    machine.ask_of_images(has);
    container("ns", &lower).unwrap();
    let refused = container("ns", &upper).unwrap_err();
    assert!(refused.to_string().contains("docker.io/bad/app:1"), "{refused}");
    set(&machine, &GOOD_AND_BAD.replace("\"sealed\"", "\"allow\""));
    assert!(container("ns", &upper).is_err(), "its digest, under which CRI has it too, is no name");
    set(&machine, GOOD_AND_BAD);
    assert!(matches!(container("other", &lower), Err(Error::Nameless)), "that one has no images");
    // A rule for some images counts, whoever brought them.
    set(&machine, "[[namespace]]\nprefix = \"docker.io/bad/\"\nrequire = \"refuse\"\n");
    container("ns", &lower).unwrap();
    container("other", &upper).unwrap();
    let refused = container("ns", &upper).unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition, "{refused}");
}

#[test]
fn the_lower_layers_of_a_refused_image_are_those_of_another() {
    let machine = Machine::new();
    let base = tar("base", &[1; 5000]);
    let manifest = format!("sha256:{}", "ab".repeat(32));
    let of_app = labels(&[
        ("containerd.io/snapshot/cri.image-ref", "docker.io/bad/app:1"),
        ("containerd.io/snapshot/cri.manifest-digest", &manifest),
    ]);
    let mounts = machine.prepare("ns/1/extract-1 x", "", of_app).unwrap();
    let given = [Given { source: &mounts[0].source, options: &mounts[0].options }];
    let target = machine.target(&given, &blob(&base)).unwrap();
    let applied = machine.apply(&target, &blob(&base), || Ok(base.as_slice())).unwrap();
    let name = format!("ns/2/{}", applied.layer);
    machine.commit(&name, "ns/1/extract-1 x", Labels::new(), "").unwrap();
    set(&machine, GOOD_AND_BAD);
    let refused = machine.check_rules("ns/9/container", &name, None).unwrap_err();
    assert!(refused.to_string().contains("docker.io/bad/app:1"), "{refused}");
    machine.ask_of_images(Has::default().with("docker.io/good/base:1", &[&base]));
    machine.check_rules("ns/9/container", &name, None).unwrap();
}
