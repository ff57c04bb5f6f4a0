//! What cannot be copied or published, and how that is said.

use super::Workshop;
use anyhow::{Context, Result, ensure};
use sealpack_test_registry::{Action, Auth, Fault, Image, ImageLayer, Registry, digest_of};
use sealpack_tests::layer_tar::{Entry, Member, archive};
use sealpack_tests::layout::architecture;
use sealpack_tests::refusal::{Exit, judge, judge_output};
use std::fs;
use std::process::Output;

fn image() -> Image {
    let file = Entry::new("file", Member::File(vec![7; 5000]));
    Image::new(&format!("linux/{}", architecture()), vec![ImageLayer::gzip(&archive(&[file]))])
}

/// A registry with an image at `app:1`.
fn registry() -> Registry {
    let registry = Registry::start();
    registry.put_image("app", "1", &image());
    registry
}

fn copy(workshop: &Workshop, arguments: &[&str]) -> Result<Output> {
    workshop.sealpack.attempt(["copy"].iter().chain(arguments))
}

#[test]
fn targets_that_cannot_be_written_are_named() -> Result<()> {
    let workshop = Workshop::new()?;
    let registry = registry();
    let name = format!("{}/app:1", registry.host());
    for (target, words) in [
        ("docker-archive:x.tar:@1", "an image that is written gets a name with a tag, or none"),
        ("oci:x@sha256:00", "sha256 has 64 hexadecimal digits"),
        ("docker-daemon:x", "\"docker-daemon\" is not supported"),
        ("lower/Case", "must be in lower case"),
    ] {
        let mut command = workshop.sealpack.command(["copy", &name, target]);
        judge(&mut command, Exit::Usage, &[words])?;
    }
    ensure!(registry.requests().is_empty(), "something was asked for");
    let file = workshop.path("file");
    fs::write(&file, "x")?;
    let output = copy(&workshop, &[&name, &format!("oci:{}", file.display())])?;
    judge_output(&output, Exit::Failed, &["cannot make the directory", "file"])?;
    let full = workshop.path("full");
    fs::create_dir(&full)?;
    fs::write(full.join("other"), "x")?;
    let output = copy(&workshop, &[&name, &format!("oci:{}", full.display())])?;
    judge_output(&output, Exit::Failed, &["has other files in it and is no OCI layout"])?;
    ensure!(fs::read_dir(&full)?.count() == 1, "something was written");
    let (new, absent) = (workshop.path("new"), format!("{}/no/such:1", registry.host()));
    let output = copy(&workshop, &[&absent, &format!("oci:{}", new.display())])?;
    judge_output(&output, Exit::Failed, &["/no/such/manifests/1 does not exist", "look at the spelling"])?;
    ensure!(!new.exists(), "an empty layout is left");
    Ok(())
}

#[test]
fn access_that_is_missing_is_said_with_what_to_do() -> Result<()> {
    let workshop = Workshop::new()?;
    let (from, to) = (registry(), Registry::start());
    to.set_auth(Auth::token_for("somebody", "secret"));
    let [name, target] = [&from, &to].map(|registry| format!("{}/app:1", registry.host()));
    let output = copy(&workshop, &[&name, &target])?;
    judge_output(&output, Exit::Failed, &["access to", "was refused with no credentials", "podman login"])
}

#[test]
fn wrong_bytes_are_refused_and_the_target_keeps_what_it_had() -> Result<()> {
    let workshop = Workshop::new()?;
    let (from, to) = (registry(), Registry::start());
    let old = Image::new("linux/amd64", vec![]);
    to.put_image("app", "1", &old);
    from.fault(Fault::new(&digest_of(&image().layers[0].blob), Action::WrongByte));
    let [name, target] = [&from, &to].map(|registry| format!("{}/app:1", registry.host()));
    let output = copy(&workshop, &[&name, &target])?;
    judge_output(&output, Exit::Refused, &["has the digest", "was asked for"])?;
    ensure!(to.manifest("app", "1") == Some(old.manifest), "the tag has moved");
    ensure!(to.open_uploads() == 0, "an upload is left");
    Ok(())
}

#[test]
fn a_seal_without_its_image_is_not_published() -> Result<()> {
    let workshop = Workshop::new()?;
    let (from, to) = (registry(), Registry::start());
    let [name, elsewhere] = [&from, &to].map(|registry| format!("{}/app:1", registry.host()));
    let pulled = workshop.sealpack.attempt(["pull", &name])?;
    ensure!(pulled.status.success(), "the pull failed");
    let push = |arguments: &[&str]| workshop.sealpack.attempt(["seal", "push"].iter().chain(arguments));
    judge_output(&push(&[&name])?, Exit::Failed, &["has no seal", "sealpack seal IMAGE --key"])?;
    workshop.seal(&[&name])?;
    let words = [&format!("has no image {}", digest_of(&image().manifest)), "sealpack copy"];
    judge_output(&push(&[&name, "--to", &elsewhere])?, Exit::Failed, &words)?;
    ensure!(to.requests().iter().all(|request| request.method == "HEAD"), "something was written");
    // Beside the image it is; and where the seal is for another name, that is remarked.
    to.put_image("app", "1", &image());
    let output = push(&[&name, "--to", &elsewhere])?;
    let said = String::from_utf8(output.stderr)?;
    ensure!(output.status.success() && said.contains("the seal is for no name in"), "{said}");
    Ok(())
}

#[test]
fn what_is_no_name_and_no_source_is_not_looked_for_elsewhere() -> Result<()> {
    let workshop = Workshop::new()?;
    let registry = registry();
    workshop.seal(&[&format!("{}/app:1", registry.host()), "--pull"])?;
    let before = registry.requests().len();
    let output = workshop.attempt_seal(&["0123456789abcdef"])?;
    judge_output(&output, Exit::Failed, &["the store has no image"])?;
    let output = workshop.attempt_seal(&["--to", "example.org/x:1", "app:1"])?;
    judge_output(&output, Exit::Usage, &["--push"])?;
    ensure!(registry.requests().len() == before, "something was asked for");
    Ok(())
}

#[test]
fn referrers_that_are_none_are_left_behind_with_a_word() -> Result<()> {
    let workshop = Workshop::new()?;
    let (from, to) = (registry(), Registry::start());
    let [name, target] = [&from, &to].map(|registry| format!("{}/app:1", registry.host()));
    let other = Image::new("linux/amd64", vec![]);
    from.put_image("app", "other", &other);
    let listed = serde_json::json!({"mediaType": other.manifest_type, "digest": digest_of(&other.manifest),
        "size": other.manifest.len(), "artifactType": "application/vnd.sealpack.seal.v1"});
    from.pretend_referrer(&digest_of(&image().manifest), listed);
    let output = copy(&workshop, &[&name, &target])?;
    let said = String::from_utf8(output.stderr)?;
    ensure!(output.status.success(), "{said}");
    let line = said.lines().find(|line| line.starts_with("left out:")).context("not a word of it")?;
    ensure!(line.contains("is no referrer of") && line.ends_with("it has no subject"), "{line}");
    Ok(())
}
