//! What is ended in the middle of things, and begun again.

use crate::{can_run, registry};
use anyhow::Result;
use sealpack_tests::command::attempt;
use sealpack_tests::containerd::{Engine, Served};
use std::time::{Duration, Instant};

/// A container that stays.
const STAYS: [&str; 3] = ["/bin/busybox", "sleep", "3600"];

/// That the container reads its image's files. What it says goes by its exit status: `ctr` can lose what is printed.
fn reads(served: &Served) -> Result<()> {
    let script = r#"test "$(cat /greeting)" = "hello from a layer""#;
    served.containerd().said(["tasks", "exec", "--exec-id", "e", "stays", "/bin/sh", "-c", script]).map(drop)
}

/// containerd waits for some seconds before it connects anew to a socket on which nobody answered.
fn pull_again(served: &Served, image: &str) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        match served.containerd().pull(image) {
            Err(error) if Instant::now() < deadline && format!("{error:?}").contains("connection") => {
                std::thread::sleep(Duration::from_millis(500));
            }
            other => return other.map(drop),
        }
    }
}

#[test]
fn containers_go_on_when_the_snapshotter_and_containerd_are_killed() -> Result<()> {
    if !can_run() {
        return Ok(());
    }
    let registry = registry()?;
    let image = format!("{}/shell:1", registry.host());
    for engine in [Engine::V1_7, Engine::V2] {
        let mut served = Served::start(engine)?;
        served.containerd().pull(&image)?;
        let containerd = served.containerd();
        containerd.said(containerd.run_arguments(&["--detach"], &image, "stays", &STAYS))?;
        served.kill()?;
        reads(&served)?;
        let pulled = attempt(&mut served.containerd().ctr(served.containerd().pull_arguments(&image)))?;
        assert!(!pulled.status.success(), "nobody answers for its snapshots");
        served.begin()?;
        served.containerd_mut().kill()?;
        served.containerd_mut().begin()?;
        reads(&served)?;
        assert_eq!(served.containerd().snapshots()?.len(), 3);
        assert_eq!(served.mounted()?.len(), 1, "the mount is found again");
        let said = served.containerd().run(&image, "another", &["/bin/cat", "greeting"])?;
        assert_eq!(said, "hello from a layer");
        assert_eq!(served.mounted()?.len(), 1);
        served.stop()?;
    }
    Ok(())
}

#[test]
fn mounts_that_are_gone_are_made_again() -> Result<()> {
    if !can_run() {
        return Ok(());
    }
    let registry = registry()?;
    let image = format!("{}/shell:1", registry.host());
    let mut served = Served::start(Engine::V1_7)?;
    served.containerd().pull(&image)?;
    served.containerd().run(&image, "one", &["/bin/cat", "greeting"])?;
    // As after a reboot.
    served.kill()?;
    served.containerd_mut().kill()?;
    served.forget_mounts()?;
    assert_eq!(served.mounted()?.len(), 0);
    served.begin()?;
    served.containerd_mut().begin()?;
    let said = served.containerd().run(&image, "two", &["/bin/cat", "greeting"])?;
    assert_eq!(said, "hello from a layer");
    // And while everything runs.
    served.forget_mounts()?;
    let said = served.containerd().run(&image, "three", &["/bin/cat", "greeting"])?;
    assert_eq!(said, "hello from a layer");
    assert_eq!(served.mounted()?.len(), 1);
    Ok(())
}

#[test]
fn a_pull_that_is_cut_off_anywhere_works_the_second_time() -> Result<()> {
    if !can_run() {
        return Ok(());
    }
    let registry = registry()?;
    let image = format!("{}/shell:1", registry.host());
    let mut served = Served::start(Engine::V1_7)?;
    for milliseconds in [20, 60, 120, 200, 300, 450] {
        let mut pull = served.containerd().ctr(served.containerd().pull_arguments(&image)).spawn()?;
        std::thread::sleep(Duration::from_millis(milliseconds));
        served.kill()?;
        // Whatever came of it.
        pull.wait()?;
        served.begin()?;
        pull_again(&served, &image)?;
        let said = served.containerd().run(&image, "one", &["/bin/cat", "greeting"])?;
        assert_eq!(said, "hello from a layer");
        served.containerd().said(["images", "remove", "--sync", &image])?;
        assert_eq!(served.containerd().snapshots()?, [""; 0]);
    }
    Ok(())
}
