//! What the store has lost, and containerd still has.

use crate::{can_run, registry};
use anyhow::{Context, Result, ensure};
use sealpack_tests::command::attempt;
use sealpack_tests::containerd::{Engine, Served};
use std::fs;
use std::time::{Duration, Instant};

/// Ends the snapshotter and has the store lose all packs.
fn lose_packs(served: &mut Served) -> Result<()> {
    served.stop()?;
    served.forget_mounts()?;
    let packs = served.store().join("packs/sha256");
    for entry in fs::read_dir(&packs)? {
        fs::remove_file(entry?.path())?;
    }
    Ok(())
}

/// Waits until the snapshotter has said so.
fn has_said(served: &Served, words: &str) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !served.printed().contains(words) {
        ensure!(Instant::now() < deadline, "it does not say {words:?}\n{}", served.printed());
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

#[test]
fn layers_that_the_store_has_lost_come_back_from_containerds_blobs() -> Result<()> {
    if !can_run() {
        return Ok(());
    }
    let registry = registry()?;
    let image = format!("{}/shell:1", registry.host());
    let mut served = Served::start(Engine::V1_7)?;
    served.containerd().pull(&image)?;
    let packs = served.packs()?;
    ensure!(!packs.is_empty(), "there is nothing to lose");
    lose_packs(&mut served)?;
    served.begin()?;
    has_said(&served, "has layers again that were lost")?;
    assert_eq!(served.packs()?, packs, "the same bytes");
    assert_eq!(served.containerd().run(&image, "one", &["/bin/cat", "greeting"])?, "hello from a layer");
    // Without the blobs the snapshot is named, and refused with what to do.
    let listed = served.containerd().said(["content", "list", "--quiet"])?;
    for line in listed.lines() {
        served.containerd().said(["content", "label", line, "containerd.io/uncompressed="])?;
    }
    lose_packs(&mut served)?;
    served.begin()?;
    has_said(&served, "layers are lost; remove the image, and pull it again")?;
    let run = served.containerd().run_arguments(&["--rm"], &image, "two", &["/bin/true"]);
    let refused = attempt(&mut served.containerd().ctr(run))?;
    let said = String::from_utf8_lossy(&refused.stderr);
    ensure!(!refused.status.success() && said.contains("has lost layers of"), "{said}");
    served.containerd().said(["images", "remove", "--sync", &image])?;
    served.containerd().pull(&image)?;
    let ran = served.containerd().run(&image, "three", &["/bin/cat", "greeting"]);
    assert_eq!(ran.context("pulled again")?, "hello from a layer");
    Ok(())
}
