//! Images and containers whose snapshots are sealpack's.

mod ended;
mod lost;
mod rules;
mod sealed;

use crate::{can_run, registry};
use anyhow::{Context, Result, ensure};
use sealpack_tests::command::{attempt, run};
use sealpack_tests::containerd::{Engine, Served, images};
use sealpack_tests::exposition::Exposition;
use sealpack_tests::promtool::check_metrics;
use std::fs;
use std::time::{Duration, Instant};

/// How many layers the image of a shell has.
const LAYERS: usize = 2;

/// How many of them have a pack: the other one has a small file only, which the metadata image has.
const PACKS: usize = 1;

/// Pulls an image, runs it, changes files of it in a container, and removes it.
fn works(engine: Engine) -> Result<()> {
    if !can_run() {
        return Ok(());
    }
    let registry = registry()?;
    let image = format!("{}/shell:1", registry.host());
    let served = Served::start(engine)?;
    let containerd = served.containerd();
    containerd.pull(&image)?;
    assert_eq!(containerd.snapshots()?.len(), LAYERS);
    assert_eq!(served.packs()?.len(), PACKS, "what containerd pulls is in packs");
    assert_eq!(fs::read_dir(served.store().join("snapshotter/s"))?.count(), 0, "nothing was unpacked");
    let said = containerd.run(&image, "one", &["/bin/sh", "-c", "cat greeting; id -u"])?;
    assert_eq!(said, "hello from a layer\n0");
    assert_eq!(served.mounted()?.len(), 1, "of the image, for all its containers");
    let script = "rm greeting; chmod 700 /bin/busybox; mv /bin/busybox /; /busybox ls /; /busybox id -u";
    let said = containerd.run(&image, "two", &["/bin/sh", "-c", script])?;
    assert!(!said.contains("greeting") && said.ends_with("\n0"), "{said}");
    let said = containerd.run(&image, "three", &["/bin/cat", "greeting"])?;
    assert_eq!(said, "hello from a layer", "what another container changed is its own");
    let metrics = served.metrics()?;
    for line in [
        "sealpack_snapshotter_layers_total 2".to_owned(),
        format!("sealpack_snapshotter_snapshots{{kind=\"committed\"}} {LAYERS}"),
        "sealpack_snapshotter_answers_total{call=\"Apply\",code=\"OK\"} 2".to_owned(),
    ] {
        ensure!(metrics.lines().any(|other| other == line), "{line} is missing in\n{metrics}");
    }
    let (_, body) = metrics.split_once("\r\n\r\n").context("no end of the headers")?;
    let counted = Exposition::parse(body)?;
    check_metrics(body.as_bytes())?;
    ensure!(!counted.all("sealpack_snapshotter_mounts_total", &[]).is_empty(), "{metrics}");
    containerd.said(["images", "remove", "--sync", &image])?;
    assert_eq!(containerd.snapshots()?, [""; 0]);
    assert_eq!(served.mounted()?.len(), 0);
    assert_eq!(fs::read_dir(served.store().join("chains"))?.count(), 0);
    run(&mut served.sealpack(&["gc"])?)?;
    assert_eq!(served.packs()?, [""; 0]);
    Ok(())
}

#[test]
fn containerd_1_7_runs_what_is_mounted_from_packs() -> Result<()> {
    works(Engine::V1_7)
}

#[test]
fn containerd_2_runs_what_is_mounted_from_packs() -> Result<()> {
    works(Engine::V2)
}

#[test]
fn containerd_1_6_runs_what_it_unpacked_and_then_what_is_mounted_from_packs() -> Result<()> {
    if !can_run() {
        return Ok(());
    }
    let registry = registry()?;
    let image = format!("{}/shell:1", registry.host());
    let served = Served::start(Engine::V1_6)?;
    let containerd = served.containerd();
    containerd.pull(&image)?;
    assert_eq!(containerd.snapshots()?.len(), LAYERS);
    let greets = |name: &str| -> Result<()> {
        let said = containerd.run(&image, name, &["/bin/sh", "-c", "cat greeting; id -u"])?;
        assert_eq!(said, "hello from a layer\n0");
        Ok(())
    };
    // Whether they are taken in by now or not.
    greets("one")?;
    let directories = || -> Result<usize> { Ok(fs::read_dir(served.store().join("snapshotter/s"))?.count()) };
    let deadline = Instant::now() + Duration::from_secs(60);
    while directories()? > 0 {
        ensure!(Instant::now() < deadline, "layers stay directories\n{}", served.printed());
        std::thread::sleep(Duration::from_millis(200));
        // containerd gives up the first container's snapshot only when it collects.
        containerd.said(["images", "tag", "--force", &image, "other"])?;
        containerd.said(["images", "remove", "--sync", "other"])?;
    }
    assert_eq!(served.packs()?.len(), PACKS, "{:?}\n{}", served.packs()?, served.printed());
    greets("two")?;
    containerd.said(["images", "tag", "--force", &image, "other"])?;
    containerd.said(["images", "remove", "--sync", "other"])?;
    assert_eq!(served.mounted()?.len(), 1, "that of a layer in the middle is gone");
    containerd.said(["images", "remove", "--sync", &image])?;
    assert_eq!(containerd.snapshots()?, [""; 0]);
    assert_eq!(served.mounted()?.len(), 0);
    Ok(())
}

#[test]
fn what_configure_writes_has_each_containerd_run_images_of_the_store() -> Result<()> {
    if !can_run() {
        return Ok(());
    }
    let registry = registry()?;
    let image = format!("{}/shell:1", registry.host());
    for engine in Engine::ALL {
        let served = Served::start_configured(engine)?;
        served.containerd().pull(&image)?;
        assert_eq!(served.containerd().run(&image, "one", &["/bin/cat", "greeting"])?, "hello from a layer");
        if engine != Engine::V1_6 {
            assert_eq!(served.packs()?.len(), PACKS, "{engine:?}: its layers are applied by sealpack");
        }
        // Other snapshotters go on.
        let overlayfs = ["images", "pull", "--plain-http", "--snapshotter", "overlayfs", &image];
        served.containerd().said(overlayfs)?;
        let run = ["run", "--rm", "--snapshotter", "overlayfs", &image, "two", "/bin/cat", "greeting"];
        assert_eq!(served.containerd().said(run)?, "hello from a layer");
    }
    Ok(())
}

#[test]
fn what_sealpack_pulled_is_not_fetched_by_containerd_2() -> Result<()> {
    if !can_run() {
        return Ok(());
    }
    let registry = registry()?;
    let image = format!("{}/shell:1", registry.host());
    let served = Served::start(Engine::V2)?;
    run(&mut served.sealpack(&["pull", "--objects", "packs", "--plain-http", &image])?)?;
    for blob in images::shell()?.layer_blobs()? {
        let hex = blob.file_name().context("a blob has a name")?.to_string_lossy().into_owned();
        fs::remove_file(registry.blob_path(&hex))?;
    }
    served.containerd().pull(&image)?;
    let said = served.containerd().run(&image, "one", &["/bin/cat", "greeting"])?;
    assert_eq!(said, "hello from a layer");
    assert_eq!(served.mounted()?.len(), 1);
    Ok(())
}

#[test]
fn what_containerd_pulled_is_not_fetched_by_sealpack() -> Result<()> {
    if !can_run() {
        return Ok(());
    }
    let registry = registry()?;
    let image = format!("{}/shell:1", registry.host());
    let served = Served::start(Engine::V1_7)?;
    served.containerd().pull(&image)?;
    for blob in images::shell()?.layer_blobs()? {
        let hex = blob.file_name().context("a blob has a name")?.to_string_lossy().into_owned();
        fs::remove_file(registry.blob_path(&hex))?;
    }
    run(&mut served.sealpack(&["pull", "--objects", "packs", "--plain-http", &image])?)?;
    run(&mut served.sealpack(&["fsck"])?)?;
    Ok(())
}

#[test]
fn a_layer_that_is_damaged_is_refused_by_its_digest() -> Result<()> {
    if !can_run() {
        return Ok(());
    }
    let registry = registry()?;
    let image = format!("{}/shell:1", registry.host());
    let served = Served::start(Engine::V1_7)?;
    let containerd = served.containerd();
    // As a disk does it: after containerd has fetched and checked it.
    containerd.said(["content", "fetch", "--plain-http", &image])?;
    let top = images::shell()?.layer_blobs()?.pop().context("an image has layers")?;
    let hex = top.file_name().context("a blob has a name")?.to_string_lossy().into_owned();
    let kept = containerd.enclosure().data("root/io.containerd.content.v1.content/blobs/sha256").join(&hex);
    let mut bytes = fs::read(&kept)?;
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&kept, bytes)?;
    let pulled = attempt(&mut containerd.ctr(containerd.pull_arguments(&image)))?;
    let said = String::from_utf8_lossy(&pulled.stderr);
    ensure!(!pulled.status.success() && said.contains(&hex), "{said}");
    assert_eq!(served.packs()?.len(), PACKS, "the layer below is whole");
    Ok(())
}

#[test]
fn an_image_of_127_layers_is_one_mount() -> Result<()> {
    if !can_run() {
        return Ok(());
    }
    let registry = registry()?;
    registry.push(&images::most_layers()?, "most:1")?;
    let image = format!("{}/most:1", registry.host());
    let served = Served::start(Engine::V1_7)?;
    served.containerd().pull(&image)?;
    let said = served.containerd().run(&image, "one", &["/bin/cat", "newest", "layers/1", "layers/77"])?;
    assert_eq!(said, "126\n1\n77");
    assert_eq!(served.mounted()?.len(), 1);
    Ok(())
}
