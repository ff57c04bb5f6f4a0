//! Layers whose blobs have the right digest and are nothing that can be inflated, or no tar.

use crate::support::*;
use anyhow::Result;
use sealpack_test_registry::{ImageLayer, gzip};
use sealpack_tests::layer_tar::archive;
use sealpack_tests::refusal::Exit;

fn tar() -> Vec<u8> {
    archive(&[directory("opt/"), file("opt/one", &text(20, 50_000)), file("opt/two", &text(21, 200_000))])
}

fn refuses(blob: Vec<u8>, words: &[&str]) -> Result<()> {
    let layer = ImageLayer { media_type: "application/vnd.oci.image.layer.v1.tar+gzip", blob, tar: tar() };
    let mut all = vec!["layer 2", "sha256:"];
    all.extend(words);
    Case::new()?.refuses_layer(Exit::Failed, layer, &all)
}

fn refuses_zstd(blob: Vec<u8>, words: &[&str]) -> Result<()> {
    let layer = ImageLayer { media_type: "application/vnd.oci.image.layer.v1.tar+zstd", blob, tar: tar() };
    let mut all = vec!["layer 2", "sha256:"];
    all.extend(words);
    Case::new()?.refuses_layer(Exit::Failed, layer, &all)
}

fn zstd_of(bytes: &[u8]) -> Result<Vec<u8>> {
    use std::io::Write;
    let mut encoder = zstd::stream::Encoder::new(Vec::new(), 3)?;
    // So that a changed byte is noticed wherever it is.
    encoder.include_checksum(true)?;
    encoder.write_all(bytes)?;
    Ok(encoder.finish()?)
}

fn flipped(mut bytes: Vec<u8>, at: usize) -> Vec<u8> {
    bytes[at] ^= 0x55;
    bytes
}

#[test]
fn gzip_with_a_changed_byte_is_refused() -> Result<()> {
    let blob = gzip(&tar());
    let middle = blob.len() / 2;
    refuses(flipped(blob, middle), &["corrupt gzip"])
}

#[test]
fn gzip_with_a_wrong_checksum_or_length_is_refused() -> Result<()> {
    let blob = gzip(&tar());
    let length = blob.len();
    refuses(flipped(blob.clone(), length - 8), &["corrupt gzip"])?;
    refuses(flipped(blob, length - 4), &["corrupt gzip"])
}

#[test]
fn gzip_that_ends_too_early_is_refused() -> Result<()> {
    let blob = gzip(&tar());
    for kept in [5, blob.len() / 2, blob.len() - 3] {
        refuses(blob[..kept].to_vec(), &["corrupt gzip"])?;
    }
    Ok(())
}

#[test]
fn gzip_with_something_else_behind_it_is_refused() -> Result<()> {
    let words = ["corrupt gzip", "behind the end of the gzip stream", "something else"];
    refuses([gzip(&tar()), b"something else".to_vec()].concat(), &words)?;
    refuses([gzip(&tar()), zstd_of(&tar())?].concat(), &["corrupt gzip", "behind the end", "comes zstd"])?;
    refuses_zstd([zstd_of(&tar())?, gzip(&tar())].concat(), &["corrupt zstd", "behind the end", "comes gzip"])
}

#[test]
fn zstd_with_a_changed_byte_is_refused() -> Result<()> {
    let blob = zstd_of(&tar())?;
    let (middle, last) = (blob.len() / 2, blob.len() - 1);
    refuses_zstd(flipped(blob.clone(), middle), &["corrupt zstd"])?;
    refuses_zstd(flipped(blob, last), &["corrupt zstd"])
}

#[test]
fn zstd_that_ends_too_early_is_refused() -> Result<()> {
    let blob = zstd_of(&tar())?;
    for kept in [5, blob.len() / 2, blob.len() - 3] {
        refuses_zstd(blob[..kept].to_vec(), &["corrupt zstd"])?;
    }
    Ok(())
}

/// A frame may ask for a window of any size; what is asked for is memory.
#[test]
fn zstd_with_an_absurd_window_is_refused() -> Result<()> {
    // Magic, a descriptor with nothing but a window, 2^41 bytes of it, and an empty last block (RFC 8878, 3.1.1).
    let frame = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 31 << 3, 0x01, 0x00, 0x00];
    refuses_zstd(frame.to_vec(), &["corrupt zstd"])
}

#[test]
fn a_layer_of_something_else_than_tar_is_refused() -> Result<()> {
    refuses(text(22, 10_000).into_bytes(), &["tar"])?;
    refuses(gzip(text(22, 10_000).as_bytes()), &["tar"])?;
    Ok(())
}

/// No specification allows these. They were called tars that are none.
#[test]
fn layers_with_other_compressions_are_refused_by_the_name_of_these() -> Result<()> {
    for (magic, name) in [
        (&b"\xfd7zXZ\0"[..], "xz"),
        (b"BZh91AY&SY", "bzip2"),
        (b"\x04\x22\x4d\x18", "lz4"),
        (b"\x5d\0\0\x80\0", "lzma"),
        (b"\x1f\x9d\x90", "compress (.Z)"),
    ] {
        refuses([magic, &[1; 4000]].concat(), &["is compressed with", name, "tar", "gzip or zstd"])?;
    }
    Ok(())
}

#[test]
fn a_layer_that_is_packed_twice_is_refused() -> Result<()> {
    refuses(gzip(&gzip(&tar())), &["tar"])
}
