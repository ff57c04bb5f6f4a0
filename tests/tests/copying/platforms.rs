//! Images for several platforms: copied whole, and sealed one by one.

use super::Workshop;
use anyhow::{Context, Result, ensure};
use sealpack_test_registry::{Image, ImageLayer, Registry, digest_of};
use sealpack_tests::layer_tar::{Entry, Member, archive};
use serde_json::Value;

const INDEX: &str = "application/vnd.oci.image.index.v1+json";

fn image(platform: &str) -> Image {
    let file = Entry::new("which", Member::File(platform.repeat(100).into_bytes()));
    Image::new(platform, vec![ImageLayer::gzip(&archive(&[file]))])
}

/// A registry with an index of two images and an attestation at `app:1`; the index's bytes.
fn registry() -> (Registry, Vec<u8>) {
    let registry = Registry::start();
    let [amd, arm] = ["linux/amd64", "linux/arm64"].map(image);
    let attestation = Image::new("unknown/unknown", vec![]);
    for (tag, image) in [("amd", &amd), ("arm", &arm), ("attestation", &attestation)] {
        registry.put_image("app", tag, image);
    }
    let index =
        Image::index(&[("linux/amd64", &amd), ("linux/arm64", &arm), ("unknown/unknown", &attestation)]);
    registry.put_manifest("app", "1", INDEX, index.clone());
    (registry, index)
}

fn digests(sealed: &Value) -> Result<Vec<&str>> {
    let sealed = sealed["images"].as_array().context("no list")?;
    sealed.iter().map(|one| one["manifest"].as_str().context("no manifest")).collect()
}

#[test]
fn every_platform_is_sealed_for_the_tag_with_one_epoch() -> Result<()> {
    let (registry, _) = registry();
    let workshop = Workshop::new()?;
    let name = format!("{}/app:1", registry.host());
    let sealed = workshop.seal(&[&name, "--all-platforms", "--push"])?;
    let expected = ["linux/amd64", "linux/arm64"].map(|platform| digest_of(&image(platform).manifest));
    ensure!(digests(&sealed)? == expected, "{sealed:#}");
    let one = |number: usize, field: &str| sealed["images"][number][field].clone();
    let statement = |number: usize, field: &str| one(number, "seal")[field].clone();
    ensure!(
        statement(0, "epoch") == statement(1, "epoch") && statement(0, "created") == statement(1, "created"),
        "{sealed:#}"
    );
    ensure!(statement(0, "names") == Value::from(vec![name.as_str()]), "{sealed:#}");
    ensure!([one(0, "platform"), one(1, "platform")] == ["linux/amd64", "linux/arm64"], "{sealed:#}");
    ensure!(one(0, "published")["fallback_tag"].is_null(), "{sealed:#}");
    for platform in ["linux/amd64", "linux/arm64"] {
        workshop.is_sealed(&["--platform", platform, &name])?;
    }
    // Again, with what is there: the same statements.
    let again = workshop.seal(&[&name, "--all-platforms"])?;
    ensure!(again["images"][0]["seal"]["epoch"] == statement(0, "epoch"), "{again:#}");
    Ok(())
}

#[test]
fn a_copy_of_all_platforms_is_the_same_index_with_all_seals() -> Result<()> {
    let (from, index) = registry();
    let to = Registry::start();
    let workshop = Workshop::new()?;
    let [name, copy] = [&from, &to].map(|registry| format!("{}/app:1", registry.host()));
    workshop.seal(&[&name, "--name", &name, "--name", &copy, "--all-platforms", "--push"])?;
    let copied = workshop.copy(&["--all-platforms", &name, &copy])?;
    ensure!(copied["manifests"] == 4 && copied["referrers"] == 2, "{copied:#}");
    ensure!(copied["digest"] == digest_of(&index).as_str(), "{copied:#}");
    ensure!(to.manifest("app", "1") == Some(index), "the index has changed");
    for platform in ["linux/amd64", "linux/arm64"] {
        workshop.is_sealed(&["--platform", platform, &copy])?;
    }
    Ok(())
}

#[test]
fn one_platform_is_copied_as_it_is() -> Result<()> {
    let (from, _) = registry();
    let to = Registry::start();
    let workshop = Workshop::new()?;
    let [name, copy] = [&from, &to].map(|registry| format!("{}/app:1", registry.host()));
    let copied = workshop.copy(&["--platform", "linux/arm64", &name, &copy])?;
    ensure!(copied["digest"] == digest_of(&image("linux/arm64").manifest).as_str(), "{copied:#}");
    ensure!(to.manifest("app", "1") == Some(image("linux/arm64").manifest), "another image");
    Ok(())
}
