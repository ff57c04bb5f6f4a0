//! Blobs that are not what their descriptors say, from a layout.

use crate::support::*;
use anyhow::{Context, Result};
use sealpack_test_registry::{Image, ImageLayer, digest_of};
use sealpack_tests::layer_tar::archive;
use sealpack_tests::refusal::Exit;
use std::fs;
use std::path::{Path, PathBuf};

/// Two layers, both new to the store that has [`good_image`].
fn two_layers() -> Image {
    let lower = archive(&[directory("usr/"), file("usr/lower", &text(10, 20_000))]);
    let upper = archive(&[directory("opt/"), file("opt/upper", &text(11, 20_000))]);
    image(vec![ImageLayer::gzip(&lower), ImageLayer::gzip(&upper)])
}

/// Pulls [`two_layers`] after `damage` was done to one of its blobs in the layout.
fn refuses_damage(
    exit: Exit,
    which: fn(&Image) -> &Vec<u8>,
    damage: impl FnOnce(&Path) -> Result<()>,
    words: &[&str],
) -> Result<()> {
    let (case, image) = (Case::new()?, two_layers());
    let dir = case.directory("layout")?;
    write_layout(&dir, &image)?;
    damage(&blob_path(&dir, &digest_of(which(&image))))?;
    case.sealpack.refuses(exit, ["pull", &layout_source(&dir), "--name", "bad"], words)
}

fn upper_layer(image: &Image) -> &Vec<u8> {
    &image.layers[1].blob
}

fn config(image: &Image) -> &Vec<u8> {
    &image.config
}

fn manifest(image: &Image) -> &Vec<u8> {
    &image.manifest
}

fn truncate(path: &Path) -> Result<()> {
    let bytes = fs::read(path)?;
    Ok(fs::write(path, &bytes[..bytes.len() - 10])?)
}

fn lengthen(path: &Path) -> Result<()> {
    let mut bytes = fs::read(path)?;
    bytes.extend([0; 10]);
    Ok(fs::write(path, bytes)?)
}

/// Changes a byte where neither JSON nor gzip takes notice: in the middle of a text, of the header's time.
fn falsify(path: &Path) -> Result<()> {
    let mut bytes = fs::read(path)?;
    let at = if bytes.starts_with(&[0x1f, 0x8b]) {
        5
    } else {
        find(&bytes, b"amd64").or(find(&bytes, b"a")).context("a letter")?
    };
    bytes[at] ^= 1;
    Ok(fs::write(path, bytes)?)
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

#[test]
fn a_truncated_layer_is_refused() -> Result<()> {
    refuses_damage(Exit::Refused, upper_layer, truncate, &["blobs/sha256/", "bytes", "descriptor says"])
}

#[test]
fn an_oversized_layer_is_refused() -> Result<()> {
    refuses_damage(Exit::Refused, upper_layer, lengthen, &["blobs/sha256/", "bytes", "descriptor says"])
}

#[test]
fn a_layer_with_another_digest_is_refused() -> Result<()> {
    let expected = digest_of(upper_layer(&two_layers()));
    refuses_damage(Exit::Refused, upper_layer, falsify, &["layer 2", &expected, "has the digest sha256:"])
}

#[test]
fn a_truncated_oversized_or_falsified_config_is_refused() -> Result<()> {
    let digest = digest_of(config(&two_layers()));
    let hex = digest.trim_start_matches("sha256:");
    refuses_damage(Exit::Refused, config, truncate, &[hex, "bytes", "descriptor says"])?;
    refuses_damage(Exit::Refused, config, lengthen, &[hex, "bytes", "descriptor says"])?;
    refuses_damage(Exit::Refused, config, falsify, &[&digest, "has the digest sha256:"])
}

#[test]
fn a_truncated_oversized_or_falsified_manifest_is_refused() -> Result<()> {
    let digest = digest_of(manifest(&two_layers()));
    let hex = digest.trim_start_matches("sha256:");
    refuses_damage(Exit::Refused, manifest, truncate, &[hex, "bytes", "descriptor says"])?;
    refuses_damage(Exit::Refused, manifest, lengthen, &[hex, "bytes", "descriptor says"])?;
    refuses_damage(Exit::Refused, manifest, falsify, &[&digest, "has the digest sha256:"])
}

#[test]
fn a_missing_blob_is_named() -> Result<()> {
    for which in [upper_layer, config, manifest] {
        let digest = digest_of(which(&two_layers()));
        refuses_damage(Exit::Failed, which, |path| Ok(fs::remove_file(path)?), &["has no blob", &digest])?;
    }
    Ok(())
}

#[test]
fn a_blob_that_is_no_file_is_refused_without_waiting_for_it() -> Result<()> {
    let fifo = |path: &Path| {
        fs::remove_file(path)?;
        rustix::fs::mknodat(rustix::fs::CWD, path, rustix::fs::FileType::Fifo, 0o644.into(), 0)?;
        Ok(())
    };
    refuses_damage(Exit::Failed, upper_layer, fifo, &["blobs/sha256/", "not a regular file"])?;
    let directory = |path: &Path| {
        fs::remove_file(path)?;
        Ok(fs::create_dir(path)?)
    };
    refuses_damage(Exit::Failed, upper_layer, directory, &["blobs/sha256/", "not a regular file"])
}

#[test]
fn a_blob_that_may_not_be_read_is_named_with_the_reason() -> Result<()> {
    let circle = |path: &Path| {
        fs::remove_file(path)?;
        Ok(std::os::unix::fs::symlink(path, path)?)
    };
    refuses_damage(Exit::Failed, upper_layer, circle, &["blobs/sha256/", "symbolic links"])
}

#[test]
fn a_layer_that_does_not_unpack_to_its_diff_id_is_refused() -> Result<()> {
    let (said, sent) = (archive(&[file("a", &text(12, 3000))]), archive(&[file("a", &text(13, 3000))]));
    let layer = ImageLayer { tar: said.clone(), ..ImageLayer::gzip(&sent) };
    let words = ["layer 2", &digest_of(&said), &digest_of(&sent), "config"];
    Case::new()?.refuses_layer(Exit::Refused, layer, &words)
}

#[test]
fn two_layers_swapped_in_the_config_are_refused() -> Result<()> {
    let swapped = with_config(two_layers(), |config| {
        if let Some(diff_ids) = config["rootfs"]["diff_ids"].as_array_mut() {
            diff_ids.swap(0, 1);
        }
    })?;
    Case::new()?.refuses_image(Exit::Refused, &swapped, &["unpacks to sha256:", "config"])
}

#[test]
fn a_layer_that_the_store_has_does_not_excuse_another_that_is_wrong() -> Result<()> {
    let case = Case::new()?;
    let mut layers = good_image().layers;
    let bad = archive(&[directory("opt/"), file("opt/bad", &text(14, 3000))]);
    layers.push(ImageLayer { blob: bad[..bad.len() - 1024 - 700].to_vec(), ..ImageLayer::plain(&bad) });
    case.refuses_image(Exit::Failed, &image(layers), &["layer 2", "opt/bad", "ends in the middle"])?;
    assert_eq!(case.sealpack.run(["cat", "good", "/etc/motd"])?.stdout, text(1, 5000).as_bytes());
    Ok(())
}

/// What a bad layer shares with a good image belongs to the good one.
#[test]
fn cleaning_up_after_a_bad_layer_takes_nothing_from_a_good_image() -> Result<()> {
    let case = Case::new()?;
    let tar = archive(&[
        directory("etc/"),
        file("etc/same-as-in-good", &text(1, 5000)),
        file("etc/new", &text(15, 5000)),
        file("../bad", "x"),
    ]);
    case.refuses_layer(Exit::Failed, ImageLayer::gzip(&tar), &["layer 2", "../bad"])?;
    assert_eq!(case.sealpack.run(["cat", "good", "/etc/motd"])?.stdout, text(1, 5000).as_bytes());
    Ok(())
}

fn no_layout(change: impl FnOnce(&PathBuf) -> Result<()>, words: &[&str]) -> Result<()> {
    let case = Case::new()?;
    let dir = case.directory("layout")?;
    write_layout(&dir, &two_layers())?;
    change(&dir)?;
    case.sealpack.refuses(Exit::Failed, ["pull", &layout_source(&dir), "--name", "bad"], words)
}

#[test]
fn a_directory_that_is_no_layout_is_told_as_such() -> Result<()> {
    no_layout(|dir| Ok(fs::remove_file(dir.join("oci-layout"))?), &["oci-layout", "No such file"])?;
    no_layout(|dir| Ok(fs::remove_file(dir.join("index.json"))?), &["index.json", "No such file"])?;
    no_layout(|dir| Ok(fs::write(dir.join("index.json"), "{")?), &["index.json", "not valid"])?;
    no_layout(
        |dir| Ok(fs::write(dir.join("oci-layout"), r#"{"imageLayoutVersion":"9.0"}"#)?),
        &["9.0", "version"],
    )
}

#[test]
fn a_tag_that_a_layout_lacks_is_answered_with_those_it_has() -> Result<()> {
    let case = Case::new()?;
    let dir = case.directory("layout")?;
    write_layout(&dir, &two_layers())?;
    let source = format!("oci:{}:nope", dir.display());
    case.sealpack.refuses(Exit::Failed, ["pull", &source, "--name", "bad"], &["\"nope\"", &format!(":{TAG}")])
}
