//! What other runtimes get.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use sealpack_tests::command::{attempt, stdout};
use serde_json::Value;

use crate::support::{Desk, can_run, entries, settings};

#[test]
fn a_bundle_is_run_by_a_runtime_and_its_mount_is_the_images() -> Result<()> {
    if !can_run() {
        return Ok(());
    }
    let desk = Desk::new()?;
    let bundle = desk.dir.path().join("bundle");
    let path = bundle.to_str().context("a path")?;
    let shown = desk.sealpack.json([
        "bundle",
        "box",
        path,
        "--",
        "sh",
        "-c",
        "touch /made || echo read-only; id -u",
    ])?;
    ensure!(
        shown["config_json"] == format!("{path}/config.json") && shown["mount"]["read_write"] == false,
        "{shown:#}"
    );
    let config: Value = serde_json::from_slice(&fs::read(bundle.join("config.json"))?)?;
    ensure!(
        config["root"]["path"] == "rootfs" && config["linux"]["seccomp"]["syscalls"].is_array(),
        "{config:#}"
    );
    let name = format!("sealpack-test-{}", std::process::id());
    let said = stdout(Command::new("/usr/sbin/runc").args(["run", "--bundle", path, &name]))?;
    ensure!(said == "read-only\n0", "{said}");
    desk.sealpack.run(["umount", &format!("{path}/rootfs")])?;
    ensure!(fs::read_dir(bundle.join("rootfs"))?.count() == 0);
    Ok(())
}

#[test]
fn a_bundle_with_an_upper_directory_keeps_what_is_written() -> Result<()> {
    if !can_run() {
        return Ok(());
    }
    let desk = Desk::empty()?;
    desk.add("bare", &settings(), &entries(&[])?)?;
    let path = |name: &str| desk.dir.path().join(name).display().to_string();
    let (bundle, upper, work) = (path("bundle"), path("upper"), path("work"));
    fs::create_dir(&upper)?;
    fs::create_dir(&work)?;
    let refused = desk.sealpack.attempt(["bundle", "bare", &bundle])?;
    let errors = String::from_utf8_lossy(&refused.stderr);
    ensure!(
        refused.status.code() == Some(1) && errors.contains("/dev") && errors.contains("--upper"),
        "{errors}"
    );
    ensure!(!fs::exists(&bundle)?, "nothing stays of what was refused");
    let words = [
        "bundle",
        "bare",
        &bundle,
        "--upper",
        &upper,
        "--work",
        &work,
        "--",
        "sh",
        "-c",
        "echo kept > /made",
    ];
    desk.sealpack.run(words)?;
    let name = format!("sealpack-test-upper-{}", std::process::id());
    let ran = attempt(Command::new("/usr/sbin/runc").args(["run", "--bundle", &bundle, &name]));
    desk.sealpack.run(["umount", &format!("{bundle}/rootfs")])?;
    ensure!(ran?.status.success() && fs::read_to_string(format!("{upper}/made"))? == "kept\n");
    Ok(())
}

#[test]
fn a_bundle_without_a_mount_is_written_where_there_is_nothing_yet() -> Result<()> {
    let Ok(()) = fs::metadata("/usr/share/containers/seccomp.json").map(drop) else {
        sealpack_tests::skip("golang-github-containers-common is not installed");
        return Ok(());
    };
    let desk = Desk::new()?;
    let bundle = desk.dir.path().join("bundle");
    let path = bundle.to_str().context("a path")?;
    desk.sealpack.run(["bundle", "box", path, "--no-mount"])?;
    ensure!(fs::read_dir(bundle.join("rootfs"))?.count() == 0 && fs::exists(bundle.join("config.json"))?);
    let again = desk.sealpack.attempt(["bundle", "box", path, "--no-mount"])?;
    let errors = String::from_utf8_lossy(&again.stderr);
    ensure!(again.status.code() == Some(1) && errors.contains("is not empty"), "{errors}");
    let other = desk.dir.path().join("other");
    let refused =
        desk.sealpack.attempt(["bundle", "box", other.to_str().context("a path")?, "--", "nothing"])?;
    ensure!(refused.status.code() == Some(1) && !other.exists(), "{refused:?}");
    Ok(())
}
