//! The static program, on a machine that has no package of ours.

use crate::built::{Built, why_not};
use crate::installed::registry;
use crate::machine::Machine;
use anyhow::{Context, Result, ensure};
use sealpack_tests::command::run;
use sealpack_tests::skip;
use std::fs;
use std::process::Command;

/// A host is found through systemd's module where there is one. That is a library of the machine's own C library, which a
/// static program of another version may not load: it must neither crash nor fail where other ways are left.
#[test]
fn the_static_program_finds_hosts_where_they_are_looked_for_with_systemd() -> Result<()> {
    if let Some(why) = why_not()? {
        skip(why);
        return Ok(());
    }
    let releases: &[&str] = if sealpack_tests::all() { &["bookworm", "trixie"] } else { &["bookworm"] };
    let built = Built::new()?;
    let tarball = built.file("sealpack-", "-x86_64-linux.tar.gz")?;
    for release in releases {
        let machine = Machine::new(release)?;
        let prefix = machine.path("/usr/local");
        let mut tar = Command::new("tar");
        tar.args(["--extract", "--strip-components=1", "--file"])
            .arg(&tarball)
            .arg("--directory")
            .arg(&prefix);
        run(&mut tar)?;
        ensure!(prefix.join("share/man/man1/sealpack-pull.1").exists(), "no pages");
        let registry = registry()?;
        let port = registry.host().rsplit_once(':').context("a port")?.1.to_owned();
        for hosts in ["resolve [!UNAVAIL=return] files dns", "mymachines resolve files", "resolve"] {
            fs::write(machine.path("/etc/nsswitch.conf"), format!("passwd: files\nhosts: {hosts}\n"))?;
            let image = format!("localhost:{port}/prod/app:1");
            machine
                .run(&["sealpack", "pull", "--quiet", &image])
                .with_context(|| format!("{release}, hosts: {hosts}"))?;
            machine.run(&["sealpack", "rm", &image])?;
        }
    }
    Ok(())
}
