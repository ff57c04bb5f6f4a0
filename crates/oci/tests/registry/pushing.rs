//! Manifests into a registry, and referrers where it keeps no list of them.

use sealpack_oci::artifact;
use sealpack_oci::manifest::Descriptor;
use sealpack_oci::media_type::{OCI_INDEX, OCI_MANIFEST};
use sealpack_oci::referrers::fallback_tag;
use sealpack_oci::transport::ImageSource as _;
use sealpack_oci::transport::{ImageTarget as _, Naming, Pushed};
use sealpack_test_registry::{Action, Fault, Registry};
use serde_json::{Value, json};

use super::referrers::{NOTE, entry, note, put_list, subject};
use super::uploads::target;
use super::*;

fn push(registry: &Registry, text: &str) -> Result<Pushed> {
    note(text, "2026").push(&target(registry, "app:1"), Naming::Digest)
}

fn listed(registry: &Registry) -> Vec<Descriptor> {
    source(registry, "app:1").referrers(&subject(), Some(NOTE)).unwrap()
}

fn tag() -> String {
    fallback_tag(&subject().digest)
}

fn list(registry: &Registry) -> Value {
    serde_json::from_slice(&registry.manifest("app", &tag()).unwrap()).unwrap()
}

fn without_api() -> Registry {
    let registry = registry_with_image();
    registry.set_referrers_api(false);
    registry
}

#[test]
fn a_referrer_that_the_registry_files_needs_no_tag() {
    let registry = registry_with_image();
    assert_eq!(push(&registry, "a").unwrap(), Pushed::default());
    assert_eq!(listed(&registry), [note("a", "2026").descriptor()]);
    assert_eq!(registry.count(&tag()), 0);
    let limits =
        artifact::Limits { artifacts: 9, layers: 1, config_bytes: 9, layer_bytes: 9, all_bytes: 9999 };
    let found = artifact::find(&source(&registry, "app:1"), &subject(), NOTE, &limits).unwrap();
    assert_eq!(found.artifacts[0].1, note("a", "2026"));
}

#[test]
fn a_registry_without_the_api_gets_a_list_under_the_fallback_tag() {
    let registry = without_api();
    let pushed = Pushed { fallback_tag: Some(tag()) };
    assert_eq!(push(&registry, "a").unwrap(), pushed);
    assert_eq!(push(&registry, "b").unwrap(), pushed);
    assert_eq!(listed(&registry), [note("a", "2026").descriptor(), note("b", "2026").descriptor()]);
    let before = registry.requests().len();
    assert_eq!(push(&registry, "b").unwrap(), pushed);
    // What is listed already is not written again.
    let again = registry.requests().split_off(before);
    assert!(again.iter().all(|request| request.method != "PUT" || !request.target.ends_with(&tag())));
    assert_eq!(list(&registry)["manifests"].as_array().unwrap().len(), 2);
}

#[test]
fn a_registry_that_does_not_say_that_it_filed_a_referrer_gets_the_tag_too() {
    let registry = registry_with_image();
    registry.set_oci_subject(false);
    assert_eq!(push(&registry, "a").unwrap().fallback_tag, Some(tag()));
    assert_eq!(listed(&registry), [note("a", "2026").descriptor()]);
}

#[test]
fn what_others_wrote_into_the_list_stays_as_it_is() {
    let registry = without_api();
    let mut other = entry(&note("other", "2026").descriptor());
    other["urls"] = json!(["https://registry.example/x"]);
    other["data"] = json!("e30=");
    let blob = note("other", "2026");
    registry.put_blob(blob.config.bytes.clone());
    registry.put_blob(blob.layers[0].bytes.clone());
    registry.put_manifest("app", "other", OCI_MANIFEST, blob.manifest());
    put_list(&registry, std::slice::from_ref(&other));
    push(&registry, "a").unwrap();
    assert_eq!(list(&registry)["manifests"], json!([other, entry(&note("a", "2026").descriptor())]));
}

#[test]
fn an_entry_that_another_writer_overwrote_is_written_again() {
    let registry = without_api();
    // The write is answered, and gone: as if somebody had put an older list in its place.
    registry.fault(Fault::new(&tag(), Action::Discard).method("PUT").times(2));
    push(&registry, "a").unwrap();
    assert_eq!(listed(&registry), [note("a", "2026").descriptor()]);
    assert_eq!(list(&registry)["manifests"].as_array().unwrap().len(), 1);
}

#[test]
fn a_list_that_somebody_else_keeps_writing_is_given_up() {
    let registry = without_api();
    registry.fault(Fault::new(&tag(), Action::Discard).method("PUT"));
    let error = registry_error(push(&registry, "a").unwrap_err());
    let text = error.to_string();
    assert!(text.contains(&format!("app:{}, the list of referrers lacked", tag())), "{text}");
    assert!(text.ends_with("again after each of 5 attempts to add it"), "{text}");
    assert!(matches!(error, RegistryError::Raced { attempts: 5, .. }), "{error:?}");
}

#[test]
fn a_fallback_tag_with_something_else_is_not_overwritten() {
    let registry = without_api();
    registry.put_image("app", &tag(), &image());
    let error = push(&registry, "a").unwrap_err().to_string();
    assert!(error.ends_with("it is an image manifest, not an index of referrers"), "{error}");
    assert_eq!(registry.manifest("app", &tag()).unwrap(), image().manifest);

    let registry = without_api();
    let many = |number: u32| entry(&Descriptor::of(OCI_MANIFEST, &number.to_le_bytes()));
    put_list(&registry, &(0..1000).map(many).collect::<Vec<_>>());
    let error = push(&registry, "a").unwrap_err().to_string();
    assert!(error.ends_with("the list of referrers has more than 999 entries"), "{error}");

    let registry = without_api();
    put_list(&registry, &[]);
    registry.fault(Fault::new(&tag(), Action::EndlessBody).method("GET"));
    let error = push(&registry, "a").unwrap_err().to_string();
    assert!(error.ends_with("is larger than the limit of 4194304 bytes"), "{error}");
}

#[test]
fn a_registry_that_files_under_another_subject_is_not_believed() {
    let registry = registry_with_image();
    let header = Action::ExtraHeader("OCI-Subject".to_owned(), "sha256:beef".to_owned());
    registry.fault(Fault::new("/manifests/", header).method("PUT"));
    let error = push(&registry, "a").unwrap_err().to_string();
    assert!(error.contains("under the subject \"sha256:beef\", not sha256:"), "{error}");
}

#[test]
fn a_registry_that_stores_other_bytes_is_not_believed() {
    let registry = registry_with_image();
    let digest = format!("sha256:{}", "0".repeat(64));
    let header = Action::ExtraHeader("Docker-Content-Digest".to_owned(), digest.clone());
    registry.fault(Fault::new("/manifests/", header).method("PUT"));
    let error = push(&registry, "a").unwrap_err().to_string();
    assert!(error.contains(&format!("it stored {digest} in place of sha256:")), "{error}");
}

#[test]
fn manifests_are_put_by_tag_or_digest_and_never_as_another_one() {
    let registry = Registry::start();
    let image = Image::new("linux/amd64", vec![]);
    registry.put_blob(image.config.clone());
    let manifest = Descriptor::of(OCI_MANIFEST, &image.manifest);
    let put = |name: &str, naming| target(&registry, name).put_manifest(&manifest, &image.manifest, naming);
    put("app:1", Naming::Digest).unwrap();
    assert_eq!(registry.manifest("app", &manifest.digest.to_string()).unwrap(), image.manifest);
    assert_eq!(registry.manifest("app", "1"), None);
    put("app:1", Naming::Target).unwrap();
    assert_eq!(registry.manifest("app", "1").unwrap(), image.manifest);
    put(&format!("by-digest@{}", manifest.digest), Naming::Target).unwrap();
    let error = put(&format!("app:2@{}", subject().digest), Naming::Target).unwrap_err();
    assert!(matches!(error, Error::DigestMismatch { .. }), "{error}");
    assert!(error.to_string().starts_with("what is to become 127.0.0.1:"), "{error}");
    assert_eq!(registry.manifest("app", "2"), None);

    let target = target(&registry, "app:3");
    let error = target.put_manifest(&manifest, b"{}", Naming::Target).unwrap_err();
    assert!(error.is_verification(), "{error}");
    let index = Descriptor::new(OCI_INDEX, manifest.digest, manifest.size_bytes);
    let error = target.put_manifest(&index, &image.manifest, Naming::Target).unwrap_err().to_string();
    assert!(error.contains("announced as an index"), "{error}");
    let huge = Descriptor::new(OCI_MANIFEST, manifest.digest, 100_000_000);
    let error = target.put_manifest(&huge, &image.manifest, Naming::Target).unwrap_err().to_string();
    assert!(error.contains("larger than the limit"), "{error}");
}

#[test]
fn a_manifest_is_put_again_when_that_may_help() {
    for fault in [
        Fault::new("/manifests/", Action::HangUp),
        Fault::status("/manifests/", 500),
        Fault::answer("/manifests/", 429, ("Retry-After", "0"), ""),
    ] {
        let registry = registry_with_image();
        registry.fault(fault.method("PUT").times(2));
        push(&registry, "a").unwrap();
        assert_eq!(listed(&registry).len(), 1);
    }
    let registry = registry_with_image();
    registry.fault(
        Fault::answer("/manifests/", 413, ("X", "y"), r#"{"errors":[{"code":"SIZE"}]}"#).method("PUT"),
    );
    let error = registry_error(push(&registry, "a").unwrap_err());
    assert!(matches!(error, RegistryError::Status { status: 413, .. }), "{error}");
    assert!(error.to_string().ends_with("answered 413: SIZE"), "{error}");
}

#[test]
fn a_target_asks_no_mirror() {
    let (mirror, registry) = (Registry::start(), registry_with_image());
    let mut options = options();
    let mirrors = vec![format!("http://{}", mirror.host()).parse().unwrap()];
    options.mirrors.insert(registry.host(), mirrors);
    let reference = format!("{}/app:1", registry.host()).parse().unwrap();
    let target = sealpack_oci::registry::RegistryTarget::new(reference, None, &options, &nowhere());
    note("a", "2026").push(&target, Naming::Digest).unwrap();
    assert!(mirror.requests().is_empty());
}
