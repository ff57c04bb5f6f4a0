//! The units of contrib/systemd, and what systemd does with them.

use crate::{can_run, registry};
use anyhow::{Context, Result, ensure};
use sealpack_tests::command::{attempt, find};
use sealpack_tests::containerd::{Engine, Served};
use sealpack_tests::{paths, skip};
use std::fs;
use std::process::Command;

#[test]
fn systemd_understands_the_units() -> Result<()> {
    if find("systemd-analyze").is_none() {
        skip("systemd-analyze is not installed");
        return Ok(());
    }
    let place = tempfile::tempdir()?;
    let this = std::env::current_exe()?;
    let mut units = Vec::new();
    for entry in fs::read_dir(paths::workspace().join("contrib/systemd"))? {
        let entry = entry?;
        // The rest is what is added to others' units, and what is enabled by itself.
        if !entry.path().extension().is_some_and(|kind| kind == "service" || kind == "socket") {
            continue;
        }
        // The programs need not be installed here.
        let text = fs::read_to_string(entry.path())?;
        let lines = text.lines().map(|line| match line.split_once('=') {
            Some((key @ ("ExecStart" | "ExecStop"), command)) => {
                let rest = command.split_once(' ').map(|(_, rest)| rest).unwrap_or_default();
                format!("{key}={} {rest}", this.display())
            }
            _ => line.to_owned(),
        });
        let unit = place.path().join(entry.file_name());
        fs::write(&unit, lines.collect::<Vec<_>>().join("\n"))?;
        units.push(unit);
    }
    ensure!(units.len() >= 4, "{units:?}");
    let mut verify = Command::new("systemd-analyze");
    let output = attempt(verify.args(["verify", "--man=no"]).args(&units))?;
    let said = String::from_utf8_lossy(&output.stderr);
    // What it says of other units is not about these.
    let about = said.lines().filter(|line| line.contains("sealpack"));
    // A sealed host's systemd knows it: that of Debian 13. Debian 12's does not.
    let about: Vec<&str> = about.filter(|line| !line.contains("Unknown key 'WantsMountsFor'")).collect();
    ensure!(about.is_empty(), "{about:?}");
    Ok(())
}

#[test]
fn the_snapshotter_takes_the_socket_that_systemd_has_and_leaves_it_there_when_it_stops() -> Result<()> {
    if !can_run() {
        return Ok(());
    }
    if find("systemd-socket-activate").is_none() {
        skip("systemd-socket-activate is not installed");
        return Ok(());
    }
    let registry = registry()?;
    let image = format!("{}/shell:1", registry.host());
    let mut served = Served::start_by_socket(Engine::V1_7)?;
    served.containerd().pull(&image)?;
    assert_eq!(served.containerd().run(&image, "one", &["/bin/cat", "greeting"])?, "hello from a layer");
    let socket = served.socket();
    let metrics = served.metrics()?;
    ensure!(metrics.contains("sealpack_snapshotter_snapshots"), "{metrics}");
    // With status 0, and the name is systemd's.
    served.stop()?;
    ensure!(socket.exists(), "the socket went with the program");
    let printed = served.printed();
    ensure!(printed.contains("msg=\"stopped\""), "{printed}");
    // A containerd that waits while there is no program gets its answer from the next one.
    served.begin_by_socket()?;
    served.containerd().said(["images", "remove", "--sync", &image])?;
    let left = served.containerd().snapshots()?;
    ensure!(left.is_empty(), "{left:?}");
    served.stop().context("the second one")
}
