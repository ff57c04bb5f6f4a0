use super::*;
use crate::media_type::{DOCKER_LIST, OCI_CONFIG, OCI_INDEX, OCI_LAYER_GZIP, OCI_MANIFEST};

const HEX: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

fn descriptor(media_type: &str) -> String {
    format!(r#"{{"mediaType":"{media_type}","digest":"sha256:{HEX}","size":7,"urls":["x"],"data":"YQ=="}}"#)
}

fn manifest() -> String {
    let (config, layer) = (descriptor(OCI_CONFIG), descriptor(OCI_LAYER_GZIP));
    format!(
        r#"{{"schemaVersion":2,"mediaType":"{OCI_MANIFEST}","config":{config},"layers":[{layer}],"x":1}}"#
    )
}

fn problem(media_type: Option<&str>, text: &str) -> String {
    Document::parse("the manifest", media_type, text.as_bytes()).unwrap_err().to_string()
}

#[test]
fn a_manifest_is_read_with_and_without_announcement() {
    for announced in [None, Some(OCI_MANIFEST), Some("application/json"), Some("text/plain; charset=utf-8")] {
        let Document::Manifest(manifest) = Document::parse("m", announced, manifest().as_bytes()).unwrap()
        else {
            panic!("not a manifest");
        };
        assert_eq!(manifest.config.kind(), MediaKind::Config);
        assert_eq!(manifest.layers[0].size_bytes, 7);
        assert_eq!(manifest.layers[0].digest.hex(), HEX);
    }
}

#[test]
fn an_index_is_read_with_its_platforms() {
    let text = format!(
        r#"{{"schemaVersion":2,"mediaType":"{DOCKER_LIST}","annotations":null,"manifests":[
            {{"mediaType":"{OCI_MANIFEST}","digest":"sha256:{HEX}","size":7,
              "platform":{{"os":"linux","architecture":"arm64","variant":"v8","os.version":"1"}}}}]}}"#
    );
    let Document::Index(index) = Document::parse("i", None, text.as_bytes()).unwrap() else {
        panic!("not an index");
    };
    assert_eq!(index.manifests[0].platform, Some("linux/arm64".parse().unwrap()));
}

#[test]
fn a_document_of_two_meanings_is_refused() {
    let (config, entry) = (descriptor(OCI_CONFIG), descriptor(OCI_MANIFEST));
    let both = format!(r#"{{"schemaVersion":2,"config":{config},"layers":[],"manifests":[{entry}]}}"#);
    assert!(problem(None, &both).contains("an index and a manifest at once"));
    assert!(problem(Some(OCI_INDEX), &manifest()).contains("announced as an index"));
    let index = format!(r#"{{"schemaVersion":2,"mediaType":"{OCI_MANIFEST}","manifests":[]}}"#);
    assert!(problem(None, &index).contains("calls itself a manifest"));
    let twice = manifest().replacen("\"schemaVersion\":2", "\"schemaVersion\":2,\"layers\":[]", 1);
    assert!(problem(None, &twice).contains("duplicate field `layers`"));
}

#[test]
fn schema_1_is_refused_by_name() {
    let text = r#"{"schemaVersion":1,"name":"a","fsLayers":[{"blobSum":"x"}],"history":[]}"#;
    assert!(problem(None, text).contains("Docker schema 1"));
    let signed = "application/vnd.docker.distribution.manifest.v1+prettyjws";
    assert!(problem(Some(signed), "{").contains("Docker schema 1"));
}

#[test]
fn unknown_media_types_are_named() {
    let text = manifest().replace(OCI_MANIFEST, "application/vnd.example.thing");
    assert!(problem(None, &text).contains("\"application/vnd.example.thing\""));
}

#[test]
fn malformed_documents_say_where() {
    assert!(problem(None, "").contains("EOF"));
    assert!(problem(None, &manifest()[..40]).contains("line 1"));
    assert!(problem(None, "[]").starts_with("the manifest is not valid"));
    assert!(problem(None, r#"{"schemaVersion":2}"#).contains("neither manifests nor config"));
    assert!(problem(None, &manifest().replace(":2,", ":3,")).contains("schemaVersion is not 2"));
    assert!(problem(None, &manifest().replace("sha256:", "sha384:")).contains("not sha256 or sha512"));
    assert!(problem(None, &manifest().replace(":7", ":-7")).contains("-7"));
    let config_only = format!(r#"{{"schemaVersion":2,"config":{}}}"#, descriptor(OCI_CONFIG));
    assert!(problem(None, &config_only).contains("lacks its config or its layers"));
    let deep = format!(r#"{{"annotations":{}"#, "[".repeat(10_000));
    assert!(problem(None, &deep).starts_with("the manifest is not valid"));
}

#[test]
fn more_layers_than_anyone_builds_are_refused() {
    let layers = vec![descriptor(OCI_LAYER_GZIP); LAYERS_MAX + 1].join(",");
    let config = descriptor(OCI_CONFIG);
    let text = format!(r#"{{"schemaVersion":2,"config":{config},"layers":[{layers}]}}"#);
    assert!(problem(None, &text).contains("501 layers, more than the limit of 500"));
}

#[test]
fn a_config_gives_diff_ids_and_platform() {
    let text = format!(
        r#"{{"os":"linux","architecture":"arm","variant":"v6","config":{{"Cmd":null}},
            "rootfs":{{"type":"layers","diff_ids":["sha256:{HEX}"]}}}}"#
    );
    let config = Config::parse("c", text.as_bytes()).unwrap();
    assert_eq!(config.platform, "linux/arm/v6".parse().unwrap());
    assert_eq!(config.diff_ids[0].hex(), HEX);
    let nameless = text.replace("\"linux\"", "\"\"");
    assert_eq!(Config::parse("c", nameless.as_bytes()).unwrap().platform.platform(), None);
    let problem = |text: &str| Config::parse("c", text.as_bytes()).unwrap_err().to_string();
    assert!(problem("{}").contains("no rootfs"));
    assert!(problem(&text.replace("\"layers\"", "\"tree\"")).contains("the type \"tree\""));
}

#[test]
fn verify_tells_wrong_sizes_from_wrong_bytes() {
    let descriptor = Descriptor::of(OCI_CONFIG, b"abc");
    descriptor.verify("x", b"abc").unwrap();
    let short = descriptor.verify("x", b"ab").unwrap_err();
    assert!(matches!(short, Error::SizeMismatch { expected_bytes: 3, actual_bytes: 2, .. }));
    let wrong = descriptor.verify("x", b"abd").unwrap_err();
    assert!(matches!(wrong, Error::DigestMismatch { .. }));
    assert!(short.is_verification() && wrong.is_verification());
}

#[test]
fn large_documents_are_refused_before_they_are_read() {
    let mut descriptor = Descriptor::of(OCI_MANIFEST, b"abc");
    descriptor.size_bytes = MANIFEST_MAX_BYTES + 1;
    assert!(matches!(descriptor.check_fits_memory("x"), Err(Error::TooLarge { .. })));
    descriptor.media_type = OCI_CONFIG.to_owned();
    descriptor.check_fits_memory("x").unwrap();
}
