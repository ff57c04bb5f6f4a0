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
    /// The images of containers.
    containers: HashMap<String, String>,
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

    /// An image that is there, by another name.
    fn tagged(mut self, image: &str, name: &str) -> Self {
        let target = self.named.iter().find(|named| named.reference == image).unwrap().target.clone();
        self.named.push(Named { reference: name.to_owned(), target });
        self
    }

    fn running(mut self, container: &str, image: &str) -> Self {
        self.containers.insert(container.to_owned(), image.to_owned());
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

    fn of_container(&self, namespace: &str, key: &str) -> io::Result<Option<String>> {
        Ok(self.containers.get(key).filter(|_| namespace == "ns").cloned())
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

/// As CRI pulls the lowest layer of an image. Answers with the snapshot's name.
fn pulled_as(machine: &Machine, image: &str, layer: &[u8]) -> String {
    let manifest = format!("sha256:{}", "ab".repeat(32));
    let says = labels(&[
        ("containerd.io/snapshot/cri.image-ref", image),
        ("containerd.io/snapshot/cri.manifest-digest", &manifest),
    ]);
    let mounts = machine.prepare("ns/1/extract-1 x", "", says).unwrap();
    let given = [Given { source: &mounts[0].source, options: &mounts[0].options }];
    let target = machine.target(&given, &blob(layer)).unwrap();
    let applied = machine.apply(&target, &blob(layer), || Ok(layer)).unwrap();
    let name = format!("ns/2/{}", applied.layer);
    machine.commit(&name, "ns/1/extract-1 x", Labels::new(), "").unwrap();
    name
}

#[test]
fn the_lower_layers_of_a_refused_image_are_those_of_another() {
    let machine = Machine::new();
    let base = tar("base", &[1; 5000]);
    let name = pulled_as(&machine, "docker.io/bad/app:1", &base);
    set(&machine, GOOD_AND_BAD);
    let refused = machine.check_rules("ns/9/container", &name, None).unwrap_err();
    assert!(refused.to_string().contains("docker.io/bad/app:1"), "{refused}");
    machine.ask_of_images(Has::default().with("docker.io/good/base:1", &[&base]));
    machine.check_rules("ns/9/container", &name, None).unwrap();
}

#[test]
fn the_lower_layers_of_an_image_that_anybody_may_use_are_not_those_of_another_that_nobody_may() {
    let machine = Machine::new();
    let base = tar("base", &[1; 5000]);
    set(&machine, GOOD_AND_BAD);
    let name = pulled_as(&machine, "docker.io/good/app:1", &base);
    let asked = |machine: &Machine| machine.check_rules("ns/9/container", &name, None);
    asked(&machine).unwrap();
    machine.ask_of_images(Has::default().with("docker.io/bad/base:1", &[&base]));
    let refused = asked(&machine).unwrap_err();
    assert!(refused.to_string().contains("docker.io/bad/base:1"), "{refused}");
}

#[test]
fn an_image_whose_seal_cannot_be_had_takes_nothing_from_others_with_its_layers() {
    let machine = Machine::new();
    let base = tar("base", &[1; 5000]);
    // Nobody answers there any more.
    let name = pulled_as(&machine, "127.0.0.1:1/gone/app:1", &base);
    set(&machine, "[[namespace]]\nprefix = \"127.0.0.1:1/gone\"\nrequire = \"sealed\"\n");
    let refused = machine.check_rules("ns/9/container", &name, None).unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable, "{refused}");
    machine.ask_of_images(Has::default().with("docker.io/good/base:1", &[&base]));
    machine.check_rules("ns/9/container", &name, None).unwrap();
}

#[test]
fn a_registry_that_takes_its_time_holds_up_no_container_of_a_good_image_with_the_same_layers() {
    let machine = Machine::new();
    let base = tar("base", &[1; 5000]);
    // It accepts connections and says nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    silent.set_nonblocking(true).unwrap();
    let host = silent.local_addr().unwrap().to_string();
    let opened = std::cell::Cell::new(0);
    let (nameless, _) = pulled(&machine, "", &base, &opened);
    let top = tar("top", &[2; 5000]);
    let named = pulled_as(&machine, &format!("{host}/a:1"), &top);
    let has = Has::default()
        .with(&format!("{host}/a:2"), &[&base])
        .with("docker.io/good/base:1", &[&base])
        .with("docker.io/good/top:1", &[&top]);
    machine.ask_of_images(has);
    set(&machine, &format!("[[namespace]]\nprefix = \"{host}\"\nrequire = \"sealed\"\n"));
    machine.check_rules("ns/9/container", &nameless, None).unwrap();
    machine.check_rules("ns/9/container", &named, None).unwrap();
    assert_eq!(silent.accept().unwrap_err().kind(), io::ErrorKind::WouldBlock, "nobody was asked");
}

#[test]
fn a_container_is_not_started_of_an_image_that_has_the_layers_of_another_and_not_its_rights() {
    let machine = Machine::new();
    let (base, top) = (tar("base", &[1; 5000]), tar("top", &[2; 5000]));
    let opened = std::cell::Cell::new(0);
    let (lower, _) = pulled(&machine, "", &base, &opened);
    let rules =
        format!("{GOOD_AND_BAD}[[namespace]]\nprefix = \"127.0.0.1:1/sealed\"\nrequire = \"sealed\"\n");
    set(&machine, &rules.replace("\"sealed\"\n[", "\"allow\"\n["));
    let has = Has::default()
        .with("docker.io/good/base:1", &[&base])
        .with("docker.io/bad/app:1", &[&base])
        .with("127.0.0.1:1/sealed/app:1", &[&base])
        .with("127.0.0.1:1/sealed/moved:1", &[&base, &top])
        .tagged("docker.io/good/base:1", "127.0.0.1:1/sealed/the-same:1")
        .running("a", "docker.io/good/base:1")
        .running("b", "docker.io/bad/app:1")
        .running("c", "127.0.0.1:1/sealed/app:1")
        .running("d", "127.0.0.1:1/sealed/moved:1")
        .running("e", "127.0.0.1:1/sealed/gone:1")
        .running("f", "127.0.0.1:1/sealed/the-same:1");
    machine.ask_of_images(has);
    let mounts = |container: &str| {
        let key = format!("ns/9/{container}");
        // Nobody says what it is for.
        machine.prepare(&key, &lower, Labels::new()).unwrap();
        let mounts = machine.mounts(&key);
        machine.remove(&key).unwrap();
        mounts.map(drop)
    };
    mounts("a").unwrap();
    mounts("of nobody yet").unwrap();
    // It runs the same as the good one.
    mounts("f").unwrap();
    let refused = |container: &str, code: Code, image: &str| {
        let refused = mounts(container).unwrap_err();
        assert_eq!(refused.code(), code, "{refused}");
        assert!(refused.to_string().contains(image), "{refused}");
    };
    refused("b", Code::FailedPrecondition, "docker.io/bad/app:1");
    // Nobody answers there that it has a seal.
    refused("c", Code::Unavailable, "127.0.0.1:1/sealed/app:1");
    refused("d", Code::FailedPrecondition, "127.0.0.1:1/sealed/moved:1");
    refused("e", Code::FailedPrecondition, "127.0.0.1:1/sealed/gone:1");
}

#[test]
fn what_a_pod_has_its_containers_labelled_with_says_nothing_of_images() {
    let machine = Machine::new();
    let (base, top) = (tar("base", &[1; 5000]), tar("top", &[2; 5000]));
    let opened = std::cell::Cell::new(0);
    let (lower, lowest_chain) = pulled(&machine, "", &base, &opened);
    let (_, chain) = pulled(&machine, &lower, &top, &opened);
    let before = machine.list(&Filters::parse(&[]).unwrap()).len();
    for chain in [&lowest_chain, &chain] {
        // CRI has the annotations of pods and containers that begin so as labels of their snapshots.
        let annotations = labels(&[
            ("containerd.io/snapshot.ref", chain),
            ("containerd.io/snapshot/cri.image-ref", "docker.io/good/other:1"),
            ("containerd.io/snapshot/cri.manifest-digest", chain),
        ]);
        let key = format!("ns/9/{}", "ab".repeat(32));
        machine.prepare(&key, &lower, annotations).unwrap();
        assert_eq!(machine.state().get(&key).unwrap().image, None);
        machine.remove(&key).unwrap();
    }
    assert_eq!(machine.list(&Filters::parse(&[]).unwrap()).len(), before);
    // Another client than containerd's own that gets layers.
    let wants = labels(&[("containerd.io/snapshot.ref", &chain)]);
    assert_eq!(code(machine.prepare(&format!("ns/9/tmp-1 {chain}"), &lower, wants)), Code::AlreadyExists);
}
