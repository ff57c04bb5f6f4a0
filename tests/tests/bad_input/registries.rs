//! Blobs that are not what their descriptors say, from a registry, and registries that do not answer as they
//! should.

use crate::support::*;
use anyhow::Result;
use sealpack_test_registry::{Action, Auth, Fault, Image, ImageLayer, Registry, digest_of};
use sealpack_tests::layer_tar::archive;
use sealpack_tests::refusal::{Exit, judge};
use std::time::Duration;

/// Two layers, both new to the store that has [`good_image`].
fn two_layers() -> Image {
    let lower = archive(&[directory("usr/"), file("usr/lower", &text(50, 20_000))]);
    let upper = archive(&[directory("opt/"), file("opt/upper", &text(51, 20_000))]);
    image(vec![ImageLayer::plain(&lower), ImageLayer::plain(&upper)])
}

fn upper(image: &Image) -> String {
    digest_of(&image.layers[1].blob)
}

/// Pulls [`two_layers`] from a registry that answers requests for the upper layer so.
fn refuses_fault(exit: Exit, action: Action, words: &[&str]) -> Result<()> {
    let (case, image, registry) = (Case::new()?, two_layers(), Registry::start());
    let source = serve(&registry, &image);
    registry.fault(Fault::new(&format!("/blobs/{}", upper(&image)), action));
    let digest = upper(&image);
    let hex = digest.trim_start_matches("sha256:");
    let mut all = words.to_vec();
    // Where there is a layer to blame, it is named by its number or its digest.
    let by_number = words.iter().any(|word| word.starts_with("layer "));
    if !by_number {
        all.push(hex);
    }
    match exit {
        Exit::Refused => case.sealpack.refuses(exit, ["pull", &source, "--name", "bad"], &all),
        // Nobody can say that the layers are bad: those that came are kept for the next try.
        _ => {
            let images = case.sealpack.json(["images"])?;
            judge(&mut case.sealpack.command(["pull", &source, "--name", "bad"]), exit, &all)?;
            assert_eq!(case.sealpack.json(["images"])?, images);
            let empty = case
                .sealpack
                .listing()?
                .into_iter()
                .find(|(path, facts)| path.starts_with("tmp") && facts.0 == 0);
            assert_eq!(empty, None);
            registry.clear_faults();
            case.sealpack.run(["pull", &source, "--name", "bad"])?;
            case.sealpack.state().map(drop)
        }
    }
}

#[test]
fn a_layer_shorter_than_its_descriptor_says_is_refused() -> Result<()> {
    refuses_fault(Exit::Refused, Action::ShortBody(1000), &["1000 bytes", "descriptor says"])
}

#[test]
fn a_layer_longer_than_its_descriptor_says_is_refused() -> Result<()> {
    refuses_fault(Exit::Refused, Action::LongBody(10), &["bytes", "descriptor says"])?;
    refuses_fault(Exit::Refused, Action::LongChunkedBody(10), &["longer", "descriptor says"])
}

#[test]
fn a_layer_without_an_end_is_refused() -> Result<()> {
    refuses_fault(Exit::Refused, Action::EndlessBody, &["longer", "descriptor says"])
}

#[test]
fn a_layer_with_other_bytes_than_its_digest_promises_is_refused() -> Result<()> {
    let expected = upper(&two_layers());
    refuses_fault(Exit::Refused, Action::WrongByte, &["layer 2", "has the digest sha256:", &expected])
}

#[test]
fn a_layer_that_the_registry_lacks_is_named() -> Result<()> {
    let answer = Action::Answer { status: 404, headers: Vec::new(), body: String::new() };
    refuses_fault(Exit::Failed, answer, &["does not exist"])
}

#[test]
fn a_registry_that_is_out_of_order_is_quoted() -> Result<()> {
    let body = r#"{"errors":[{"code":"DENIED","message":"the bill was not paid"}]}"#;
    let answer = Action::Answer { status: 402, headers: Vec::new(), body: body.to_owned() };
    refuses_fault(Exit::Failed, answer, &["402", "the bill was not paid"])
}

/// The other layer has no fault of its own; what was fetched of it goes all the same.
#[test]
fn a_layer_that_was_on_its_way_beside_a_wrong_one_leaves_nothing() -> Result<()> {
    let (case, image, registry) = (Case::new()?, two_layers(), Registry::start());
    let source = serve(&registry, &image);
    let lower = digest_of(&image.layers[0].blob);
    registry.fault(
        Fault::new(&format!("/blobs/{lower}"), Action::StallAfter(5000, Duration::from_secs(1))).times(1),
    );
    registry.fault(Fault::new(&format!("/blobs/{}", upper(&image)), Action::WrongByte));
    case.sealpack.refuses(Exit::Refused, ["pull", &source, "--name", "bad"], &["layer 2"])
}

#[test]
fn a_config_with_other_bytes_than_its_digest_promises_is_refused() -> Result<()> {
    let (case, image, registry) = (Case::new()?, two_layers(), Registry::start());
    let source = serve(&registry, &image);
    let digest = digest_of(&image.config);
    for (action, words) in [
        (Action::WrongByte, ["has the digest sha256:", digest.as_str()]),
        (Action::ShortBody(20), ["20 bytes", "descriptor says"]),
        (Action::LongBody(20), ["bytes", "descriptor says"]),
    ] {
        registry.clear_faults();
        registry.fault(Fault::new(&format!("/blobs/{digest}"), action));
        case.sealpack.refuses(Exit::Refused, ["pull", &source, "--name", "bad"], &words)?;
    }
    Ok(())
}

#[test]
fn a_manifest_asked_for_by_digest_must_have_it() -> Result<()> {
    let (case, image, registry) = (Case::new()?, two_layers(), Registry::start());
    serve(&registry, &image);
    let digest = digest_of(&image.manifest);
    let source = format!("{}/{REPOSITORY}@{digest}", registry.host());
    registry.fault(Fault::new("/manifests/", Action::WrongByte));
    case.sealpack.refuses(
        Exit::Refused,
        ["pull", &source, "--name", "bad"],
        &["has the digest sha256:", &digest],
    )?;
    // By the tag nobody knows what to expect, but it is no manifest any more.
    let source = format!("{}/{REPOSITORY}:{TAG}", registry.host());
    case.sealpack.refuses(Exit::Failed, ["pull", &source, "--name", "bad"], &["not valid", &source])
}

#[test]
fn an_image_that_the_registry_lacks_is_named() -> Result<()> {
    let (case, registry) = (Case::new()?, Registry::start());
    let source = format!("{}/{REPOSITORY}:nope", registry.host());
    case.sealpack.refuses(Exit::Failed, ["pull", &source], &["/manifests/nope", "does not exist"])
}

#[test]
fn a_registry_that_wants_credentials_is_refused_with_what_to_do() -> Result<()> {
    let (case, registry) = (Case::new()?, Registry::start());
    let source = serve(&registry, &two_layers());
    registry.set_auth(Auth::token_for("somebody", "a secret"));
    case.sealpack.refuses(Exit::Failed, ["pull", &source], &["refused", "hint: ", "login", &registry.host()])
}

#[test]
fn credentials_that_are_wrong_are_refused_with_the_file_they_are_from() -> Result<()> {
    let (case, registry) = (Case::new()?, Registry::start());
    let source = serve(&registry, &two_layers());
    registry.set_auth(Auth::token_for("somebody", "a secret"));
    // "somebody:not the secret"
    let auths = serde_json::json!({"auths": {registry.host(): {"auth": "c29tZWJvZHk6bm90IHRoZSBzZWNyZXQ="}}});
    let file = case.path("auth.json");
    std::fs::write(&file, auths.to_string())?;
    let file = file.to_string_lossy().into_owned();
    let before = case.sealpack.state()?;
    let mut command = case.sealpack.command(["pull", "--authfile", &file, &source]);
    let output = command.output()?;
    sealpack_tests::refusal::judge_output(&output, Exit::Failed, &["refused", &file, "hint: "])?;
    assert!(!String::from_utf8_lossy(&output.stderr).contains("not the secret"));
    case.sealpack.is_as(&before)
}

#[test]
fn files_of_credentials_and_certificates_that_cannot_be_used_are_named() -> Result<()> {
    let (case, registry) = (Case::new()?, Registry::start());
    let source = serve(&registry, &two_layers());
    registry.set_auth(Auth::token_for("somebody", "a secret"));
    let (missing, broken) = (case.path("missing"), case.path("broken"));
    std::fs::write(&broken, "this is neither JSON nor PEM")?;
    for option in ["--authfile", "--ca"] {
        for path in [&missing, &broken] {
            let path = path.to_string_lossy();
            case.sealpack.refuses(Exit::Failed, ["pull", option, &path, &source], &[&path])?;
        }
    }
    let words = ["cannot read the credentials in", "No such file"];
    case.sealpack.refuses(
        Exit::Failed,
        ["pull", "--authfile", &missing.to_string_lossy(), &source],
        &words,
    )?;
    Ok(())
}

#[test]
fn a_certificate_by_an_unknown_authority_is_refused_with_what_to_do() -> Result<()> {
    let (case, registry) = (Case::new()?, Registry::start_tls());
    let source = serve(&registry, &two_layers());
    case.sealpack.refuses(Exit::Failed, ["pull", &source], &["no secure connection", "hint: ", "--ca"])?;
    let ca = case.path("ca.pem");
    std::fs::write(&ca, registry.ca_pem())?;
    case.sealpack.run(["pull", "--ca", &ca.to_string_lossy(), &source])?;
    Ok(())
}

#[test]
fn a_redirect_in_circles_is_not_followed_for_ever() -> Result<()> {
    let (case, image, registry) = (Case::new()?, two_layers(), Registry::start());
    let source = serve(&registry, &image);
    let path = format!("/v2/{REPOSITORY}/manifests/{TAG}");
    let again = format!("{}{path}", registry.url());
    registry.fault(Fault::new(&path, Action::Redirect(307, again)));
    case.sealpack.refuses(Exit::Failed, ["pull", &source, "--name", "bad"], &["redirect"])
}
