//! What is sealed is what the store has, and a seal is published for what its name means.

use super::Workshop;
use anyhow::{Context, Result, ensure};
use sealpack_test_registry::{Image, ImageLayer, Registry, digest_of};
use sealpack_tests::images;
use sealpack_tests::layer_tar::{Entry, Member, archive};
use sealpack_tests::layout::architecture;
use sealpack_tests::refusal::{Exit, judge_output};

fn image(number: u8) -> Image {
    let file = Entry::new("file", Member::File(vec![number; 5000]));
    Image::new(&format!("linux/{}", architecture()), vec![ImageLayer::gzip(&archive(&[file]))])
}

/// A registry with the first image at `app:1`, and that name.
fn registry() -> (Registry, String) {
    let registry = Registry::start();
    registry.put_image("app", "1", &image(1));
    let name = format!("{}/app:1", registry.host());
    (registry, name)
}

/// A mistyped name once brought what somebody else had put there, and sealed it.
#[test]
fn what_the_store_has_not_is_asked_of_nobody_unless_it_is_to_be_brought() -> Result<()> {
    let workshop = Workshop::new()?;
    let (registry, name) = registry();
    let words = ["the store has no image", "--pull"];
    for attempt in 0..2 {
        judge_output(&workshop.attempt_seal(&[&name])?, Exit::Failed, &words)?;
        judge_output(&workshop.attempt_seal(&["nosuch"])?, Exit::Failed, &words)?;
        let layout = format!("oci:{}", workshop.path("nowhere").display());
        judge_output(&workshop.attempt_seal(&[&layout, "--name", "a:1"])?, Exit::Failed, &words)?;
        ensure!(registry.requests().is_empty(), "something was asked for");
        if attempt == 0 {
            // The same with a store as without one.
            workshop.sealpack.run(["pull", &images::busybox()?.source(), "--name", "busybox"])?;
        }
    }
    let sealed = workshop.seal(&[&name, "--pull", "--push"])?;
    ensure!(sealed["manifest"] == digest_of(&image(1).manifest).as_str(), "{sealed:#}");
    workshop.is_sealed(&[&name])
}

#[test]
fn what_is_brought_to_be_sealed_is_what_the_name_means_now_or_what_its_digest_says() -> Result<()> {
    let workshop = Workshop::new()?;
    let (registry, name) = registry();
    workshop.sealpack.run(["pull", &name])?;
    registry.put_image("app", "1", &image(2));
    let [first, second] = [1, 2].map(|number| digest_of(&image(number).manifest));
    let manifest = |arguments: &[&str]| -> Result<String> {
        let sealed = workshop.seal(arguments)?;
        Ok(sealed["manifest"].as_str().context("no manifest")?.to_owned())
    };
    ensure!(manifest(&[&name])? == first, "not what the store has");
    ensure!(manifest(&[&name, "--pull"])? == second, "not what the name means now");
    let by_digest = format!("{}/app@{first}", registry.host());
    ensure!(manifest(&[&by_digest, "--pull", "--name", &name])? == first, "not what the digest says");
    Ok(())
}

/// It went out with a remark, which `--quiet` left out, and with status 0.
#[test]
fn a_seal_of_what_the_name_means_no_more_is_published_only_on_purpose() -> Result<()> {
    let workshop = Workshop::new()?;
    let (registry, name) = registry();
    workshop.sealpack.run(["pull", &name])?;
    registry.put_image("app", "1", &image(2));
    let [first, second] = [1, 2].map(|number| digest_of(&image(number).manifest));
    let words = [&format!("is another image there now, {second}"), first.as_str(), "--stale", "--pull"];
    for quiet in [&[][..], &["--quiet"]] {
        let output = workshop.attempt_seal(&[&[name.as_str(), "--push"], quiet].concat())?;
        judge_output(&output, Exit::Failed, &words)?;
    }
    let shown = workshop.sealpack.json(["inspect", &name])?;
    ensure!(shown["seal"].is_null(), "it was signed all the same: {shown:#}");
    workshop.seal(&[&name])?;
    let push = |more: &[&str]| workshop.sealpack.attempt(["seal", "push", &name].iter().chain(more));
    judge_output(&push(&[])?, Exit::Failed, &words)?;
    judge_output(&push(&["--quiet"])?, Exit::Failed, &words)?;
    ensure!(registry.requests().iter().all(|request| request.method != "PUT"), "something was published");
    let output = push(&["--stale"])?;
    let said = String::from_utf8(output.stderr)?;
    ensure!(output.status.success() && said.contains("is another image there now"), "{said}");
    workshop.seal(&[&name, "--replace", "--push", "--stale"])?;
    // By its digest the first one is what it always was, and an index that has it will do.
    let by_digest = format!("{}/app@{first}", registry.host());
    workshop.is_sealed(&[&by_digest])?;
    let index =
        Image::index(&[("linux/s390x", &image(2)), (&format!("linux/{}", architecture()), &image(1))]);
    registry.put_manifest("app", "1", "application/vnd.oci.image.index.v1+json", index);
    ensure!(push(&[])?.status.success(), "an index that has the image is another image");
    registry.put_image("app", "1", &image(1));
    ensure!(push(&[])?.status.success(), "the image itself is another image");
    Ok(())
}

#[test]
fn a_layout_whose_name_means_another_image_gets_no_seal_either() -> Result<()> {
    let workshop = Workshop::new()?;
    let (_registry, name) = registry();
    let layout = format!("oci:{}:app", workshop.path("layout").display());
    workshop.copy(&[&name, &layout])?;
    workshop.seal(&[&name, "--pull"])?;
    workshop.copy(&[&images::busybox()?.source(), &layout])?;
    let push = |more: &[&str]| {
        workshop.sealpack.attempt(["seal", "push", &name, "--to", &layout].iter().chain(more))
    };
    judge_output(&push(&[])?, Exit::Failed, &["is another image there now", "--stale"])?;
    ensure!(push(&["--stale"])?.status.success(), "--stale is not enough");
    Ok(())
}
