//! Blobs into a registry, over a network that breaks.

use std::io::Read;
use std::sync::Mutex;

use sealpack_oci::manifest::Descriptor;
use sealpack_oci::registry::RegistryTarget;
use sealpack_oci::transport::ImageTarget as _;
use sealpack_test_registry::{Action, Auth, Fault, Registry};

use super::*;

const CHUNK: usize = 256 * 1024;

pub(crate) fn target_with(registry: &Registry, name: &str, mount_from: Option<&str>) -> RegistryTarget {
    let options = ClientOptions { chunk_bytes: CHUNK as u64, ..options() };
    let reference = format!("{}/{name}", registry.host()).parse().unwrap();
    RegistryTarget::new(reference, mount_from, &options, &nowhere())
}

pub(crate) fn target(registry: &Registry, name: &str) -> RegistryTarget {
    target_with(registry, name, None)
}

fn blob() -> Descriptor {
    Descriptor::of("application/octet-stream", &noise())
}

/// Uploads `bytes` as `blob`, and gives how the position went.
fn upload_as(registry: &Registry, blob: &Descriptor, bytes: &[u8]) -> Result<Vec<u64>> {
    let open = |offset: u64| -> Result<Box<dyn Read + Send>> {
        Ok(Box::new(std::io::Cursor::new(bytes[usize::try_from(offset).unwrap()..].to_vec())))
    };
    let positions = Mutex::new(Vec::new());
    let put = target(registry, "app:1").put_blob(blob, &open, &|sent| positions.lock().unwrap().push(sent));
    put.map(|()| positions.into_inner().unwrap())
}

fn upload(registry: &Registry) -> Result<Vec<u64>> {
    upload_as(registry, &blob(), &noise())
}

fn arrived(registry: &Registry) -> bool {
    registry.blob("app", &blob().digest.to_string()) == Some(noise())
}

fn methods(registry: &Registry) -> Vec<String> {
    registry.requests().iter().map(|request| request.method.clone()).collect()
}

/// Uploads through one fault; in the end everything must be there.
fn survives(fault: Fault) -> Registry {
    let registry = Registry::start();
    registry.fault(fault.clone());
    upload(&registry).unwrap_or_else(|error| panic!("{fault:?}: {error}"));
    assert!(arrived(&registry), "{fault:?}");
    registry
}

/// Uploads through a fault that does not end, and gives the error; nothing must be left then.
fn fails(fault: Fault) -> Error {
    let registry = Registry::start();
    registry.fault(fault.clone());
    let error = upload(&registry).unwrap_err();
    assert!(!arrived(&registry), "{fault:?}");
    assert_eq!(registry.open_uploads(), 0, "{fault:?}");
    error
}

#[test]
fn a_large_blob_goes_in_chunks_and_a_small_one_at_once() {
    let registry = Registry::start();
    assert_eq!(upload(&registry).unwrap(), [262_144, 524_288, 614_400, 614_400]);
    assert!(arrived(&registry));
    assert_eq!(methods(&registry), ["POST", "PATCH", "PATCH", "PATCH", "PUT"]);
    let requests = registry.requests();
    let ranges: Vec<_> = requests.iter().filter_map(|request| request.header("content-range")).collect();
    assert_eq!(ranges, ["0-262143", "262144-524287", "524288-614399"]);

    for small in [&b"small"[..], b""] {
        let registry = Registry::start();
        let blob = Descriptor::of("application/octet-stream", small);
        upload_as(&registry, &blob, small).unwrap();
        assert_eq!(methods(&registry), ["POST", "PUT"]);
        assert_eq!(registry.blob("app", &blob.digest.to_string()).unwrap(), small);
    }
}

#[test]
fn a_break_in_the_middle_of_a_chunk_is_resumed_where_it_happened() {
    let registry =
        survives(Fault::new("/uploads/", Action::CutUpload(100_000)).method("PATCH").after(1).times(1));
    let requests = registry.requests();
    let ranges: Vec<_> = requests.iter().filter_map(|request| request.header("content-range")).collect();
    assert_eq!(ranges, ["0-262143", "262144-524287", "362144-524287", "524288-614399"]);
    assert_eq!(registry.open_uploads(), 0);
}

#[test]
fn what_may_pass_is_tried_again_anywhere_in_an_upload() {
    for method in ["POST", "PATCH", "PUT"] {
        for times in 1..=2 {
            survives(Fault::new("/uploads/", Action::HangUp).method(method).times(times));
            survives(Fault::status("/uploads/", 503).method(method).times(times));
            survives(Fault::answer("/uploads/", 429, ("Retry-After", "0"), "").method(method).times(times));
            survives(Fault::new("/uploads/", Action::Garbage).method(method).times(times));
        }
    }
    survives(Fault::new("/uploads/", Action::CutUpload(0)).method("PATCH").times(1));
    // Of one byte the answer says the same as of none.
    survives(Fault::new("/uploads/", Action::CutUpload(1)).method("PATCH").times(1));
}

#[test]
fn many_breaks_with_progress_between_them_are_survived() {
    let registry = Registry::start();
    let big: Vec<u8> = (0..8).flat_map(|_| noise()).collect();
    let blob = Descriptor::of("application/octet-stream", &big);
    registry.fault(Fault::new("/uploads/", Action::CutUpload(CHUNK - 1)).method("PATCH").times(1));
    for number in 1..8 {
        let cut = Fault::new("/uploads/", Action::CutUpload(CHUNK - 1));
        registry.fault(cut.method("PATCH").after(number).times(1));
    }
    upload_as(&registry, &blob, &big).unwrap();
    assert_eq!(registry.blob("app", &blob.digest.to_string()).unwrap(), big);
}

#[test]
fn an_upload_without_progress_is_given_up_and_ended() {
    let error = registry_error(fails(Fault::new("/uploads/", Action::CutUpload(0)).method("PATCH")));
    assert!(matches!(error, RegistryError::Broken { failures: 4, .. }), "{error}");
    let text = error.to_string();
    let expected = format!("the transfer of the blob {} for 127.0.0.1:", blob().digest);
    assert!(text.starts_with(&expected) && text.contains("after 0 of 614400 bytes"), "{text}");
    let error = registry_error(fails(Fault::status("/uploads/", 500).method("PATCH")));
    assert!(matches!(error, RegistryError::Status { status: 500, attempts: 4, .. }), "{error}");
    let error = registry_error(fails(Fault::status("/uploads/", 500).method("PUT")));
    assert!(matches!(error, RegistryError::Status { status: 500, attempts: 4, .. }), "{error}");
}

#[test]
fn a_wait_that_is_too_long_is_not_waited_for() {
    let fault = Fault::answer("/uploads/", 429, ("Retry-After", "3600"), "");
    for method in ["POST", "PATCH", "PUT"] {
        let error = registry_error(fails(fault.clone().method(method)));
        assert!(matches!(error, RegistryError::TooLongToWait { status: 429, .. }), "{error}");
    }
}

#[test]
fn refused_ranges_lead_to_where_the_registry_is() {
    survives(Fault::new("/uploads/", Action::RefuseRange).method("PATCH").after(1).times(2));
    survives(Fault::new("/uploads/", Action::TakePart(1000)).method("PATCH").times(2));
    let error = registry_error(fails(Fault::new("/uploads/", Action::RefuseRange).method("PATCH")));
    assert!(matches!(error, RegistryError::Broken { failures: 4, .. }), "{error}");
    assert!(error.to_string().contains("it refused the range of a chunk"), "{error}");
    let error = registry_error(fails(Fault::new("/uploads/", Action::Discard).method("PATCH")));
    assert!(error.to_string().contains("the registry took none of the bytes"), "{error}");
}

#[test]
fn more_bytes_than_were_sent_cannot_have_arrived() {
    let header = Action::ExtraHeader("Range".to_owned(), "0-999999".to_owned());
    let error = fails(Fault::new("/uploads/", header).method("PATCH")).to_string();
    assert!(error.contains("a range of received bytes that cannot be: 262144 were sent"), "{error}");
}

#[test]
fn an_upload_that_the_registry_forgot_begins_anew_and_not_for_ever() {
    for status in [404, 410] {
        let registry = survives(Fault::status("/uploads/", status).method("PATCH").after(1).times(2));
        assert_eq!(registry.open_uploads(), 0);
        survives(Fault::status("/uploads/", status).method("PUT").times(2));
        let error = fails(Fault::status("/uploads/", status).method("PATCH")).to_string();
        assert!(error.contains("does not know the upload any more, for the 4th time"), "{error}");
    }
    // The registry cannot say how much it has.
    let registry = Registry::start();
    registry.fault(Fault::new("/uploads/", Action::CutUpload(1000)).method("PATCH").times(1));
    registry.fault(Fault::status("/uploads/", 404).method("GET"));
    upload(&registry).unwrap();
    assert!(arrived(&registry));
}

#[test]
fn a_registry_without_chunks_gets_all_in_one_piece() {
    for status in [400, 405, 411, 413, 501] {
        let registry = survives(Fault::status("/uploads/", status).method("PATCH"));
        let put = registry.requests().into_iter().find(|request| request.method == "PUT").unwrap();
        assert_eq!(put.header("content-length"), Some("614400"), "{status}");
    }
    // So does one that wants chunks larger than are kept in memory.
    let header = Action::ExtraHeader("OCI-Chunk-Min-Length".to_owned(), "1000000000".to_owned());
    let registry = survives(Fault::new("/uploads/", header).method("POST"));
    assert_eq!(methods(&registry), ["POST", "PUT"]);
    let header = Action::ExtraHeader("OCI-Chunk-Min-Length".to_owned(), "400000".to_owned());
    let registry = survives(Fault::new("/uploads/", header).method("POST"));
    assert_eq!(methods(&registry), ["POST", "PATCH", "PATCH", "PUT"]);
}

#[test]
fn one_piece_that_breaks_is_sent_again() {
    let registry = Registry::start();
    registry.fault(Fault::status("/uploads/", 405).method("PATCH"));
    registry.fault(Fault::new("/uploads/", Action::CutUpload(100_000)).method("PUT").times(2));
    upload(&registry).unwrap();
    assert!(arrived(&registry));
    assert_eq!(registry.open_uploads(), 0);
}

#[test]
fn an_end_whose_answer_was_lost_counts() {
    let registry = Registry::start();
    registry.fault(Fault::new("/uploads/", Action::HangUp).method("PUT").times(1));
    upload(&registry).unwrap();
    assert_eq!(methods(&registry).iter().filter(|method| *method == "PUT").count(), 1);
}

#[test]
fn other_bytes_than_described_are_not_uploaded() {
    for changed in [0, 300_000, noise().len() - 1] {
        let registry = Registry::start();
        let mut bytes = noise();
        bytes[changed] ^= 1;
        let error = upload_as(&registry, &blob(), &bytes).unwrap_err();
        assert!(matches!(error, Error::DigestMismatch { .. }) && error.is_verification(), "{error}");
        assert_eq!(registry.open_uploads(), 0);
        assert!(!methods(&registry).contains(&"PUT".to_owned()));
        let error = upload_as(&registry, &blob(), &bytes[..500_000]).unwrap_err();
        assert!(error.to_string().contains("has 500000 bytes, but its descriptor says 614400"), "{error}");
    }
}

#[test]
fn a_registry_that_finds_another_digest_is_quoted() {
    let registry = Registry::start();
    registry.fault(Fault::status("/uploads/", 405).method("PATCH"));
    let mut bytes = noise();
    bytes[5] ^= 1;
    let error = upload_as(&registry, &blob(), &bytes).unwrap_err().to_string();
    assert!(error.contains("DIGEST_INVALID"), "{error}");
    assert_eq!(registry.open_uploads(), 0);
}

#[test]
fn places_to_upload_to_that_cannot_be_are_refused() {
    for (location, expected) in [
        (None, "it does not say where to upload to"),
        (Some("ftp://x/y"), "is no usable URL: it is neither http nor https"),
    ] {
        let headers = location.map(|location| ("Location", location)).unwrap_or(("X", "y"));
        let error = fails(Fault::answer("/uploads/", 202, headers, "").method("POST")).to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn credentials_do_not_follow_an_upload_to_another_place() {
    let (registry, elsewhere) = (Registry::start(), Registry::start());
    registry.set_auth(Auth::anonymous_token());
    let location = format!("{}/v2/app/blobs/uploads/there", elsewhere.url());
    let header = Action::ExtraHeader("Location".to_owned(), location);
    registry.fault(Fault::new("/uploads/", header).method("POST").after(1));
    let error = upload(&registry).unwrap_err().to_string();
    assert!(error.contains("does not know the upload"), "{error}");
    let requests = elsewhere.requests();
    assert!(!requests.is_empty() && requests.iter().all(|request| request.header("authorization").is_none()));
}

#[test]
fn a_token_to_push_is_asked_for_and_renewed() {
    let registry = Registry::start();
    let Auth::Token { user, refresh, field, lifetime_seconds, .. } = Auth::anonymous_token() else {
        panic!("it is a token");
    };
    registry.set_auth(Auth::Token { user, refresh, field, lifetime_seconds, uses: 2 });
    assert!(!target(&registry, "app:1").has_blob(&blob()).unwrap());
    upload(&registry).unwrap();
    assert!(arrived(&registry));
    let requests = registry.requests();
    let tokens: Vec<_> = requests.iter().filter(|request| request.target.starts_with("/token")).collect();
    assert!(tokens.len() > 2);
    for token in tokens {
        assert_eq!(token.parameters("scope"), ["repository:app:pull,push"]);
    }
    registry.set_auth(Auth::token_for("somebody", "secret"));
    let error = registry_error(upload(&registry).unwrap_err());
    assert!(matches!(error, RegistryError::Unauthorized { anonymous: true, .. }), "{error}");
}

#[test]
fn a_blob_is_mounted_from_another_repository_or_uploaded() {
    let registry = Registry::start();
    registry.set_auth(Auth::anonymous_token());
    registry.put_blob_in("other", noise());
    let from = format!("{}/other", registry.host()).parse().unwrap();
    let target = target_with(&registry, "app:1", Some("other"));
    assert!(!target.has_blob(&blob()).unwrap());
    assert!(target.mount_blob(&blob(), &from).unwrap());
    assert!(target.has_blob(&blob()).unwrap() && arrived(&registry));
    let requests = registry.requests();
    let token = requests.iter().rfind(|request| request.target.starts_with("/token")).unwrap();
    assert_eq!(token.parameters("scope"), ["repository:app:pull,push", "repository:other:pull"]);

    // Where a registry does not mount, it begins an upload, which is ended.
    let absent = Descriptor::of("application/octet-stream", b"nowhere");
    assert!(!target.mount_blob(&absent, &from).unwrap());
    registry.set_mounts(false);
    assert!(!target_with(&registry, "new:1", None).mount_blob(&blob(), &from).unwrap());
    assert_eq!(registry.open_uploads(), 0);
    registry.fault(Fault::status("mount=", 405));
    assert!(!target.mount_blob(&blob(), &from).unwrap());
    // Another registry's repository is none of this one.
    let other = "registry.example/other".parse().unwrap();
    let before = registry.requests().len();
    assert!(!target.mount_blob(&blob(), &other).unwrap());
    assert_eq!(registry.requests().len(), before);
}
