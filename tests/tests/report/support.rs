//! Images to report on, and a place for pages.

use anyhow::{Context, Result};
use sealpack_tests::command::run;
use sealpack_tests::layer_tar::{Entry, Member, archive};
use sealpack_tests::layout::Packing;
use sealpack_tests::program::Sealpack;
use sealpack_tests::{images, paths};
use std::fs;
use std::path::PathBuf;
use std::process::Command;

/// The beginning of an ELF program without a loader, which is all that is looked at.
fn program(seed: u8) -> Vec<u8> {
    let mut bytes = b"\x7fELF\x02\x01\x01".to_vec();
    bytes.resize(200, 0);
    bytes[16] = 2;
    bytes[199] = seed;
    bytes
}

/// A store with the images `one` and `two`, which share a layer and are in packs, and a key that the trust store has.
pub(crate) struct Desk {
    pub(crate) sealpack: Sealpack,
    dir: tempfile::TempDir,
}

impl Desk {
    pub(crate) fn new() -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("report-").tempdir_in(paths::fixtures())?;
        let desk = Self { sealpack: Sealpack::new()?, dir };
        let file = |path: &str, mode, seed| Entry::new(path, Member::File(program(seed))).mode(mode);
        let base = archive(&[
            Entry::new("usr/", Member::Directory),
            Entry::new("usr/bin/", Member::Directory),
            file("usr/bin/su", 0o4755, 1),
            file("usr/bin/dash", 0o755, 2),
            Entry::new("usr/notes", Member::File(vec![7; 5000])),
        ]);
        for (name, seed) in [("one", 3), ("two", 4)] {
            let packages = format!("Package: tool\nStatus: install ok installed\nVersion: 1.0-{name}\n");
            let top = archive(&[
                file(&format!("usr/bin/only-{name}"), 0o755, seed),
                Entry::new("var/lib/dpkg/status", Member::File(packages.repeat(3).into_bytes())),
            ]);
            images::at(&desk.path(name), &[(base.clone(), Packing::Gzip), (top, Packing::Gzip)])?;
            desk.pull(name, name)?;
        }
        fs::create_dir(desk.path("trust.d"))?;
        let (key, cert, trust) = (desk.text("a.key")?, desk.text("a.crt")?, desk.text("trust.d")?);
        let subject = "release <b>key</b>";
        desk.sealpack.run([
            "key",
            "new",
            "--type",
            "p256",
            "--key",
            &key,
            "--cert",
            &cert,
            "--subject",
            subject,
        ])?;
        desk.sealpack.run([
            "--trust",
            &trust,
            "trust",
            "add",
            "--cert",
            &cert,
            "--for",
            "packs,statements",
            "release",
        ])?;
        Ok(desk)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn text(&self, name: &str) -> Result<String> {
        Ok(self.path(name).to_str().context("an odd path")?.to_owned())
    }

    /// The image of the layout `layout` as `name`.
    pub(crate) fn pull(&self, layout: &str, name: &str) -> Result<()> {
        let source = images::Image::in_layout(self.path(layout), "latest").source();
        self.sealpack.run(["pull", "--objects", "packs", &source, "--name", name]).map(drop)
    }

    pub(crate) fn seal(&self, name: &str) -> Result<()> {
        let (key, cert) = (self.text("a.key")?, self.text("a.crt")?);
        self.sealpack.run(["seal", name, "--name", name, "--key", &key, "--cert", &cert]).map(drop)
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.sealpack.command(["--trust"]);
        command.arg(self.path("trust.d")).args(arguments);
        command
    }

    /// The page that `report` makes.
    pub(crate) fn report(&self, arguments: &[&str]) -> Result<String> {
        let file = self.text("report.html")?;
        run(self.command(&["report"]).args(arguments).args(["-o", &file]))?;
        Ok(fs::read_to_string(file)?)
    }
}
