//! The harness itself, with snapshotters that containerd has: what fails elsewhere is then not for its sake.

use crate::{can_run, registry};
use anyhow::{Result, ensure};
use sealpack_tests::containerd::{Containerd, Engine, Runtime, Setting, suite};
use std::fs;
use std::path::Path;

/// Pulls an image, runs it and removes it.
fn works(engine: Engine, runtime: Runtime) -> Result<()> {
    if !can_run() {
        return Ok(());
    }
    works_with(engine, Setting::stock("overlayfs").runtime(runtime))
}

fn works_with(engine: Engine, setting: Setting) -> Result<()> {
    let registry = registry()?;
    let image = format!("{}/shell:1", registry.host());
    let containerd = Containerd::start(engine, setting)?;
    containerd.pull(&image)?;
    assert_eq!(containerd.snapshots()?.len(), 2);
    let said = containerd.run(&image, "one", &["/bin/sh", "-c", "cat greeting; id -u"])?;
    assert_eq!(said, "hello from a layer\n0");
    assert_eq!(containerd.snapshots()?.len(), 2, "the container's is gone");
    containerd.said(["images", "remove", "--sync", &image])?;
    assert_eq!(containerd.snapshots()?, [""; 0]);
    Ok(())
}

#[test]
fn containerd_1_6_runs_containers_by_runc() -> Result<()> {
    works(Engine::V1_6, Runtime::Runc)
}

#[test]
fn containerd_1_7_runs_containers_by_runc() -> Result<()> {
    works(Engine::V1_7, Runtime::Runc)
}

#[test]
fn containerd_2_runs_containers_by_runc() -> Result<()> {
    works(Engine::V2, Runtime::Runc)
}

#[test]
fn containerd_1_6_runs_containers_by_crun() -> Result<()> {
    works(Engine::V1_6, Runtime::Crun)
}

#[test]
fn containerd_1_7_runs_containers_by_crun() -> Result<()> {
    works(Engine::V1_7, Runtime::Crun)
}

#[test]
fn containerd_2_runs_containers_by_crun() -> Result<()> {
    works(Engine::V2, Runtime::Crun)
}

#[test]
fn containerd_2_runs_containers_of_its_own_erofs_images() -> Result<()> {
    if !can_run() {
        return Ok(());
    }
    works_with(Engine::V2, Setting::erofs()?)
}

#[test]
fn nothing_is_left_of_containers_that_run_when_a_test_ends() -> Result<()> {
    if !can_run() {
        return Ok(());
    }
    let registry = registry()?;
    let image = format!("{}/shell:1", registry.host());
    let containerd = Containerd::start(Engine::V1_7, Setting::stock("overlayfs"))?;
    containerd.pull(&image)?;
    containerd.said(containerd.run_arguments(
        &["--detach"],
        &image,
        "stays",
        &["/bin/busybox", "sleep", "3600"],
    ))?;
    let (name, data) = (containerd.enclosure().name().to_owned(), containerd.enclosure().data(""));
    assert!(containerd.enclosure().mounts_below(&data)? > 0);
    let traces = || -> Result<Vec<String>> {
        let mut found = Vec::new();
        for entry in fs::read_dir("/proc")? {
            let line = fs::read(entry?.path().join("cmdline")).unwrap_or_default();
            let line = String::from_utf8_lossy(&line).into_owned();
            if line.contains(&name) || line.contains(&*data.to_string_lossy()) {
                found.push(line);
            }
        }
        let mounted = fs::read_to_string("/proc/self/mountinfo")?;
        found.extend(
            mounted.lines().filter(|line| line.contains(&*data.to_string_lossy())).map(str::to_owned),
        );
        let groups =
            ["", "memory", "pids", "devices"].map(|part| Path::new("/sys/fs/cgroup").join(part).join(&name));
        found.extend(groups.iter().filter(|group| group.exists()).map(|group| group.display().to_string()));
        Ok(found)
    };
    ensure!(traces()?.len() > 2, "a shim, containerd and a cgroup should be there: {:?}", traces()?);
    drop(containerd);
    assert_eq!(traces()?, [""; 0]);
    assert!(!data.exists());
    Ok(())
}

#[test]
fn containerds_own_tests_of_snapshotters_pass_with_its_own() -> Result<()> {
    if !can_run() {
        return Ok(());
    }
    let containerd = Containerd::start(Engine::V1_6, Setting::stock("overlayfs"))?;
    suite::test_stock(&containerd, "overlayfs")
}
