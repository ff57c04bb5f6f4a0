//! The tarball for 64-bit ARM, run by an emulator of its processor.

use crate::built::why_not;
use anyhow::{Context, Result, ensure};
use sealpack_tests::command::{attempt, find, run, stdout};
use sealpack_tests::layout::architecture;
use sealpack_tests::{files, images, program, skip};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What the chore says where Debian testing cannot be had, or has no such compiler at the moment.
const NO_CHROOT: &str = "the fixture image arm64 was not built";

const TARBALL: &str = "-aarch64-linux.tar.gz";

#[test]
fn on_64_bit_arm_the_same_image_becomes_the_same_bytes() -> Result<()> {
    if !sealpack_tests::all() {
        skip("programs for 64-bit ARM are made by `cargo xtask test --all`");
        return Ok(());
    }
    if let Some(why) = why_not()? {
        skip(why);
        return Ok(());
    }
    let Some(emulator) = find("qemu-aarch64") else {
        skip("qemu-aarch64, which runs programs for 64-bit ARM, is not installed");
        return Ok(());
    };
    let place = tempfile::tempdir()?;
    let made = place.path().join("made");
    let mut chore = Command::new(env!("CARGO_BIN_EXE_xtask"));
    let ended = attempt(chore.args(["package", "--arm64", "--output"]).arg(&made))?;
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    if !ended.status.success() && said.contains(NO_CHROOT) {
        skip(said.lines().last().unwrap_or_default());
        return Ok(());
    }
    ensure!(ended.status.success(), "{said}");
    let sums = fs::read_to_string(made.join("SHA256SUMS"))?;
    let name = sums.lines().find_map(|line| line.split("  ").nth(1).filter(|name| name.ends_with(TARBALL)));
    let tarball = made.join(name.with_context(|| format!("no tarball: {sums}"))?);
    let mut tar = Command::new("tar");
    tar.args(["--extract", "--strip-components=1", "--file"])
        .arg(tarball)
        .arg("--directory")
        .arg(place.path());
    run(&mut tar)?;
    for name in ["bin/sealpack", "lib/sealpack/init"] {
        let said = stdout(Command::new("readelf").arg("--file-header").arg(place.path().join(name)))?;
        ensure!(said.contains("AArch64"), "{name}: {said}");
    }
    let there = || {
        let mut command = program::start(&emulator);
        command.arg(place.path().join("bin/sealpack"));
        command
    };
    let here = || program::under_test().map(program::start);
    let said = stdout(there().arg("--version"))?;
    ensure!(said.starts_with("sealpack "), "{said}");
    let image = images::tools()?;
    for objects in ["packs", "files"] {
        let store = |on: &str| place.path().join(format!("{objects}-{on}"));
        for (mut sealpack, store) in [(here()?, store("here")), (there(), store("there"))] {
            let pull = ["pull", "--quiet", "--objects", objects, &image.source(), "--name", "tools"];
            // The image is this machine's.
            let platform = format!("linux/{}", architecture());
            run(sealpack.arg("--store").arg(store).args(pull).args(["--platform", &platform]))?;
        }
        let (one, other) = (content(&store("here"))?, content(&store("there"))?);
        ensure!(one.len() > 2 && one == other, "{:?}\n{:?}", one.keys(), other.keys());
        // Each judges what the other has made.
        run(there().arg("--store").arg(store("here")).arg("fsck"))?;
        run(here()?.arg("--store").arg(store("there")).arg("fsck"))?;
    }
    Ok(())
}

/// The files of a store that follow from the image, by their paths.
fn content(store: &Path) -> Result<BTreeMap<PathBuf, Vec<u8>>> {
    let mut found = BTreeMap::new();
    for directory in ["images", "objects", "packs", "layers"] {
        let directory = store.join(directory);
        if directory.is_dir() {
            for path in files::below(&directory)? {
                found.insert(path.strip_prefix(store)?.to_owned(), fs::read(&path)?);
            }
        }
    }
    Ok(found)
}
