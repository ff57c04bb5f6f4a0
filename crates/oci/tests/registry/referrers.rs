//! Lists of referrers, and what registries and others can put into them.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use sealpack_oci::artifact::{self, Artifact, Artifacts, CREATED, Limits, Part};
use sealpack_oci::manifest::Descriptor;
use sealpack_oci::media_type::{OCI_INDEX, OCI_MANIFEST};
use sealpack_oci::referrers::fallback_tag;
use sealpack_oci::transport::ImageSource as _;
use sealpack_test_registry::{Action, Fault, Registry};
use serde_json::{Value, json};

use super::*;

pub(crate) const NOTE: &str = "application/vnd.example.note.v1";

const LIMITS: Limits =
    Limits { artifacts: 32, layers: 2, config_bytes: 1024, layer_bytes: 1024, all_bytes: 1024 * 1024 };

pub(crate) fn subject() -> Descriptor {
    static SUBJECT: LazyLock<Descriptor> = LazyLock::new(|| Descriptor::of(OCI_MANIFEST, &image().manifest));
    SUBJECT.clone()
}

/// A note about the image, made at a time of `created`.
pub(crate) fn note(text: &str, created: &str) -> Artifact {
    Artifact {
        artifact_type: NOTE.to_owned(),
        subject: Some(subject()),
        config: Part::empty(),
        layers: vec![Part::new("text/plain", text)],
        annotations: BTreeMap::from([(CREATED.to_owned(), created.to_owned())]),
    }
}

/// Keeps an artifact in `app`.
pub(crate) fn put(registry: &Registry, artifact: &Artifact) -> Descriptor {
    registry.put_blob(artifact.config.bytes.clone());
    for layer in &artifact.layers {
        registry.put_blob(layer.bytes.clone());
    }
    let descriptor = artifact.descriptor();
    registry.put_manifest("app", &descriptor.digest.hex()[..8], OCI_MANIFEST, artifact.manifest());
    descriptor
}

pub(crate) fn entry(descriptor: &Descriptor) -> Value {
    json!({"mediaType": descriptor.media_type, "digest": descriptor.digest.to_string(),
        "size": descriptor.size_bytes, "artifactType": descriptor.artifact_type,
        "annotations": descriptor.annotations})
}

pub(crate) fn put_list(registry: &Registry, entries: &[Value]) {
    let index = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries});
    registry.put_manifest("app", &fallback_tag(&subject().digest), OCI_INDEX, index.to_string());
}

fn list(registry: &Registry, artifact_type: Option<&str>) -> Result<Vec<Descriptor>> {
    source(registry, "app:1").referrers(&subject(), artifact_type)
}

fn find(registry: &Registry) -> Result<Artifacts> {
    artifact::find(&source(registry, "app:1"), &subject(), NOTE, &LIMITS)
}

/// The one thing that was left out, and why.
fn left_out(found: &Artifacts) -> &str {
    assert_eq!((found.artifacts.len(), found.left_out.len()), (0, 1), "{found:?}");
    &found.left_out[0].problem
}

#[test]
fn referrers_come_by_the_api_with_types_and_annotations() {
    let registry = registry_with_image();
    let first = put(&registry, &note("a", "2026-01-01T00:00:00Z"));
    let mut other = note("b", "2026-01-02T00:00:00Z");
    other.artifact_type = "application/vnd.example.other".to_owned();
    let second = put(&registry, &other);
    let digests = |found: Vec<Descriptor>| {
        let mut digests: Vec<_> = found.iter().map(|entry| entry.digest).collect();
        digests.sort();
        digests
    };
    let mut both = vec![first.digest, second.digest];
    both.sort();
    assert_eq!(digests(list(&registry, None).unwrap()), both);
    assert_eq!(list(&registry, Some(NOTE)).unwrap(), std::slice::from_ref(&first));
    assert_eq!(registry.count("/manifests/sha256-"), 0);
    // The registry need not filter; then it is done here.
    registry.set_filters(false);
    assert_eq!(list(&registry, Some(NOTE)).unwrap(), [first]);
}

#[test]
fn an_image_without_referrers_has_none_whether_there_is_an_api_or_not() {
    let registry = registry_with_image();
    assert_eq!(list(&registry, Some(NOTE)).unwrap(), []);
    registry.set_referrers_api(false);
    assert_eq!(list(&registry, Some(NOTE)).unwrap(), []);
}

/// Seals and composefs digests are of two types, and asking for both was four requests.
#[test]
fn a_registry_without_the_api_is_asked_once_whatever_types_are_wanted() {
    let registry = registry_with_image();
    registry.set_referrers_api(false);
    let first = put(&registry, &note("a", "2026"));
    put_list(&registry, &[entry(&first)]);
    let source = source(&registry, "app:1");
    let listed = |artifact_type| source.referrers(&subject(), Some(artifact_type)).unwrap();
    assert_eq!(listed("application/vnd.example.other"), []);
    assert_eq!(listed(NOTE).len(), 1);
    assert_eq!((registry.count("/referrers/"), registry.count("/manifests/sha256-")), (1, 1));
}

/// A filter that a registry does not like says nothing about another one.
#[test]
fn a_question_that_is_refused_is_no_word_about_the_next() {
    for fault in [
        Fault::status("vnd.example.other", 400),
        Fault::answer("vnd.example.other", 200, ("Content-Type", "text/html"), "<html>"),
    ] {
        let registry = registry_with_image();
        let first = put(&registry, &note("a", "2026"));
        registry.fault(fault);
        let source = source(&registry, "app:1");
        assert_eq!(source.referrers(&subject(), Some("application/vnd.example.other")).unwrap(), []);
        assert_eq!(source.referrers(&subject(), Some(NOTE)).unwrap(), [first]);
    }
}

#[test]
fn pages_are_followed_to_the_last() {
    let registry = registry_with_image();
    registry.set_page_size(2);
    let mut put: Vec<_> = (0..5).map(|number| put(&registry, &note(&number.to_string(), "2026"))).collect();
    put.sort_by_key(|descriptor| descriptor.digest);
    assert_eq!(list(&registry, Some(NOTE)).unwrap(), put);
    assert_eq!(registry.count("/referrers/"), 3);
}

#[test]
fn pages_that_lead_to_another_host_are_refused() {
    let registry = registry_with_image();
    let link = "<http://registry.example/v2/app/referrers/x>; rel=\"next\"";
    let header = Action::ExtraHeader("Link".to_owned(), link.to_owned());
    registry.fault(Fault::new("/referrers/", header));
    let error = list(&registry, None).unwrap_err().to_string();
    assert!(
        error.contains("its next page is said to be at another place, http://registry.example"),
        "{error}"
    );
}

#[test]
fn pages_without_end_are_given_up_at_the_limit() {
    let registry = registry_with_image();
    let header = Action::ExtraHeader("Link".to_owned(), "<?start=0>; rel=next".to_owned());
    registry.fault(Fault::new("/referrers/", header));
    let error = list(&registry, None).unwrap_err().to_string();
    assert!(error.ends_with("has more than 32 pages of referrers"), "{error}");
    assert_eq!(registry.count("/referrers/"), 32);
}

#[test]
fn ten_thousand_referrers_are_more_than_anybody_needs() {
    let registry = registry_with_image();
    let subject_digest = subject().digest.to_string();
    for number in 0..10_000_u32 {
        let mut descriptor = Descriptor::of(OCI_MANIFEST, &number.to_le_bytes());
        descriptor.artifact_type = Some(NOTE.to_owned());
        registry.pretend_referrer(&subject_digest, entry(&descriptor));
    }
    // The registry needs its time for so many.
    let mut options = options();
    options.timeouts.stall = Duration::from_secs(60);
    options.timeouts.response = Duration::from_secs(60);
    let source = source_with(&registry, "app:1", &options, &nowhere());
    let error = source.referrers(&subject(), Some(NOTE)).unwrap_err().to_string();
    let expected = format!("{} in {}/app has more than 1000 referrers", subject().digest, registry.host());
    assert_eq!(error, expected);
}

#[test]
fn a_registry_without_the_api_has_the_list_under_the_fallback_tag() {
    // 404 by the specification; the others occur.
    for status in [404, 400, 405, 406, 501] {
        let registry = registry_with_image();
        registry.fault(Fault::status("/referrers/", status));
        let descriptor = put(&registry, &note("a", "2026"));
        put_list(&registry, &[entry(&descriptor)]);
        assert_eq!(list(&registry, Some(NOTE)).unwrap(), [descriptor], "{status}");
    }
    // A page for people from a proxy is no list either.
    let registry = registry_with_image();
    registry.fault(Fault::answer("/referrers/", 200, ("Content-Type", "text/html"), "<html>Welcome"));
    let descriptor = put(&registry, &note("a", "2026"));
    put_list(&registry, &[entry(&descriptor)]);
    assert_eq!(list(&registry, Some(NOTE)).unwrap(), [descriptor]);
}

#[test]
fn a_list_that_the_registrys_api_did_not_take_over_still_counts() {
    let registry = registry_with_image();
    let descriptor = put(&registry, &note("a", "2026"));
    put_list(&registry, &[entry(&descriptor)]);
    registry.fault(Fault::answer(
        "/referrers/",
        200,
        ("Content-Type", OCI_INDEX),
        r#"{"schemaVersion":2,"manifests":[]}"#,
    ));
    assert_eq!(list(&registry, Some(NOTE)).unwrap(), [descriptor]);
}

#[test]
fn a_registry_that_fails_is_no_registry_without_the_api() {
    let registry = registry_with_image();
    registry.fault(Fault::status("/referrers/", 503));
    let error = registry_error(list(&registry, None).unwrap_err());
    assert!(matches!(error, RegistryError::Status { status: 503, attempts: 4, .. }), "{error}");
    registry.clear_faults();
    registry.fault(Fault::status("/referrers/", 403));
    assert!(matches!(registry_error(list(&registry, None).unwrap_err()), RegistryError::Unauthorized { .. }));
    assert_eq!(registry.count("/manifests/sha256-"), 0);
}

#[test]
fn a_list_that_breaks_off_or_is_refused_for_a_moment_is_asked_for_again() {
    for action in [Action::CutAfter(20), Action::HangUp, Action::StallAfter(20, Duration::from_secs(3))] {
        let registry = registry_with_image();
        let descriptor = put(&registry, &note("a", "2026"));
        registry.fault(Fault::new("/referrers/", action).times(1));
        registry.fault(Fault::answer("/referrers/", 429, ("Retry-After", "0"), "").times(1));
        assert_eq!(list(&registry, Some(NOTE)).unwrap(), [descriptor]);
    }
}

#[test]
fn lists_that_are_none_or_too_large_are_refused() {
    for (action, expected) in [
        (Action::EndlessBody, "larger than the limit of 4194304 bytes"),
        (Action::LongBody(5_000_000), "larger than the limit of 4194304 bytes"),
        (Action::ShortBody(30), "is not valid: EOF"),
    ] {
        let registry = registry_with_image();
        let descriptor = put(&registry, &note("a", "2026"));
        put_list(&registry, &[entry(&descriptor)]);
        registry.fault(Fault::new("/referrers/", action.clone()));
        let error = list(&registry, None).unwrap_err().to_string();
        assert!(error.contains("the list of referrers at http") && error.contains(expected), "{error}");
        registry.set_referrers_api(false);
        registry.clear_faults();
        registry.fault(Fault::new("/manifests/sha256-", action));
        let error = list(&registry, None).unwrap_err().to_string();
        assert!(error.contains("the list of referrers") && error.contains(expected), "{error}");
    }
}

#[test]
fn a_fallback_tag_that_names_an_image_is_no_list() {
    let registry = registry_with_image();
    registry.set_referrers_api(false);
    registry.put_image("app", &fallback_tag(&subject().digest), &image());
    let error = list(&registry, None).unwrap_err().to_string();
    assert!(
        error.contains(&format!(":{}, the list of referrers", fallback_tag(&subject().digest))),
        "{error}"
    );
    assert!(error.ends_with("it is an image manifest, not an index of referrers"), "{error}");
}

#[test]
fn artifacts_arrive_whole_and_the_newest_first() {
    let registry = registry_with_image();
    let (old, new) = (note("old", "2026-01-01T00:00:00Z"), note("new", "2026-02-01T00:00:00Z"));
    for artifact in [&old, &new] {
        put(&registry, artifact);
    }
    let found = find(&registry).unwrap();
    assert_eq!(found.artifacts, [(new.descriptor().digest, new), (old.descriptor().digest, old)]);
    assert_eq!(found.left_out, []);
}

#[test]
fn of_too_many_artifacts_the_oldest_are_left_out() {
    let registry = registry_with_image();
    for number in 10..50 {
        put(&registry, &note("a", &format!("20{number}-01-01T00:00:00Z")));
    }
    let found = find(&registry).unwrap();
    assert_eq!((found.artifacts.len(), found.left_out.len()), (32, 8));
    assert!(found.artifacts.iter().all(|(_, artifact)| artifact.annotations[CREATED].as_str() > "2018"));
    let problem = &found.left_out[0].problem;
    assert!(problem.ends_with("was not fetched: there are 32 before it"), "{problem}");
}

/// Each within its limits, they could still fill the memory together.
#[test]
fn of_artifacts_with_too_many_bytes_in_all_the_oldest_are_left_out() {
    let registry = registry_with_image();
    for year in 2010..2020 {
        put(&registry, &note(&format!("{year}").repeat(250), &format!("{year}-01-01T00:00:00Z")));
    }
    let limits = Limits { all_bytes: 8000, ..LIMITS };
    let found = artifact::find(&source(&registry, "app:1"), &subject(), NOTE, &limits).unwrap();
    let kept: u64 = found.artifacts.iter().map(|(_, artifact)| artifact.layers[0].bytes.len() as u64).sum();
    assert!(kept < 8000 && found.left_out.len() + found.artifacts.len() == 10, "{kept}");
    assert!(found.artifacts.len() > 1 && found.artifacts[0].1.annotations[CREATED].starts_with("2019"));
    let problem = &found.left_out[0].problem;
    assert!(problem.ends_with("is larger than the limit of 8000 bytes"), "{problem}");
}

#[test]
fn a_list_with_something_about_another_image_is_seen_through() {
    for api in [true, false] {
        let registry = registry_with_image();
        registry.set_referrers_api(api);
        let mut foreign = note("a", "2026");
        foreign.subject = Some(Descriptor::of(OCI_MANIFEST, b"another"));
        let foreign = put(&registry, &foreign);
        let pretend = |descriptor: &Descriptor| match api {
            true => registry.pretend_referrer(&subject().digest.to_string(), entry(descriptor)),
            false => put_list(&registry, &[entry(descriptor)]),
        };
        pretend(&foreign);
        let found = find(&registry).unwrap();
        let expected = format!(
            "is no referrer of {}: its subject is {}",
            subject().digest,
            Descriptor::of(OCI_MANIFEST, b"another").digest
        );
        let problem = left_out(&found);
        assert!(problem.contains(&expected) && problem.contains(&foreign.digest.to_string()), "{problem}");
    }
}

#[test]
fn what_is_listed_but_no_referrer_is_left_out_with_its_reason() {
    let orphan = Artifact { subject: None, ..note("a", "2026") };
    let other_type = Artifact { artifact_type: "application/vnd.example.x".to_owned(), ..note("a", "2026") };
    let layers = Artifact { layers: vec![Part::new("text/plain", "x"); 3], ..note("a", "2026") };
    let large = note(&"x".repeat(1025), "2026");
    let config = Artifact { config: Part::new("text/plain", "x".repeat(1025)), ..note("a", "2026") };
    for (artifact, expected) in [
        (orphan, "it has no subject"),
        (
            other_type,
            "it is listed as \"application/vnd.example.note.v1\", but is a \"application/vnd.example.x\"",
        ),
        (layers, "has more than 2 layers"),
        (large, "is larger than the limit of 1024 bytes"),
        (config, "is larger than the limit of 1024 bytes"),
    ] {
        let registry = registry_with_image();
        registry.set_referrers_api(false);
        let mut descriptor = put(&registry, &artifact);
        descriptor.artifact_type = Some(NOTE.to_owned());
        put_list(&registry, &[entry(&descriptor)]);
        let found = find(&registry).unwrap();
        assert!(left_out(&found).contains(expected), "{found:?}");
        assert!(left_out(&found).contains(&descriptor.digest.to_string()), "{found:?}");
    }
}

#[test]
fn an_entry_that_has_lost_its_type_is_opened_to_see_what_it_is() {
    let registry = registry_with_image();
    registry.set_referrers_api(false);
    let seal = note("a", "2026-01-01T00:00:00Z");
    let other = Artifact { artifact_type: "application/vnd.example.x".to_owned(), ..note("b", "2026") };
    let large =
        Artifact { artifact_type: "application/vnd.example.x".to_owned(), ..note(&"x".repeat(2000), "2026") };
    let bare = [&seal, &other, &large]
        .map(|artifact| Descriptor { artifact_type: None, ..put(&registry, artifact) });
    put_list(&registry, &bare.each_ref().map(entry));
    let found = find(&registry).unwrap();
    assert_eq!(found, Artifacts { artifacts: vec![(seal.descriptor().digest, seal)], left_out: Vec::new() });
}

#[test]
fn manifests_of_100_mb_are_not_fetched_and_endless_ones_are_cut() {
    let registry = registry_with_image();
    let mut announced = Descriptor::of(OCI_MANIFEST, b"huge");
    (announced.size_bytes, announced.artifact_type) = (100_000_000, Some(NOTE.to_owned()));
    registry.pretend_referrer(&subject().digest.to_string(), entry(&announced));
    let found = find(&registry).unwrap();
    assert!(left_out(&found).contains("is larger than the limit of 4194304 bytes"), "{found:?}");
    assert_eq!(registry.count(&announced.digest.to_string()), 0);

    let registry = registry_with_image();
    let descriptor = put(&registry, &note("a", "2026"));
    registry.fault(Fault::new(&descriptor.digest.to_string(), Action::EndlessBody));
    let found = find(&registry).unwrap();
    assert!(left_out(&found).contains("is longer than the"), "{found:?}");
}

#[test]
fn a_manifest_that_is_another_one_the_second_time_is_not_taken() {
    let registry = registry_with_image();
    let descriptor = put(&registry, &note("a", "2026"));
    let path = format!("/manifests/{}", descriptor.digest);
    registry.fault(Fault::new(&path, Action::WrongByte).after(1));
    assert_eq!(find(&registry).unwrap().artifacts.len(), 1);
    let found = find(&registry).unwrap();
    assert!(left_out(&found).contains("has the digest"), "{found:?}");
}

#[test]
fn what_is_listed_and_not_there_is_left_out() {
    let registry = registry_with_image();
    let gone = note("a", "2026").descriptor();
    registry.pretend_referrer(&subject().digest.to_string(), entry(&gone));
    let found = find(&registry).unwrap();
    assert!(left_out(&found).contains("does not exist"), "{found:?}");
    // A registry that fails is another matter: what it has is not known then.
    registry.fault(Fault::status(&gone.digest.to_string(), 500));
    assert!(matches!(
        registry_error(find(&registry).unwrap_err()),
        RegistryError::Status { status: 500, .. }
    ));
}

#[test]
fn wrong_bytes_of_a_part_leave_the_artifact_out() {
    let registry = registry_with_image();
    let artifact = note("a", "2026");
    put(&registry, &artifact);
    let layer = artifact.layers[0].descriptor().digest.to_string();
    for action in [Action::WrongByte, Action::LongBody(1), Action::EndlessBody] {
        registry.clear_faults();
        registry.fault(Fault::new(&layer, action));
        let found = find(&registry).unwrap();
        assert!(left_out(&found).contains(&layer), "{found:?}");
    }
}

#[test]
fn a_mirror_without_referrers_is_no_proof_that_there_are_none() {
    let (mirror, registry) = (registry_with_image(), registry_with_image());
    let descriptor = put(&registry, &note("a", "2026"));
    let mut options = options();
    let mirrors = vec![format!("http://{}", mirror.host()).parse().unwrap()];
    options.mirrors.insert(registry.host(), mirrors);
    let source = source_with(&registry, "app:1", &options, &nowhere());
    assert_eq!(source.referrers(&subject(), Some(NOTE)).unwrap(), std::slice::from_ref(&descriptor));
    assert_eq!(mirror.count("/referrers/"), 1);
    // A mirror that has them is enough.
    put(&mirror, &note("a", "2026"));
    let before = registry.count("/referrers/");
    assert_eq!(source.referrers(&subject(), Some(NOTE)).unwrap(), [descriptor]);
    assert_eq!(registry.count("/referrers/"), before);
}
