//! A disk without room.

use crate::{can_run, registry};
use anyhow::{Result, ensure};
use sealpack_tests::command::{attempt, run};
use sealpack_tests::containerd::{Enclosure, Engine, Served, images, served};
use sealpack_tests::layer_tar::{Entry, Member};
use std::fs;

/// How much the store's filesystem takes, and the file in the image that is pulled: so much that it does not fit twice.
const SIZE: &str = "24m";
const FILE_BYTES: usize = 16 << 20;

/// How much is left of the filesystem when it is filled.
const LEFT_KIB: &str = "4096";

fn fill(served: &Served) -> Result<()> {
    let enclosure = served.containerd().enclosure();
    let script = "free=$(df --output=avail -k \"$1\" | tail -n 1); \
        dd if=/dev/zero of=\"$1/filler\" bs=1024 count=$((free - $2)) status=none";
    let mut fill = enclosure.command("sh");
    run(fill.args(["-euc", script, "sh"]).arg(served.store()).arg(LEFT_KIB)).map(drop)
}

#[test]
fn a_pull_onto_a_full_disk_fails_by_name_and_works_once_there_is_room() -> Result<()> {
    if !can_run() {
        return Ok(());
    }
    let registry = registry()?;
    let (enclosure, place) = (Enclosure::new()?, tempfile::tempdir()?);
    let store = served::store(&enclosure);
    fs::create_dir_all(&store)?;
    let mut mount = enclosure.command("mount");
    run(mount.args(["-t", "tmpfs", "-o", &format!("size={SIZE},mode=755"), "tmpfs"]).arg(&store))?;
    let noise = sealpack_tests::images::handmade::noise(FILE_BYTES);
    let big = images::of(&place.path().join("big"), &[Entry::new("big", Member::File(noise))])?;
    registry.push(&big, "big:1")?;
    let served = Served::start_in(enclosure, Engine::V1_7, images::PAUSE)?;
    let containerd = served.containerd();
    let (small, big) = (format!("{}/shell:1", registry.host()), format!("{}/big:1", registry.host()));
    containerd.pull(&small)?;
    fill(&served)?;
    let pulled = attempt(&mut containerd.ctr(containerd.pull_arguments(&big)))?;
    let said = String::from_utf8_lossy(&pulled.stderr);
    ensure!(!pulled.status.success(), "it was pulled onto a full disk");
    ensure!(said.contains("no space left"), "{said}\n{}", served.printed());
    // What was there is usable, and the program goes on.
    assert_eq!(containerd.run(&small, "one", &["/bin/cat", "greeting"])?, "hello from a layer");
    let mut remove = containerd.enclosure().command("rm");
    run(remove.arg(served.store().join("filler")))?;
    containerd.pull(&big)?;
    let said = containerd.run(&big, "two", &["/bin/sh", "-c", "ls -l big"])?;
    ensure!(said.contains(&FILE_BYTES.to_string()), "{said}");
    Ok(())
}
