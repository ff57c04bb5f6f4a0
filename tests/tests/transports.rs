//! The same image by every way that leads to it: layout, archives, and a real registry.

use anyhow::{Context, Result, ensure};
use sealpack_tests::command::{find, run};
use sealpack_tests::images::{self, Image};
use sealpack_tests::program::Sealpack;
use sealpack_tests::registry::Registry;
use sealpack_tests::{paths, skip};
use std::process::Command;

/// Whether a program is there; says so if not.
fn has(program: &str) -> bool {
    let found = find(program).is_some();
    if !found {
        skip(format!("{program} is not installed"));
    }
    found
}

fn digest_of(source: &str) -> Result<String> {
    let sealpack = Sealpack::new()?;
    sealpack.run(["pull", source, "--name", "image"])?;
    sealpack.image_digest("image")
}

fn skopeo_copy(image: &Image, to: &str) -> Result<()> {
    run(Command::new("skopeo").args(["copy", "--quiet", "--insecure-policy", &image.source(), to])).map(drop)
}

#[test]
fn an_archive_holds_the_same_image_as_the_layout_it_was_made_of() -> Result<()> {
    if !has("skopeo") {
        return Ok(());
    }
    // Layers of gzip only: Docker's format has no name for zstd.
    let image = images::opaque_marker_first()?;
    let expected = digest_of(&image.source())?;
    let dir = tempfile::tempdir_in(paths::fixtures())?;
    let oci = format!("oci-archive:{}", dir.path().join("oci.tar").display());
    skopeo_copy(&image, &format!("{oci}:latest"))?;
    assert_eq!(digest_of(&oci)?, expected, "OCI archive");
    let docker = format!("docker-archive:{}", dir.path().join("docker.tar").display());
    skopeo_copy(&image, &format!("{docker}:example.org/image:latest"))?;
    assert_eq!(digest_of(&docker)?, expected, "Docker archive");
    Ok(())
}

#[test]
fn a_real_registry_serves_the_same_image_in_both_formats_of_manifests() -> Result<()> {
    if !has("skopeo") || !has("docker-registry") {
        return Ok(());
    }
    // Layers of gzip only: Docker's format has no name for zstd.
    let image = images::opaque_marker_first()?;
    let expected = digest_of(&image.source())?;
    let registry = Registry::start(&paths::fixtures())?;
    registry.push(&image, "some/image:oci")?;
    run(registry.push_command(&image, "some/image:docker").args(["--format", "v2s2"]))?;
    for tag in ["oci", "docker"] {
        assert_eq!(digest_of(&format!("{}/some/image:{tag}", registry.host()))?, expected, "{tag}");
    }
    Ok(())
}

#[test]
fn a_layer_that_the_store_has_is_not_fetched_again() -> Result<()> {
    if !has("skopeo") || !has("docker-registry") {
        return Ok(());
    }
    if let Some(why) = images::why_no_debian_images() {
        skip(why);
        return Ok(());
    }
    let (python, tools) = (images::python()?, images::tools()?);
    let base = python.layer_blobs()?.swap_remove(0);
    ensure!(base.file_name() == tools.layer_blobs()?[0].file_name(), "the two images have a common base");
    let registry = Registry::start(&paths::fixtures())?;
    registry.push(&python, "demo/python:1")?;
    registry.push(&tools, "demo/tools:1")?;
    let sealpack = Sealpack::new()?;
    sealpack.run(["pull", &format!("{}/demo/python:1", registry.host()), "--name", "python"])?;
    // Whoever asks for it now gets an error.
    let digest = base.file_name().context("a blob has a name")?.to_string_lossy().into_owned();
    std::fs::remove_file(registry.blob_path(&digest)).context("the registry keeps blobs elsewhere")?;
    sealpack.run(["pull", &format!("{}/demo/tools:1", registry.host()), "--name", "tools"])?;
    assert_eq!(sealpack.image_digest("tools")?, digest_of(&tools.source())?);
    Ok(())
}

#[test]
fn the_same_pull_a_second_time_changes_no_file_of_the_store() -> Result<()> {
    let image = images::oddities()?;
    let sealpack = Sealpack::new()?;
    sealpack.run(["pull", &image.source(), "--name", "image"])?;
    let (files, digest) = (sealpack.files()?, sealpack.image_digest("image")?);
    sealpack.run(["pull", &image.source(), "--name", "image"])?;
    assert_eq!(sealpack.files()?, files);
    assert_eq!(sealpack.image_digest("image")?, digest);
    Ok(())
}
