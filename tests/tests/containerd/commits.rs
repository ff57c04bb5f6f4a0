//! Layers that containerd's clients make of what a container has changed.

use crate::{can_run, registry};
use anyhow::{Context, Result, ensure};
use sealpack_tests::command::run;
use sealpack_tests::containerd::{Engine, Served, images};
use sealpack_tests::registry::Registry;
use std::time::{Duration, Instant};

/// What is changed: a file of the image goes, one comes, one is renamed, and one has another mode.
const CHANGE: &str = "rm /greeting; echo changed >/added; mkdir /made; mv /made /moved; chmod 700 /tmp";

/// Waits until a container's command has ended.
fn wait(served: &Served, container: &str) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let tasks = served.containerd().said(["tasks", "list"])?;
        let line = tasks.lines().find(|line| line.starts_with(container)).context("there is no such task")?;
        if line.ends_with("STOPPED") {
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "{tasks}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Has containerd collect its garbage now: it does by itself after a hundred changes, and takes what was made a moment before.
fn collect(served: &Served, registry: &Registry) -> Result<()> {
    let image = format!("{}/{}", registry.host(), images::PAUSE);
    served.containerd().pull(&image)?;
    served.containerd().said(["images", "remove", "--sync", &image]).map(drop)
}

/// Commits what a container changed, and looks at it through a view, and through a diff that containerd makes of it.
fn commits(engine: Engine) -> Result<()> {
    if !can_run() {
        return Ok(());
    }
    let registry = registry()?;
    let image = format!("{}/shell:1", registry.host());
    let served = Served::start(engine)?;
    let containerd = served.containerd();
    containerd.pull(&image)?;
    containerd.said(containerd.run_arguments(&["--detach"], &image, "change", &["/bin/sh", "-c", CHANGE]))?;
    wait(&served, "change")?;
    containerd.said(["tasks", "delete", "change"])?;
    collect(&served, &registry)?;
    let snapshots = |arguments: &[&str]| {
        containerd.said(["snapshots", "--snapshotter", "sealpack"].iter().chain(arguments))
    };
    let diff = snapshots(&["diff", "--media-type", "application/vnd.oci.image.layer.v1.tar", "change"])?;
    for name in ["added", ".wh.greeting", "moved", "tmp"] {
        ensure!(diff.contains(name), "{name:?} is not in the diff");
    }
    ensure!(!diff.contains("busybox"), "what was not changed is in the diff");
    // Labelled, or containerd's collector takes what nothing refers to.
    snapshots(&["label", "change", "containerd.io/gc.root=test"])?;
    containerd.said(["containers", "delete", "--keep-snapshot", "change"])?;
    snapshots(&["commit", "changed", "change"])?;
    snapshots(&["label", "changed", "containerd.io/gc.root=test"])?;
    let place = containerd.enclosure().data("look");
    std::fs::create_dir_all(&place)?;
    let mount = snapshots(&["view", "--target", &place.display().to_string(), "look", "changed"])?;
    ensure!(mount.contains("overlay"), "{mount}");
    let look =
        "cat added; ls -d moved; test ! -e greeting; test ! -e made; stat -c %a tmp; bin/busybox id -u";
    let script = format!("{mount}\ncd {}\n{look}\numount -l .", place.display());
    let output = run(containerd.enclosure().command("sh").args(["-euc", &script]))?;
    assert_eq!(String::from_utf8_lossy(&output.stdout), "changed\nmoved\n700\n0\n");
    // The view is containerd's collector's: nothing refers to it.
    Ok(())
}

#[test]
fn what_a_container_changed_is_committed_with_containerd_1_6() -> Result<()> {
    commits(Engine::V1_6)
}

#[test]
fn what_a_container_changed_is_committed_with_containerd_1_7() -> Result<()> {
    commits(Engine::V1_7)
}

#[test]
fn what_a_container_changed_is_committed_with_containerd_2() -> Result<()> {
    commits(Engine::V2)
}
