//! UKIs published beside their images, and what is not published.

use crate::{Workshop, text};
use anyhow::{Context, Result, ensure};
use sealpack_format::boot::artifact::{UKI_ARTIFACT_TYPE, UKI_MEDIA_TYPE};
use sealpack_test_registry::{Registry, digest_of};
use sealpack_tests::host_image::HostImage;
use sealpack_tests::refusal::Exit;
use sealpack_tests::schema;
use serde_json::Value;
use std::fs;
use std::path::Path;

/// With the image in a registry too, where it is called so.
fn workshop(registry: &Registry) -> Result<(Workshop, String)> {
    let workshop = Workshop::new(&HostImage::new())?;
    let name = format!("{}/site/host:3", registry.host());
    workshop.succeeds(&["copy", &format!("oci:{}", text(&workshop.path("layout"))?), &name])?;
    Ok((workshop, name))
}

/// The manifests in an OCI layout that are UKIs.
fn ukis(layout: &Path) -> Result<Vec<Value>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(layout.join("blobs/sha256"))? {
        let Ok(document) = serde_json::from_slice::<Value>(&fs::read(entry?.path())?) else { continue };
        if document["artifactType"] == UKI_ARTIFACT_TYPE && document["layers"].is_array() {
            found.push(document);
        }
    }
    Ok(found)
}

#[test]
fn a_uki_is_a_referrer_of_its_image_and_copies_take_it_along() -> Result<()> {
    let (from, to) = (Registry::start(), Registry::start());
    let (workshop, name) = workshop(&from)?;
    let key = ["--key", "boot.key", "--cert", "boot.crt"];
    let built = workshop.build(&[&key[..], &["-o", "sealed_7+3.efi", "--push", "--to", &name]].concat())?;
    let published = &built["published"];
    ensure!(published["target"].as_str().is_some_and(|target| target.contains("site/host")), "{built:#}");
    let copied = format!("{}/other/host:3", to.host());
    workshop.succeeds(&["copy", &name, &copied])?;
    workshop.succeeds(&["copy", &copied, "oci:copied:3"])?;
    let [uki] = &ukis(&workshop.path("copied"))?[..] else { anyhow::bail!("one UKI is there") };
    let layer = &uki["layers"][0];
    let bytes = workshop.read("sealed_7+3.efi")?;
    ensure!(layer["mediaType"] == UKI_MEDIA_TYPE && layer["digest"] == digest_of(&bytes), "{uki:#}");
    ensure!(layer["annotations"]["org.opencontainers.image.title"] == "sealed_7.efi", "{uki:#}");
    ensure!(uki["subject"]["digest"] == built["manifest"], "{uki:#}");
    // The same file again is the same referrer.
    let output =
        workshop.attempt(&["--json", "host", "push", "site/host:3", "sealed_7+3.efi", "--to", &name])?;
    let again = schema::document(&output.stdout).context("host push")?;
    ensure!(again["published"]["referrer"] == published["referrer"], "{again:#}");
    Ok(())
}

#[test]
fn what_no_host_could_take_is_not_published() -> Result<()> {
    let registry = Registry::start();
    let (workshop, name) = workshop(&registry)?;
    workshop.build(&["-o", "unsigned.efi", "--unsigned"])?;
    workshop.build(&["-o", "sealed_7.efi", "--key", "boot.key", "--cert", "boot.crt"])?;
    fs::write(workshop.path("text"), "no program")?;
    let mut changed = workshop.read("sealed_7.efi")?;
    *changed.get_mut(5000).context("a byte of the kernel")? ^= 1;
    fs::write(workshop.path("changed.efi"), changed)?;
    let push = |uki: &'static str| ["host", "push", "site/host:3", uki, "--to"].map(str::to_owned);
    for (uki, exit, words) in [
        ("unsigned.efi", Exit::Failed, &["unsigned.efi: it is not signed", "host attach"][..]),
        ("changed.efi", Exit::Failed, &["changed.efi: it was changed after it was signed"]),
        ("text", Exit::Failed, &["text: it is no UKI of a sealed host", "begin with MZ", "host build"]),
    ] {
        let arguments = push(uki);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).chain([name.as_str()]).collect();
        workshop.fails(exit, &arguments, words)?;
    }
    // Another image's: beside the one that it is for, only.
    let mut other = HostImage::new();
    other.set("etc/other", "other");
    let source = other.layout(&workshop.path("other"))?.source();
    workshop.succeeds(&["pull", &source, "--name", "site/other:1"])?;
    workshop.succeeds(&["seal", "site/other:1", "--key", "packs.key", "--cert", "packs.crt"])?;
    workshop.fails(
        Exit::Refused,
        &["host", "push", "site/other:1", "sealed_7.efi", "--to", &source],
        &["sealed_7.efi: it starts the metadata image", "and the image's is", "host build"],
    )?;
    // Where the image is not, nobody would find it.
    workshop.fails(
        Exit::Failed,
        &["host", "push", "site/host:3", "sealed_7.efi", "--to", &source],
        &["has no image", "nobody would find", "sealpack copy"],
    )
}
