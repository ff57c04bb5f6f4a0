//! Images, lists and answers as tools and servers really write them.

use std::fs;

use sealpack_oci::referrers::fallback_tag;
use sealpack_oci::transport::ImageSource as _;
use sealpack_test_registry::{Action, Auth, Fault, Image, ImageLayer, Registry, digest_of};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::referrers::{NOTE, entry, note, put, subject};
use super::*;

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";

/// What becomes of the image after a change of its manifest, announced as `media_type`.
fn changed(media_type: &str, change: impl FnOnce(&mut Value)) -> Result<ResolvedImage> {
    let registry = registry_with_image();
    let mut manifest: Value = serde_json::from_slice(&image().manifest).unwrap();
    change(&mut manifest);
    registry.put_manifest("app", "1", media_type, manifest.to_string());
    resolve(&source(&registry, "app:1"), &platform())
}

/// Registries, proxies and tools put types of formats in the place of the config's: contents decide then.
#[test]
fn a_config_is_known_by_its_contents_where_its_type_says_nothing() {
    for media_type in [
        json!("application/octet-stream"),
        json!("text/html"),
        json!("application/json"),
        json!("text/plain; charset=utf-8"),
        json!(""),
        Value::Null,
    ] {
        for manifest_type in [MANIFEST, DOCKER_MANIFEST] {
            let resolved = changed(manifest_type, |it| {
                it["mediaType"] = manifest_type.into();
                it["config"]["mediaType"] = media_type.clone();
            });
            assert_eq!(resolved.unwrap().layers.len(), 2, "{media_type}");
        }
    }
    let without = changed(DOCKER_MANIFEST, |it| {
        it["mediaType"] = DOCKER_MANIFEST.into();
        it["config"].as_object_mut().unwrap().remove("mediaType");
    });
    assert_eq!(without.unwrap().layers.len(), 2);
}

#[test]
fn what_is_no_image_by_its_contents_is_called_an_artifact() {
    let registry = registry_with_image();
    for config in ["{}", r#"{"name":"chart","version":"1"}"#, "[]", "<html>", r#"{"rootfs":null}"#, ""] {
        let digest = registry.put_blob(config);
        for media_type in ["application/octet-stream", "text/html", ""] {
            let mut manifest: Value = serde_json::from_slice(&image().manifest).unwrap();
            manifest["config"] = json!({"mediaType": media_type, "digest": digest, "size": config.len()});
            registry.put_manifest("app", "1", MANIFEST, manifest.to_string());
            let error = resolve(&source(&registry, "app:1"), &platform()).unwrap_err().to_string();
            assert!(error.contains("an artifact, not a container image"), "{config}: {error}");
        }
    }
    let error =
        changed(MANIFEST, |it| it["config"]["mediaType"] = "application/vnd.cncf.helm.config.v1+json".into());
    assert!(error.unwrap_err().to_string().contains("an artifact, not a container image"));
}

#[test]
fn layers_of_types_that_leave_their_contents_open_are_taken() {
    for media_type in [
        json!("application/octet-stream"),
        json!("application/x-gzip"),
        json!("application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"),
        json!("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"),
        json!("application/vnd.docker.container.image.rootfs.diff+x-gtar"),
        json!("application/vnd.oci.image.layer.v1.tar+xz"),
        json!(""),
        Value::Null,
    ] {
        let resolved = changed(MANIFEST, |it| it["layers"][1]["mediaType"] = media_type.clone());
        assert_eq!(resolved.unwrap().layers.len(), 2, "{media_type}");
    }
    for media_type in
        ["application/vnd.oci.image.layer.v1.tar+gzip+encrypted", "application/vnd.in-toto+json"]
    {
        let error = changed(MANIFEST, |it| it["layers"][1]["mediaType"] = media_type.into()).unwrap_err();
        assert!(
            error.to_string().contains("layer 2 of") && error.to_string().contains(media_type),
            "{error}"
        );
    }
}

/// Go writes null for a slice or a map that was never made.
#[test]
fn nulls_in_a_manifest_are_what_is_not_there() {
    let resolved = changed(MANIFEST, |it| {
        it["mediaType"] = "".into();
        it["annotations"] = Value::Null;
        it["subject"] = Value::Null;
        it["artifactType"] = Value::Null;
        it["manifests"] = Value::Null;
        it["config"]["annotations"] = json!({"a": null});
        it["config"]["platform"] = json!({"os": "", "architecture": null});
        it["layers"][0]["annotations"] = Value::Null;
    });
    assert_eq!(resolved.unwrap().layers.len(), 2);
    let resolved = changed(MANIFEST, |it| {
        it["subject"] = json!({"mediaType": "", "digest": "", "size": 0});
        it["annotations"] = json!({"org.example.note": null, "org.example.other": "x"});
    });
    assert_eq!(resolved.unwrap().layers.len(), 2);
    // An image without a layer.
    let registry = Registry::start();
    let empty = Image::new("linux/amd64", vec![]);
    let mut config: Value = serde_json::from_slice(&empty.config).unwrap();
    config["rootfs"]["diff_ids"] = Value::Null;
    let config = config.to_string();
    let manifest = json!({"schemaVersion": 2, "layers": null, "config": {
        "mediaType": "application/vnd.oci.image.config.v1+json", "digest": registry.put_blob(config.as_str()),
        "size": config.len()}});
    registry.put_manifest("app", "1", MANIFEST, manifest.to_string());
    assert_eq!(resolve(&source(&registry, "app:1"), &platform()).unwrap().layers.len(), 0);
}

#[test]
fn an_index_whose_list_is_null_is_an_empty_one() {
    let registry = Registry::start();
    for index in [
        json!({"schemaVersion": 2, "manifests": null}),
        json!({"schemaVersion": 2, "manifests": null, "config": null, "layers": null, "mediaType": INDEX}),
        json!({"schemaVersion": 2, "mediaType": INDEX}),
    ] {
        registry.put_manifest("app", "1", INDEX, index.to_string());
        let error = resolve(&source(&registry, "app:1"), &platform()).unwrap_err().to_string();
        assert!(error.ends_with("has no image for linux/amd64; it has none at all"), "{index}: {error}");
    }
}

/// A sealed pull failed although the fallback tag had the seal.
#[test]
fn referrers_that_are_null_are_none_and_the_fallback_tag_is_asked() {
    let registry = registry_with_image();
    let artifact = put(&registry, &note("a", "2026"));
    let answer = |body: Value| {
        registry.clear_faults();
        let fault = Fault::answer("/referrers/", 200, ("Content-Type", INDEX), &body.to_string());
        registry.fault(fault);
        source(&registry, "app:1").referrers(&subject(), Some(NOTE)).unwrap()
    };
    let tag = fallback_tag(&subject().digest);
    for list in [Value::Null, json!([])] {
        registry.put_manifest("app", &tag, INDEX, json!({"schemaVersion": 2, "manifests": list}).to_string());
        for manifests in [Value::Null, json!([])] {
            let body =
                json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests, "annotations": null});
            assert!(answer(body).is_empty());
        }
    }
    assert!(answer(json!({"schemaVersion": 2, "mediaType": INDEX})).is_empty());
    let mut listed = entry(&artifact);
    listed["annotations"] = json!({"org.opencontainers.image.created": null});
    listed["platform"] = Value::Null;
    let list = json!({"schemaVersion": 2, "mediaType": "", "manifests": [listed]});
    registry.put_manifest("app", &tag, INDEX, list.to_string());
    let found = answer(json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": null}));
    assert_eq!(found.iter().map(|found| found.digest).collect::<Vec<_>>(), [artifact.digest]);
    // An entry that does not say that it is a manifest.
    listed["mediaType"] = "".into();
    let found = answer(json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [listed]}));
    assert_eq!(found.len(), 1);
}

/// An index said arm/v6 and the config only arm: "is an image for linux/arm/v7".
#[test]
fn what_a_config_leaves_out_does_not_contradict_its_index() {
    let registry = Registry::start();
    let put = |entry_platform: Value, config: Value| {
        let mut image = Image::new("linux/arm", vec![ImageLayer::plain(b"arm")]);
        let mut whole: Value = serde_json::from_slice(&image.config).unwrap();
        for key in ["os", "architecture", "variant"] {
            whole.as_object_mut().unwrap().remove(key);
        }
        whole.as_object_mut().unwrap().extend(config.as_object().unwrap().clone());
        image.config = whole.to_string().into_bytes();
        let mut manifest: Value = serde_json::from_slice(&image.manifest).unwrap();
        manifest["config"]["digest"] = digest_of(&image.config).into();
        manifest["config"]["size"] = image.config.len().into();
        image.manifest = manifest.to_string().into_bytes();
        registry.put_image("app", "platform", &image);
        let entry = json!({"mediaType": "", "digest": digest_of(&image.manifest), "size": image.manifest.len(),
            "platform": entry_platform});
        let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [entry]});
        registry.put_manifest("app", "1", INDEX, index.to_string());
    };
    let resolved = |wanted: &str| {
        let image = resolve(&source(&registry, "app:1"), &wanted.parse().unwrap());
        image.map(|image| image.platform.map(|platform| platform.to_string()))
    };
    let v6 = json!({"os": "linux", "architecture": "arm", "variant": "v6"});
    for config in [
        json!({"os": "linux", "architecture": "arm"}),
        json!({"os": "linux", "architecture": "arm", "variant": ""}),
        json!({"os": "linux"}),
        json!({"architecture": "arm", "variant": null}),
        json!({"os": "", "architecture": "", "os.version": null, "os.features": null}),
        json!({"os": "linux", "architecture": "arm", "variant": "v6"}),
    ] {
        put(v6.clone(), config.clone());
        assert_eq!(resolved("linux/arm/v6").unwrap().as_deref(), Some("linux/arm/v6"), "{config}");
        assert_eq!(resolved("linux/arm/v7").unwrap().as_deref(), Some("linux/arm/v6"), "{config}");
        assert!(resolved("linux/arm/v5").is_err() && resolved("linux/arm64").is_err(), "{config}");
    }
    // What is said does contradict.
    put(v6.clone(), json!({"architecture": "arm64"}));
    assert!(matches!(resolved("linux/arm/v6"), Err(Error::WrongPlatform { .. })));
    put(v6, json!({"os": "windows"}));
    assert!(matches!(resolved("linux/arm/v6"), Err(Error::WrongPlatform { .. })));
    // An index that leaves it open, too.
    for entry in
        [Value::Null, json!({}), json!({"os": "linux"}), json!({"os": "linux", "architecture": "arm"})]
    {
        put(entry.clone(), json!({"os": "linux", "architecture": "arm", "variant": "v6"}));
        assert_eq!(resolved("linux/arm/v6").unwrap().as_deref(), Some("linux/arm/v6"), "{entry}");
        put(entry, json!({"os": "linux", "architecture": "arm"}));
        assert!(resolved("linux/arm/v6").is_ok());
    }
}

#[test]
fn a_manifest_that_arrives_in_gzip_is_read_and_any_other_coding_is_named() {
    for action in [Action::Coded, Action::CodedChunks] {
        for coding in ["gzip", "GZIP", "x-gzip", "identity, gzip"] {
            let registry = registry_with_image();
            registry.fault(Fault::new("/v2/app/", action(coding.to_owned())));
            assert_eq!(read_layer(&source(&registry, "app:1"), 0).unwrap(), noise(), "{coding}");
            // The rest of a blob, where no part of it can be asked for.
            assert_eq!(read_layer(&source(&registry, "app:1"), 7000).unwrap(), noise()[7000..], "{coding}");
        }
        for coding in ["br", "zstd", "gzip, gzip"] {
            let registry = registry_with_image();
            registry.fault(Fault::new("/manifests/", action(coding.to_owned())));
            let error = resolve(&source(&registry, "app:1"), &platform()).unwrap_err().to_string();
            assert!(error.contains(&format!("Content-Encoding {coding:?}")), "{error}");
            registry.clear_faults();
            registry.fault(Fault::new(&layer_path(), action(coding.to_owned())));
            let error = read_layer(&source(&registry, "app:1"), 0).unwrap_err().to_string();
            assert!(error.contains(&format!("Content-Encoding {coding:?}")), "{error}");
        }
    }
    // Object stores say it of files that are gzip themselves; some servers of anything.
    for part in ["/v2/app/manifests", "/v2/app/blobs"] {
        let registry = registry_with_image();
        registry
            .fault(Fault::new(part, Action::ExtraHeader("Content-Encoding".to_owned(), "gzip".to_owned())));
        let source = source(&registry, "app:1");
        let image = resolve(&source, &platform()).unwrap();
        let mut reader = source.open(&image.layers[1].descriptor, 0).unwrap();
        let mut bytes = Vec::new();
        reader.read_to_end(&mut bytes).unwrap();
        assert_eq!(bytes, super::image().layers[1].blob);
    }
}

#[test]
fn redirects_lead_where_the_rfc_has_them_lead() {
    let registry = registry_with_image();
    let digest = digest_of(&noise());
    for location in [
        format!("../blobs/{digest}?a=/../b"),
        format!("../../x/../app/./blobs/{digest}"),
        format!("/v2/./app/manifests/../blobs/{digest}#part"),
        format!("//{}/v2/x/../app/blobs/{digest}", registry.host()),
        format!("{}/../v2/app/blobs/{digest}?name=a b|\"c\"<d>ä", registry.url()),
    ] {
        registry.clear_faults();
        registry.fault(Fault::new(&layer_path(), Action::Redirect(307, location.clone())).times(1));
        assert_eq!(read_layer(&source(&registry, "app:1"), 0).unwrap(), noise(), "{location}");
    }
    for request in registry.requests() {
        let path = request.target.split('?').next().unwrap_or_default();
        assert!(!path.split('/').any(|part| part == "." || part == ".."), "{}", request.target);
    }
}

#[test]
fn a_bearer_challenge_is_found_behind_others() {
    for others in [
        "Negotiate YII/a+b==, ",
        "Negotiate YII=\r\nWWW-Authenticate: NTLM\r\nWWW-Authenticate: ",
        "Basic realm=\"a \\\"b\\\", c\", ",
        "Bearer, ",
    ] {
        let registry = registry_with_image();
        let tokens = registry_with_image();
        tokens.set_auth(Auth::anonymous_token());
        let url = tokens.url();
        registry.set_auth(Auth::Challenge(format!(
            "{others}BEARER Realm = \"{url}/token\" , Service=\"test, registry\",scope=\"repository:app:pull\""
        )));
        // The token is no good here, but it was asked for.
        source(&registry, "app:1").root().unwrap_err();
        assert!(tokens.count("/token") > 0, "{others}");
    }
}

#[test]
fn a_token_answer_with_nulls_is_read() {
    let registry = registry_with_image();
    registry.set_auth(Auth::anonymous_token());
    let body = r#"{"token":null,"access_token":"t","expires_in":null,"issued_at":null,"refresh_token":null}"#;
    registry.fault(Fault::answer("/token", 200, ("Content-Type", "application/json"), body));
    source(&registry, "app:1").root().unwrap_err();
    let used =
        registry.requests().into_iter().filter(|it| it.header("authorization") == Some("Bearer t")).count();
    assert!(used > 0);
}

#[test]
fn an_error_with_nulls_still_says_what_it_says() {
    let registry = registry_with_image();
    for (body, words) in [
        (r#"{"errors":null,"details":"go away"}"#, "go away"),
        (r#"{"errors":[null,{"code":null,"message":"not now","detail":null}]}"#, "not now"),
        (r#"{"errors":[{"code":"NO","message":null}]}"#, "NO"),
    ] {
        registry.clear_faults();
        registry.fault(Fault::answer("/manifests/", 400, ("Content-Type", "application/json"), body));
        let error = resolve(&source(&registry, "app:1"), &platform()).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
}

/// `--ca` with these certificates.
fn trusting(pem: &str) -> (TempDir, ClientOptions) {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("ca.pem");
    fs::write(&path, pem).unwrap();
    (directory, ClientOptions { ca_files: vec![path], ..options() })
}

/// `openssl req -x509` makes certificates that may sign others.
#[test]
fn a_self_signed_certificate_is_trusted_when_it_is_named_whether_or_not_it_may_sign_others() {
    for may_sign in [true, false] {
        let registry = Registry::start_self_signed(&["127.0.0.1"], may_sign);
        registry.put_image("app", "1", &image());
        let (_directory, options) = trusting(&registry.ca_pem());
        let source = source_with(&registry, "app:1", &options, &nowhere());
        assert_eq!(read_layer(&source, 0).unwrap(), noise());
        // Another one that calls itself the same is as strange as before.
        let other = Registry::start_self_signed(&["127.0.0.1"], may_sign);
        let error = registry_error(source_with(&other, "app:1", &options, &nowhere()).root().unwrap_err());
        assert!(matches!(error, RegistryError::Tls { plain: false, wrong_name: false, .. }), "{error}");
    }
}

#[test]
fn a_certificate_for_another_name_is_refused_as_that() {
    for may_sign in [true, false] {
        let registry = Registry::start_self_signed(&["registry.test", "10.0.0.1"], may_sign);
        let (_directory, options) = trusting(&registry.ca_pem());
        let error = registry_error(source_with(&registry, "app:1", &options, &nowhere()).root().unwrap_err());
        assert!(matches!(error, RegistryError::Tls { plain: false, wrong_name: true, .. }), "{error}");
        assert!(error.to_string().contains("not valid for name"), "{error}");
    }
}
