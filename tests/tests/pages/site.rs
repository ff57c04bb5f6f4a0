//! Machines to type commands on: each has a store and a trust store, all have one directory to work in, and a registry.

use crate::page::{Block, Typed};
use anyhow::{Context, Result, ensure};
use sealpack_test_registry::{Image, ImageLayer, Registry};
use sealpack_tests::layer_tar::{Entry, Member, archive};
use sealpack_tests::layout::architecture;
use sealpack_tests::program::{isolate, under_test};
use sealpack_tests::{command, images, paths};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::thread::sleep;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// What the pages call the registry.
const REGISTRY: &str = "registry.example.org";

/// Directories of the pages that each machine has for itself.
const OWN: [&str; 3] = ["/var/lib", "/etc/sealpack", "/mnt"];

pub(crate) struct Site {
    dir: tempfile::TempDir,
    registry: Registry,
    /// The second in which something was sealed last.
    sealed: u64,
}

impl Site {
    /// With the images that the pages speak of in the registry.
    pub(crate) fn new() -> Result<Self> {
        fs::create_dir_all(paths::fixtures())?;
        let dir = tempfile::Builder::new().prefix("site-").tempdir_in(paths::fixtures())?;
        fs::create_dir(dir.path().join("bin"))?;
        symlink(under_test()?, dir.path().join("bin/sealpack"))?;
        fs::create_dir(dir.path().join("work"))?;
        let site = Self { dir, registry: Registry::start(), sealed: 0 };
        site.fill()?;
        Ok(site)
    }

    fn fill(&self) -> Result<()> {
        let made = |content: &[u8]| {
            let entries = [
                Entry::new("./tool", Member::File(content.to_vec())).mode(0o755),
                Entry::new("./more", Member::File(vec![7; 4096])),
            ];
            Image::new(&format!("linux/{}", architecture()), vec![ImageLayer::gzip(&archive(&entries))])
        };
        self.registry.put_image("build/app", "2", &made(b"#!/bin/sh\necho 2\n"));
        self.registry.put_image("prod/tool", "1", &made(b"#!/bin/sh\necho 1\n"));
        let busybox = images::busybox()?.source();
        let copy = format!("sealpack copy {busybox} {REGISTRY}/prod/app:1");
        let copied = self.type_on("builder", &copy)?;
        ensure!(copied.status.success(), "{}", said(&copied));
        Ok(())
    }

    fn machine(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A text of a page as it is on that machine.
    fn here(&self, machine: &str, text: &str) -> String {
        let own = |text: String, place: &str| {
            text.replace(place, &format!("{}{place}", self.machine(machine).display()))
        };
        OWN.into_iter().fold(text.replace(REGISTRY, &self.registry.host()), own)
    }

    /// Does what the pages' blocks say, in their order.
    ///
    /// # Errors
    /// If a command ends otherwise than its page says, or does not print what stands there.
    pub(crate) fn follow(&mut self, blocks: &[Block]) -> Result<()> {
        for block in blocks {
            match block {
                Block::Commands { machine, commands } => {
                    commands.iter().try_for_each(|typed| self.enter(machine, typed))?;
                }
                Block::File { machine, path, text } => {
                    let path = self.dir.path().join("work").join(self.here(machine, path));
                    fs::create_dir_all(
                        path.parent().context("it is below the work directory, or absolute")?,
                    )?;
                    fs::write(&path, self.here(machine, text))?;
                }
                Block::Pipeline { .. } | Block::NotRun { .. } => {}
            }
        }
        Ok(())
    }

    fn enter(&mut self, machine: &str, typed: &Typed) -> Result<()> {
        let seals = typed.text.starts_with("sealpack seal ");
        if seals {
            self.wait_for_a_later_second();
        }
        let output = self.type_on(machine, &typed.text)?;
        if seals {
            self.sealed = now();
        }
        let said = said(&output);
        let status = output.status.code();
        ensure!(status == Some(typed.status), "on {machine}: {}: {status:?}\n{said}", typed.text);
        let mut lines = said.lines().map(str::trim);
        for line in &typed.prints {
            let line = self.here(machine, line);
            ensure!(lines.any(|said| said == line), "on {machine}: {}: no {line:?} in\n{said}", typed.text);
        }
        Ok(())
    }

    /// Epochs are seconds, and of two images that are sealed for one name in the same second none is the later one.
    fn wait_for_a_later_second(&self) {
        while now() <= self.sealed {
            sleep(Duration::from_millis(50));
        }
    }

    /// Runs a command as a shell of the machine's root would, to its end.
    pub(crate) fn type_on(&self, machine: &str, text: &str) -> Result<Output> {
        let home = self.machine(machine);
        for place in OWN {
            fs::create_dir_all(home.join(place.trim_start_matches('/')))?;
        }
        // A trust store that is named has to be there; the usual one, which it stands for, has not.
        fs::create_dir_all(home.join("etc/sealpack/trust.d"))?;
        let path = std::env::var("PATH").context("there is a path")?;
        let mut shell = Command::new("sh");
        shell.args(["-euc", &self.here(machine, text)]).current_dir(self.dir.path().join("work"));
        isolate(&mut shell);
        shell.env("HOME", &home).env("PATH", format!("{}:{path}", self.dir.path().join("bin").display()));
        shell.env("SEALPACK_STORE", home.join("var/lib/sealpack"));
        shell.env("SEALPACK_TRUST", home.join("etc/sealpack/trust.d"));
        command::attempt(&mut shell)
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        // What a command that failed has left mounted; else there is nothing, and umount says so.
        for machine in ["desk", "host"] {
            let _ = command::attempt(
                Command::new("umount").arg("--quiet").arg(self.machine(machine).join("mnt")),
            );
        }
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// All that a command printed.
pub(crate) fn said(output: &Output) -> String {
    [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text).into_owned()).concat()
}
