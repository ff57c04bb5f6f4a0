//! Layouts and archives as skopeo writes them. Skipped, saying so, where skopeo is not installed.
#![allow(clippy::unwrap_used, reason = "the whole crate is a test, its helpers included")]
#![allow(clippy::print_stderr, reason = "a skipped test says why")]

use std::fs;
use std::io::Read as _;
use std::path::Path;
use std::process::Command;

use sealpack_oci::environment::Environment;
use sealpack_oci::hash::BlobHasher;
use sealpack_oci::image::{ResolvedImage, resolve};
use sealpack_oci::registry::ClientOptions;
use sealpack_oci::source::Source;
use sealpack_oci::transport::ImageSource;
use sealpack_test_registry::{Image, ImageLayer, digest_of};
use serde_json::json;
use tempfile::TempDir;

/// A layout `layout` with one image, named `1.0`.
fn layout(directory: &Path) -> Image {
    let noise: Vec<u8> =
        (0..2_000_000_u32).map(|number| number.wrapping_mul(2_654_435_761).to_be_bytes()[1]).collect();
    let image = Image::new("linux/amd64", vec![ImageLayer::gzip(&noise), ImageLayer::gzip(b"top")]);
    let blobs = directory.join("layout/blobs/sha256");
    fs::create_dir_all(&blobs).unwrap();
    let contents =
        [&image.manifest, &image.config].into_iter().chain(image.layers.iter().map(|layer| &layer.blob));
    for bytes in contents {
        fs::write(blobs.join(digest_of(bytes).trim_start_matches("sha256:")), bytes).unwrap();
    }
    let entry = json!({"mediaType": image.manifest_type, "digest": digest_of(&image.manifest),
        "size": image.manifest.len(), "annotations": {"org.opencontainers.image.ref.name": "1.0"}});
    let index = json!({"schemaVersion": 2, "manifests": [entry]});
    fs::write(directory.join("layout/index.json"), index.to_string()).unwrap();
    fs::write(directory.join("layout/oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    image
}

/// Whether skopeo copied; `None` where there is none.
fn skopeo(directory: &Path, from: &str, to: &str) -> Option<()> {
    let copied = Command::new("skopeo")
        .args(["--insecure-policy", "--tmpdir", "."])
        .args(["copy", "--quiet", from, to])
        .current_dir(directory)
        .output();
    let Ok(output) = copied else {
        eprintln!("skipped: skopeo is not installed");
        return None;
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(())
}

/// Opens, resolves, and reads every layer, each checked against its digest.
fn read_all(text: &str) -> (ResolvedImage, Box<dyn ImageSource>) {
    let source: Source = text.parse().unwrap();
    let source = source.open(&ClientOptions::default(), &Environment::empty("/nonexistent")).unwrap();
    let image = resolve(&*source, &"linux/amd64".parse().unwrap()).unwrap();
    for layer in &image.layers {
        let mut bytes = Vec::new();
        source.open(&layer.descriptor, 0).unwrap().read_to_end(&mut bytes).unwrap();
        let mut hasher = BlobHasher::new(layer.descriptor.digest.algorithm());
        hasher.update(&bytes);
        assert_eq!(hasher.finish_blob(), layer.descriptor.digest);
    }
    (image, source)
}

#[test]
fn an_oci_archive_of_skopeo_is_the_same_image() {
    let directory = TempDir::new().unwrap();
    let original = layout(directory.path());
    let Some(()) = skopeo(directory.path(), "oci:layout:1.0", "oci-archive:app.tar:2.0") else { return };
    let (image, source) =
        read_all(&format!("oci-archive:{}:2.0", directory.path().join("app.tar").display()));
    assert_eq!(image.manifest.digest.to_string(), digest_of(&original.manifest));
    assert_eq!(source.default_name().unwrap().to_string(), "localhost/app:2.0");
}

#[test]
fn a_docker_archive_of_skopeo_has_the_same_config_and_bare_layers() {
    let directory = TempDir::new().unwrap();
    let original = layout(directory.path());
    let Some(()) = skopeo(directory.path(), "oci:layout:1.0", "docker-archive:app.tar:quay.io/x/app:3")
    else {
        return;
    };
    let path = directory.path().join("app.tar");
    for choice in ["", ":quay.io/x/app:3", ":@0"] {
        let (image, source) = read_all(&format!("docker-archive:{}{choice}", path.display()));
        let tars: Vec<String> = original.layers.iter().map(|layer| digest_of(&layer.tar)).collect();
        let layers: Vec<String> =
            image.layers.iter().map(|layer| layer.descriptor.digest.to_string()).collect();
        assert_eq!(layers, tars);
        assert_eq!(source.default_name().unwrap().to_string(), "quay.io/x/app:3");
    }
}

#[test]
fn a_layout_that_skopeo_writes_is_read() {
    let directory = TempDir::new().unwrap();
    let original = layout(directory.path());
    let Some(()) = skopeo(directory.path(), "oci:layout:1.0", "oci:copy:quay.io/x/app:4") else { return };
    let (image, source) = read_all(&format!("oci:{}", directory.path().join("copy").display()));
    assert_eq!(image.manifest.digest.to_string(), digest_of(&original.manifest));
    assert_eq!(source.default_name().unwrap().to_string(), "quay.io/x/app:4");
}
