//! What a monitoring system gets.

use anyhow::{Context, Result, ensure};
use sealpack_tests::command::{attempt, is_root, run, stdout};
use sealpack_tests::exposition::Exposition;
use sealpack_tests::layer_tar::{Entry, Member, archive};
use sealpack_tests::layout::Packing;
use sealpack_tests::program::Sealpack;
use sealpack_tests::{images, paths, skip};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// A store with an image in packs, a second name for it, and the size of its pack.
fn with_image() -> Result<Sealpack> {
    let sealpack = Sealpack::new()?;
    let layer = archive(&[Entry::new("file", Member::File(vec![7; 300_000]))]);
    let dir = tempfile::tempdir_in(paths::fixtures())?;
    let image = images::at(&dir.path().join("image"), &[(layer, Packing::Gzip)])?;
    sealpack.run(["pull", "--objects", "packs", &image.source(), "--name", "one"])?;
    sealpack.run(["tag", "one", "two"])?;
    Ok(sealpack)
}

fn read(text: &[u8]) -> Result<Exposition> {
    Exposition::parse(std::str::from_utf8(text)?)
}

fn names(directory: &Path) -> Result<Vec<String>> {
    let names = fs::read_dir(directory)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
    names.collect()
}

#[test]
fn what_the_store_has_is_counted_as_prometheus_wants_it() -> Result<()> {
    let sealpack = with_image()?;
    let metrics = read(&run(&mut sealpack.command(["metrics"]))?.stdout)?;
    ensure!(metrics.value("sealpack_store_images", &[])? == 2.0, "{metrics:?}");
    let packs = fs::read_dir(sealpack.store().join("packs/sha256"))?;
    let sizes = packs.map(|pack| Ok(pack?.metadata()?.len())).collect::<Result<Vec<u64>>>()?;
    let size = sizes.iter().sum::<u64>() as f64;
    let packs = metrics.value("sealpack_store_bytes", &[("part", "packs")])?;
    ensure!(size > 300_000.0 && packs == size, "{packs} of {size}");
    ensure!(metrics.value("sealpack_store_bytes", &[("part", "objects")])? == 0.0, "{metrics:?}");
    ensure!(metrics.value("sealpack_build_info", &[("version", env!("CARGO_PKG_VERSION"))])? == 1.0);
    for part in ["store", "mounts", "host"] {
        ensure!(metrics.value("sealpack_looked_at", &[("part", part)])? == 1.0, "{part}: {metrics:?}");
    }
    // The same for other machines.
    let json = sealpack.json(["metrics"])?;
    let family = json["metrics"].as_array().context("a list")?;
    let images = family.iter().find(|family| family["name"] == "sealpack_store_images");
    ensure!(images.is_some_and(|family| family["samples"][0]["value"] == 2), "{json:#}");
    Ok(())
}

#[test]
fn a_store_that_nobody_has_pulled_into_has_no_images() -> Result<()> {
    let metrics = read(&run(&mut Sealpack::new()?.command(["metrics"]))?.stdout)?;
    ensure!(metrics.value("sealpack_store_images", &[])? == 0.0, "{metrics:?}");
    Ok(())
}

/// Who watches has to see that it is blind, and what can be looked at all the same.
#[test]
fn what_cannot_be_looked_at_is_told_and_the_rest_is_there() -> Result<()> {
    let sealpack = with_image()?;
    fs::write(sealpack.store().join("meta.json"), "{}")?;
    let output = run(&mut sealpack.command(["metrics"]))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(said.contains("note: the store is not looked at: ") && said.contains("meta.json"), "{said}");
    let metrics = read(&output.stdout)?;
    ensure!(metrics.value("sealpack_looked_at", &[("part", "store")])? == 0.0, "{metrics:?}");
    ensure!(metrics.all("sealpack_store_images", &[]).is_empty(), "{metrics:?}");
    ensure!(metrics.all("sealpack_mounts", &[]).len() == 5, "{metrics:?}");
    Ok(())
}

#[test]
fn a_file_is_replaced_whole_and_anybody_may_read_it() -> Result<()> {
    let sealpack = with_image()?;
    let place = tempfile::tempdir()?;
    let file = place.path().join("sealpack.prom");
    let path = file.to_str().context("UTF-8")?;
    fs::write(&file, "old\n")?;
    let said = stdout(&mut sealpack.command(["metrics", "--output", path]))?;
    ensure!(said.is_empty(), "{said}");
    ensure!(read(&fs::read(&file)?)?.value("sealpack_store_images", &[])? == 2.0);
    ensure!(file.metadata()?.permissions().mode() & 0o777 == 0o644);
    ensure!(names(place.path())? == ["sealpack.prom"]);
    // Where it cannot be written, the one before stays, and nothing besides.
    let lost = place.path().join("missing/sealpack.prom");
    let output = attempt(&mut sealpack.command(["metrics", "-o", lost.to_str().context("UTF-8")?]))?;
    ensure!(output.status.code() == Some(1), "{output:?}");
    ensure!(String::from_utf8_lossy(&output.stderr).contains("missing/sealpack.prom"), "{output:?}");
    ensure!(names(place.path())? == ["sealpack.prom"]);
    Ok(())
}

#[test]
fn a_mount_is_counted_at_its_level() -> Result<()> {
    if !is_root() {
        skip("mounting needs the superuser");
        return Ok(());
    }
    let sealpack = with_image()?;
    let place = tempfile::tempdir()?;
    let target = place.path().to_str().context("UTF-8")?;
    let mounted = sealpack.json(["mount", "one", target])?;
    let output = run(&mut sealpack.command(["metrics"]));
    sealpack.run(["umount", target])?;
    // Others mount, too.
    let level = mounted["level"].as_str().context("no level")?;
    ensure!(read(&output?.stdout)?.value("sealpack_mounts", &[("level", level)])? >= 1.0, "{mounted:#}");
    Ok(())
}
