//! Images that the rules are against.

use crate::{can_run, registry};
use anyhow::{Result, ensure};
use sealpack_tests::command::attempt;
use sealpack_tests::containerd::{Engine, Served};

/// That `ctr` says why a container is not made, or an image is not pulled.
fn is_refused(engine: Engine, rules: &str, words: &[&str]) -> Result<()> {
    if !can_run() {
        return Ok(());
    }
    let registry = registry()?;
    let image = format!("{}/shell:1", registry.host());
    let served = Served::start(engine)?;
    served.set_rules(&rules.replace("HOST", &registry.host()))?;
    let (containerd, journald) = (served.containerd(), served.journal()?);
    let pulled = attempt(&mut containerd.ctr(containerd.pull_arguments(&image)))?;
    let mut said = String::from_utf8_lossy(&pulled.stderr).into_owned();
    if pulled.status.success() {
        let run = containerd.run_arguments(&["--rm"], &image, "one", &["/bin/true"]);
        let ran = attempt(&mut containerd.ctr(run))?;
        ensure!(!ran.status.success(), "it ran");
        said = String::from_utf8_lossy(&ran.stderr).into_owned();
    }
    let missing = words.iter().find(|word| !said.contains(**word));
    ensure!(missing.is_none(), "{missing:?} is missing in what {engine:?} says: {said}");
    let (mut bytes, mut told) = (vec![0; 1 << 16], Vec::new());
    while let Ok(size) = journald.recv(&mut bytes) {
        told.push(String::from_utf8_lossy(&bytes[..size]).into_owned());
    }
    let words = ["7ddcf3821b864a4b86baec9948eba836", "sealpack-snapshotter", "SEALPACK_REASON", "shell:1"];
    let is_told = told.iter().any(|entry| words.iter().all(|word| entry.contains(word)));
    ensure!(is_told, "the journal was told {told:?}");
    // An exception, and the same image runs.
    served.set_rules("")?;
    containerd.pull(&image)?;
    assert_eq!(containerd.run(&image, "two", &["/bin/cat", "greeting"])?, "hello from a layer");
    Ok(())
}

#[test]
fn an_image_without_a_seal_is_refused_by_name_where_the_client_says_the_name() -> Result<()> {
    let rules = "[[namespace]]\nprefix = \"HOST\"\nrequire = \"sealed\"\n";
    is_refused(Engine::V2, rules, &["shell:1", "seal"])
}

#[test]
fn where_the_client_says_no_name_the_image_is_judged_by_the_one_that_containerd_has() -> Result<()> {
    let of_registry = "[[namespace]]\nprefix = \"HOST\"\nrequire = \"sealed\"\n";
    for (engine, rules) in [(Engine::V1_6, "default = \"sealed\"\n"), (Engine::V1_7, of_registry)] {
        is_refused(engine, rules, &["shell:1", "must be sealed"])?;
    }
    Ok(())
}

/// That a container is judged by the name that it has for its image, which is also there under another one.
fn is_judged_by_its_own_name(engine: Engine) -> Result<()> {
    if !can_run() {
        return Ok(());
    }
    let registry = registry()?;
    let image = format!("{}/shell:1", registry.host());
    let served = Served::start(engine)?;
    let containerd = served.containerd();
    containerd.pull(&image)?;
    let other = "refused.example/shell:1";
    served.set_rules("[[namespace]]\nprefix = \"refused.example\"\nrequire = \"refuse\"\n")?;
    containerd.said(["images", "tag", &image, other])?;
    assert_eq!(containerd.run(&image, "one", &["/bin/cat", "greeting"])?, "hello from a layer");
    let run = containerd.run_arguments(&["--rm"], other, "two", &["/bin/cat", "greeting"]);
    let ran = attempt(&mut containerd.ctr(run))?;
    let said = String::from_utf8_lossy(&ran.stderr).into_owned();
    ensure!(!ran.status.success(), "{other} ran on {engine:?}");
    ensure!(said.contains(other) && said.contains("sealpack"), "{engine:?} says: {said}");
    Ok(())
}

#[test]
fn the_layers_of_an_image_that_may_run_do_not_let_another_run_that_may_not() -> Result<()> {
    Engine::ALL.into_iter().try_for_each(is_judged_by_its_own_name)
}
