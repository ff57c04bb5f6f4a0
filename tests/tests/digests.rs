//! The digests of metadata images, compared with composefs-rs's for the same images.

use anyhow::Result;
use sealpack_tests::images::{self, Image};
use sealpack_tests::oracle::{Algorithm, Cfsctl};
use sealpack_tests::program::Sealpack;
use sealpack_tests::skip;

/// Pulls with both programs and compares, with both algorithms.
fn compare(build: impl FnOnce() -> Result<Image>) -> Result<()> {
    let Some(cfsctl) = Cfsctl::installed() else {
        skip("composefs-rs's cfsctl is not installed (`cargo xtask oracle` does it)");
        return Ok(());
    };
    let image = build()?;
    for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
        let sealpack = Sealpack::new()?;
        sealpack.run(["pull", "--digest", algorithm.name(), &image.source(), "--name", "image"])?;
        let (ours, theirs) = (sealpack.image_digest("image")?, cfsctl.image_digest(&image, algorithm)?);
        assert_eq!(ours, theirs, "{} with {}", image.dir().display(), algorithm.name());
    }
    Ok(())
}

/// As [`compare`], for an image that needs mmdebstrap.
fn compare_debian(build: impl FnOnce() -> Result<Image>) -> Result<()> {
    if let Some(why) = images::why_no_debian_images() {
        skip(why);
        return Ok(());
    }
    compare(build)
}

fn digest(image: &Image, algorithm: Algorithm) -> Result<String> {
    let sealpack = Sealpack::new()?;
    sealpack.run(["pull", "--digest", algorithm.name(), &image.source(), "--name", "image"])?;
    sealpack.image_digest("image")
}

#[test]
fn an_image_of_python_on_debian_has_the_digests_that_composefs_rs_computes() -> Result<()> {
    compare_debian(images::python)
}

#[test]
fn an_image_of_small_tools_on_debian_has_the_digests_that_composefs_rs_computes() -> Result<()> {
    compare_debian(images::tools)
}

#[test]
fn an_image_with_file_capabilities_has_the_digests_that_composefs_rs_computes() -> Result<()> {
    compare_debian(images::capabilities)
}

#[test]
fn an_image_with_every_kind_of_file_has_the_digests_that_composefs_rs_computes() -> Result<()> {
    compare(images::oddities)
}

#[test]
fn the_digest_does_not_depend_on_how_the_layers_are_packed() -> Result<()> {
    let whole = digest(&images::oddities()?, Algorithm::Sha256)?;
    assert_eq!(digest(&images::oddities_in_pieces()?, Algorithm::Sha256)?, whole);
    Ok(())
}

#[test]
fn an_opaque_marker_hides_only_what_is_in_lower_layers_wherever_it_stands_in_its_own() -> Result<()> {
    let marker_first = digest(&images::opaque_marker_first()?, Algorithm::Sha256)?;
    assert_eq!(digest(&images::opaque_marker_last()?, Algorithm::Sha256)?, marker_first);
    Ok(())
}

#[test]
fn a_file_in_a_directory_that_no_member_names_is_kept() -> Result<()> {
    let sealpack = Sealpack::new()?;
    sealpack.run(["pull", &images::gaps()?.source(), "--name", "image"])?;
    for (path, text) in [("/usr/lib/deep/file", "found"), ("/other/file", "found too")] {
        assert_eq!(sealpack.run(["cat", "image", path])?.stdout, text.as_bytes());
    }
    Ok(())
}
