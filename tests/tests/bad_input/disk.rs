//! Filesystems that are full or read-only, mounted where only the test sees them.

use crate::support::*;
use anyhow::{Context, Result, ensure};
use sealpack_test_registry::{Action, Fault, Image, ImageLayer, Registry, digest_of};
use sealpack_tests::command::{find, run};
use sealpack_tests::layer_tar::archive;
use sealpack_tests::refusal::{Exit, judge};
use sealpack_tests::skip;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Something mounted on a store's directory, until this is dropped.
struct Filesystem(PathBuf);

impl Filesystem {
    fn mount(dir: &Path, what: &[&str]) -> Result<Self> {
        std::fs::create_dir_all(dir)?;
        run(Command::new("mount").args(what).arg(dir))?;
        Ok(Self(dir.to_path_buf()))
    }
}

impl Drop for Filesystem {
    fn drop(&mut self) {
        // Goes with the namespace at the latest; here so that the directory can be removed.
        let _ = run(Command::new("umount").arg("--lazy").arg(&self.0));
    }
}

/// An image of 6 MB in many files that do not compress to nothing, and one of a few kilobytes.
fn large(layer: fn(&[u8]) -> ImageLayer) -> Image {
    let files: Vec<_> =
        (0..300).map(|number| file(&format!("large-{number}"), &text(90 + number, 20_000))).collect();
    let (lower, upper) = files.split_at(100);
    image(vec![layer(&archive(lower)), layer(&archive(upper))])
}

fn small() -> Image {
    image(vec![ImageLayer::gzip(&archive(&[file("small", &text(89, 1000))]))])
}

/// Fills the store that is on a filesystem mounted with `what`.
fn refuses_on(what: &[&str]) -> Result<()> {
    let case = Case::without_store()?;
    let _filesystem = Filesystem::mount(&case.sealpack.store(), what)?;
    case.sealpack.run(["pull", &case.layout(&good_image())?, "--name", "good"])?;
    let store = case.sealpack.store();
    let words = ["no space left", &store.to_string_lossy(), "make room"];
    // One whose blobs alone are too large, which is not begun, and one that turns out to be.
    for layer in [ImageLayer::plain, ImageLayer::gzip] {
        let source = case.layout(&large(layer))?;
        case.sealpack
            .refuses(Exit::Failed, ["pull", &source, "--name", "large"], &words)
            .context("from a layout")?;
        let registry = Registry::start();
        let source = serve(&registry, &large(layer));
        // What was fetched and is whole stays for the next pull, in the room that there is.
        let images = case.sealpack.json(["images"])?;
        judge(&mut case.sealpack.command(["pull", &source, "--name", "large"]), Exit::Failed, &words)
            .context("from a registry")?;
        ensure!(case.sealpack.json(["images"])? == images, "there is an image");
        case.sealpack.run(["gc"])?;
    }
    // There is as much room as before.
    case.sealpack.run(["pull", &case.layout(&small())?, "--name", "small"])?;
    case.sealpack.state().map(drop)
}

#[test]
fn a_disk_without_room_is_one_clear_error() -> Result<()> {
    with_own_mounts(|| refuses_on(&["-t", "tmpfs", "-o", "size=3m", "none"]))
}

#[test]
fn layers_that_were_stored_wait_for_room_for_the_others() -> Result<()> {
    with_own_mounts(|| {
        let case = Case::without_store()?;
        let store = case.sealpack.store();
        let _filesystem = Filesystem::mount(&store, &["-t", "tmpfs", "-o", "size=3m", "none"])?;
        let files: Vec<_> =
            (0..200).map(|number| file(&format!("large-{number}"), &text(90 + number, 20_000))).collect();
        let small = ImageLayer::gzip(&archive(&[file("small", &text(89, 100_000))]));
        let image = image(vec![small.clone(), ImageLayer::gzip(&archive(&files))]);
        let registry = Registry::start();
        let source = serve(&registry, &image);
        // The layer that there is no room for comes last.
        let blob = digest_of(&image.layers[1].blob);
        registry.fault(
            Fault::new(&format!("/blobs/{blob}"), Action::StallAfter(1, Duration::from_secs(2))).times(1),
        );
        judge(
            &mut case.sealpack.command(["pull", &source, "--name", "large"]),
            Exit::Failed,
            &["no space left"],
        )?;
        let fetched = |image: &ImageLayer| registry.count(&digest_of(&image.blob));
        let before = fetched(&small);
        run(Command::new("mount").args(["-o", "remount,size=30m"]).arg(&store))?;
        let pulled = case.sealpack.json(["pull", &source, "--name", "large"])?;
        ensure!(pulled["layers_known"] == 1, "{pulled}");
        ensure!(fetched(&small) == before, "the layer was fetched twice");
        case.sealpack.state().map(drop)
    })
}

#[test]
fn a_disk_without_inodes_is_one_clear_error() -> Result<()> {
    with_own_mounts(|| refuses_on(&["-t", "tmpfs", "-o", "size=30m,nr_inodes=250", "none"]))
}

#[test]
fn a_full_ext4_with_fs_verity_is_one_clear_error() -> Result<()> {
    let Some(mkfs) = find("mkfs.ext4") else {
        skip("mkfs.ext4 is not installed");
        return Ok(());
    };
    with_own_mounts(|| {
        let dir = tempfile::tempdir_in(sealpack_tests::paths::fixtures())?;
        let image = dir.path().join("ext4");
        std::fs::File::create(&image)?.set_len(6 << 20)?;
        run(Command::new(mkfs).args(["-q", "-O", "verity", "-b", "4096", "-N", "1024"]).arg(&image))?;
        refuses_on(&["-o", "loop", &image.to_string_lossy()])
    })
}

#[test]
fn a_read_only_store_can_be_read_and_says_why_it_cannot_be_written() -> Result<()> {
    with_own_mounts(|| {
        let case = Case::without_store()?;
        let _filesystem =
            Filesystem::mount(&case.sealpack.store(), &["-t", "tmpfs", "-o", "size=30m", "none"])?;
        case.sealpack.run(["pull", &case.layout(&good_image())?, "--name", "good"])?;
        run(Command::new("mount").args(["-o", "remount,ro"]).arg(case.sealpack.store()))?;
        assert_eq!(case.sealpack.run(["cat", "good", "/etc/motd"])?.stdout, text(1, 5000).as_bytes());
        let source = case.layout(&small())?;
        case.sealpack.refuses(Exit::Failed, ["pull", &source, "--name", "small"], &["read-only"])?;
        case.sealpack.refuses(Exit::Failed, ["tag", "good", "better"], &["read-only"])?;
        case.sealpack.refuses(Exit::Failed, ["rm", "good"], &["read-only"])
    })
}

#[test]
fn results_that_cannot_be_written_are_an_error() -> Result<()> {
    let case = Case::new()?;
    for arguments in
        [&["images"][..], &["ls", "-R", "good"], &["cat", "good", "/etc/motd"], &["--json", "ls", "good"]]
    {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full")?;
        let output = case.sealpack.command(arguments).stdout(full).output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {said}");
        assert!(said.contains("standard output") && said.contains("No space left"), "{arguments:?}: {said}");
    }
    Ok(())
}
