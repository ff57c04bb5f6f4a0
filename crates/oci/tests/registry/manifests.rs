//! Finding the image: tags, digests, indexes, and documents that are wrong.

use sealpack_oci::image::resolve;
use sealpack_oci::manifest::MANIFEST_MAX_BYTES;
use sealpack_oci::transport::ImageSource as _;
use sealpack_test_registry::{Action, Fault, Image, ImageLayer, Registry, digest_of};

use super::*;

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

fn failure(registry: &Registry, name: &str) -> Error {
    resolve(&source(registry, name), &platform()).unwrap_err()
}

#[test]
fn an_image_is_resolved_by_tag_and_by_digest() {
    let registry = registry_with_image();
    let digest = digest_of(&image().manifest);
    for name in ["app:1".to_owned(), format!("app@{digest}"), format!("app:other@{digest}")] {
        let resolved = resolve(&source(&registry, &name), &platform()).unwrap();
        assert_eq!(resolved.manifest.digest.to_string(), digest);
        assert_eq!(resolved.manifest_bytes, image().manifest);
        assert_eq!(resolved.config_bytes, image().config);
        assert_eq!(resolved.layers.len(), 2);
        assert_eq!(resolved.layers[1].diff_id.to_string(), digest_of(b"second"));
        assert_eq!(resolved.platform, Some(platform()));
    }
}

#[test]
fn an_index_gives_the_wanted_platform_and_its_absence_lists_the_others() {
    let registry = Registry::start();
    let arm = Image::new("linux/arm/v6", vec![ImageLayer::plain(b"arm")]);
    let amd = image();
    registry.put_image("app", "amd", &amd);
    registry.put_image("app", "arm", &arm);
    let index = Image::index(&[("linux/arm/v6", &arm), ("linux/amd64", &amd), ("unknown/unknown", &arm)]);
    registry.put_manifest("app", "1", INDEX, index);
    let resolve = |platform: &str| resolve(&source(&registry, "app:1"), &platform.parse().unwrap());
    assert_eq!(resolve("linux/amd64").unwrap().manifest_bytes, amd.manifest);
    assert_eq!(resolve("linux/arm/v7").unwrap().manifest_bytes, arm.manifest);
    let error = resolve("linux/s390x").unwrap_err();
    assert!(
        error.to_string().contains("no image for linux/s390x; it has linux/amd64, linux/arm/v6"),
        "{error}"
    );
    let Error::NoPlatform { available, .. } = error else { panic!("{error:?}") };
    assert_eq!(available[0].to_string(), "linux/amd64");
}

#[test]
fn a_missing_tag_is_named_with_the_registrys_words() {
    let error = failure(&registry_with_image(), "app:2");
    let text = error.to_string();
    assert!(text.contains("/v2/app/manifests/2 does not exist: NAME_UNKNOWN (not known"), "{text}");
}

#[test]
fn a_manifest_with_another_digest_than_asked_for_is_refused() {
    let registry = registry_with_image();
    registry.fault(Fault::new("/manifests/", Action::WrongByte));
    let error = failure(&registry, &format!("app@{}", digest_of(&image().manifest)));
    assert!(matches!(error, Error::DigestMismatch { .. }) && error.is_verification(), "{error}");
}

#[test]
fn the_digest_in_the_header_is_compared_but_not_believed() {
    let registry = registry_with_image();
    let claim = |digest: &str| {
        registry.clear_faults();
        let header = Action::ExtraHeader("Docker-Content-Digest".to_owned(), digest.to_owned());
        registry.fault(Fault::new("/manifests/", header));
        resolve(&source(&registry, "app:1"), &platform())
    };
    claim(&digest_of(&image().manifest)).unwrap();
    assert!(matches!(claim(&digest_of(b"other")), Err(Error::DigestMismatch { .. })));
    // A digest of another kind is computed, not ignored; the image's own stays the SHA-256.
    assert!(claim(&format!("sha512:{}", "0".repeat(128))).unwrap_err().is_verification());
}

#[test]
fn a_config_of_other_bytes_or_length_is_refused() {
    let config = format!("blobs/{}", digest_of(&image().config));
    for (action, expected) in [
        (Action::WrongByte, "has the digest"),
        (Action::LongBody(1), "but its descriptor says"),
        (Action::ShortBody(5), "has 5 bytes, but its descriptor says"),
        (Action::LongChunkedBody(1), "is longer than the"),
        (Action::EndlessBody, "is longer than the"),
    ] {
        let registry = registry_with_image();
        registry.fault(Fault::new(&config, action.clone()));
        let error = failure(&registry, "app:1");
        assert!(error.is_verification() && error.to_string().contains(expected), "{action:?}: {error}");
        assert_eq!(registry.count(&config), 1, "{action:?}");
    }
}

#[test]
fn a_manifest_without_end_is_cut_at_the_limit() {
    let registry = registry_with_image();
    registry.fault(Fault::new("/manifests/", Action::EndlessBody));
    let error = failure(&registry, "app:1");
    assert!(matches!(error, Error::TooLarge { limit_bytes: MANIFEST_MAX_BYTES, .. }), "{error}");
}

#[test]
fn a_manifest_that_breaks_off_is_fetched_again() {
    for action in
        [Action::CutAfter(20), Action::CutChunkedBody(20), Action::StallAfter(20, Duration::from_secs(3))]
    {
        let registry = registry_with_image();
        registry.fault(Fault::new("/manifests/", action).times(1));
        resolve(&source(&registry, "app:1"), &platform()).unwrap();
        assert_eq!(registry.count("/manifests/"), 2);
    }
}

#[test]
fn a_truncated_manifest_is_an_error_of_its_json() {
    let registry = registry_with_image();
    registry.fault(Fault::new("/manifests/", Action::ShortBody(20)));
    assert!(matches!(failure(&registry, "app:1"), Error::Malformed { .. }));
}

#[test]
fn the_content_type_may_be_vague_but_not_wrong() {
    let registry = registry_with_image();
    let typed = |media_type: &str| {
        registry.clear_faults();
        registry.fault(Fault::new("/manifests/", Action::ContentType(media_type.to_owned())));
        resolve(&source(&registry, "app:1"), &platform())
    };
    typed("application/octet-stream").unwrap();
    typed(&format!("{MANIFEST}; charset=utf-8")).unwrap();
    assert!(typed(INDEX).unwrap_err().to_string().contains("announced as an index"));
}

#[test]
fn what_is_no_image_is_named() {
    let registry = Registry::start();
    let put = |from: &str, to: &str| {
        let text = String::from_utf8(image().manifest).unwrap().replace(from, to);
        registry.put_image("app", "1", &image());
        registry.put_manifest("app", "1", MANIFEST, text);
        failure(&registry, "app:1").to_string()
    };
    let layer = "application/vnd.oci.image.layer.v1.tar+gzip";
    let text = put(layer, "application/vnd.example.layer");
    assert!(text.contains("layer 2 of") && text.contains("\"application/vnd.example.layer\""), "{text}");
    let text = put("application/vnd.oci.image.config.v1+json", "application/vnd.oci.empty.v1+json");
    assert!(text.contains("an artifact, not a container image"), "{text}");
    let schema1 = r#"{"schemaVersion":1,"name":"app","tag":"1","fsLayers":[],"history":[]}"#;
    registry.put_manifest("app", "1", "application/vnd.docker.distribution.manifest.v1+prettyjws", schema1);
    let error = failure(&registry, "app:1");
    assert!(error.to_string().contains("Docker schema 1") && matches!(error, Error::Schema1 { .. }));
}

#[test]
fn as_many_diff_ids_as_layers_are_demanded() {
    let registry = Registry::start();
    let mut image = image();
    image.layers.pop();
    let manifest: serde_json::Value = serde_json::from_slice(&image.manifest).unwrap();
    let mut manifest = manifest;
    manifest["layers"].as_array_mut().unwrap().pop();
    image.manifest = manifest.to_string().into_bytes();
    registry.put_image("app", "1", &image);
    let error = failure(&registry, "app:1");
    assert!(error.to_string().contains("2 diff_ids for 1 layers"), "{error}");
}

#[test]
fn an_image_for_another_platform_is_refused_with_its_name() {
    let registry = Registry::start();
    registry.put_image("app", "1", &Image::new("linux/arm64", vec![]));
    let error = failure(&registry, "app:1");
    let Error::WrongPlatform { actual, .. } = &error else { panic!("{error:?}") };
    assert_eq!(actual.to_string(), "linux/arm64");
    // An index that labels it falsely does not help.
    let image = Image::new("linux/arm64", vec![]);
    registry.put_manifest("app", "1", INDEX, Image::index(&[("linux/amd64", &image)]));
    assert!(matches!(failure(&registry, "app:1"), Error::WrongPlatform { .. }));
}

#[test]
fn docker_schema_2_is_as_good() {
    let registry = Registry::start();
    let text = String::from_utf8(image().manifest).unwrap();
    let text = text
        .replace(MANIFEST, "application/vnd.docker.distribution.manifest.v2+json")
        .replace("application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json")
        .replace(
            "application/vnd.oci.image.layer.v1.tar+gzip",
            "application/vnd.docker.image.rootfs.diff.tar.gzip",
        );
    registry.put_image("app", "oci", &image());
    registry.put_manifest("app", "1", "application/vnd.docker.distribution.manifest.v2+json", text);
    assert_eq!(resolve(&source(&registry, "app:1"), &platform()).unwrap().layers.len(), 2);
}

#[test]
fn the_canonical_reference_is_the_default_name() {
    let registry = Registry::start();
    let source = source(&registry, "app");
    assert_eq!(source.default_name().unwrap().to_string(), format!("{}/app:latest", registry.host()));
    assert_eq!(registry.requests().len(), 0);
}
