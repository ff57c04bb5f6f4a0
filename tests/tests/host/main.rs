//! What a sealed host is made of, of a small image: `sealpack host build`, `host attach`, `host disk`, `host check`.

mod built;
mod check;
mod disk;
mod pushed;
mod refused;
mod signed;
mod upgrade;

use anyhow::{Result, ensure};
use sealpack_format::pe::Image as Program;
use sealpack_tests::host_image::HostImage;
use sealpack_tests::paths;
use sealpack_tests::program::Sealpack;
use sealpack_tests::refusal::Exit;
use sealpack_tests::schema;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

/// Somebody who makes sealed hosts: a store with a sealed image `site/host:3`, keys for packs, policies and what firmware
/// starts, and a signed policy, all in one directory in which commands run.
pub(crate) struct Workshop {
    pub(crate) sealpack: Sealpack,
    dir: tempfile::TempDir,
}

/// What is the same in all calls of `host build`.
const BUILD: [&str; 8] = [
    "host",
    "build",
    "site/host:3",
    "--policy",
    "host.p7b",
    "--certificate",
    "packs.crt",
    "--policy-cert=policy.crt",
];

impl Workshop {
    pub(crate) fn new(image: &HostImage) -> Result<Self> {
        let workshop = Self::with_pulled(image)?;
        workshop.succeeds(&[
            "seal",
            "site/host:3",
            "--key",
            "packs.key",
            "--cert",
            "packs.crt",
            "--epoch",
            "7",
        ])?;
        Ok(workshop)
    }

    /// As [`new`](Self::new), but nobody sealed the image.
    pub(crate) fn with_pulled(image: &HostImage) -> Result<Self> {
        fs::create_dir_all(paths::fixtures())?;
        let dir = tempfile::Builder::new().prefix("host-").tempdir_in(paths::fixtures())?;
        let workshop = Self { sealpack: Sealpack::new()?, dir };
        for (name, kind) in [("packs", "p256"), ("policy", "p256"), ("boot", "rsa2048"), ("ec", "p256")] {
            workshop.key(name, kind)?;
        }
        workshop.sign_policy(&["host"], "policy", "host.p7b")?;
        let source = image.layout(&workshop.path("layout"))?.source();
        workshop.succeeds(&["pull", &source, "--name", "site/host:3"])?;
        Ok(workshop)
    }

    pub(crate) fn key(&self, name: &str, kind: &str) -> Result<()> {
        let files = [format!("{name}.key"), format!("{name}.crt")];
        let arguments =
            ["key", "new", "--type", kind, "--subject", name, "--key", &files[0], "--cert", &files[1]];
        self.succeeds(&arguments).map(drop)
    }

    /// A policy that `policy new` makes with these arguments, signed with that key.
    pub(crate) fn sign_policy(&self, arguments: &[&str], key: &str, output: &str) -> Result<()> {
        let text = format!("{output}.policy");
        self.succeeds(&[&["policy", "new"], arguments, &["-o", &text]].concat())?;
        let (key, certificate) = (format!("{key}.key"), format!("{key}.crt"));
        self.succeeds(&["policy", "sign", &text, "--key", &key, "--cert", &certificate, "-o", output])
            .map(drop)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn attempt(&self, arguments: &[&str]) -> Result<Output> {
        Ok(self.sealpack.command(arguments).current_dir(self.dir.path()).output()?)
    }

    pub(crate) fn succeeds(&self, arguments: &[&str]) -> Result<String> {
        let output = self.attempt(arguments)?;
        ensure!(output.status.success(), "{arguments:?}: {}", said(&output));
        Ok(said(&output))
    }

    /// `host build` of the image with these arguments besides, which succeeds: what it prints as JSON.
    pub(crate) fn build(&self, arguments: &[&str]) -> Result<Value> {
        let output = self.attempt(&[&["--json"], &BUILD[..], arguments].concat())?;
        ensure!(output.status.success(), "{arguments:?}: {}", said(&output));
        schema::document(&output.stdout)
    }

    /// That `host build` with these arguments ends so, says these words, and leaves nothing behind.
    pub(crate) fn refuses(&self, exit: Exit, arguments: &[&str], words: &[&str]) -> Result<()> {
        let all = [&BUILD[..], &["--unsigned", "-o", "refused.efi"], arguments].concat();
        self.fails(exit, &all, words)?;
        ensure!(!self.path("refused.efi").exists(), "{arguments:?} left a file");
        Ok(())
    }

    /// That a command ends so, says these words, and leaves no file besides those that were there.
    pub(crate) fn fails(&self, exit: Exit, arguments: &[&str], words: &[&str]) -> Result<()> {
        let before = self.files()?;
        let output = self.attempt(arguments)?;
        let said = said(&output);
        ensure!(output.status.code() == Some(exit as i32), "{arguments:?}: {:?}: {said}", output.status);
        for word in words {
            ensure!(said.contains(word), "{arguments:?} does not say {word:?}: {said}");
        }
        ensure!(self.files()? == before, "{arguments:?} left something behind");
        Ok(())
    }

    pub(crate) fn read(&self, name: &str) -> Result<Vec<u8>> {
        Ok(fs::read(self.path(name))?)
    }

    fn files(&self) -> Result<Vec<PathBuf>> {
        let entries = fs::read_dir(self.dir.path())?;
        let mut files: Vec<PathBuf> =
            entries.map(|entry| Ok(entry?.path())).collect::<std::io::Result<_>>()?;
        files.sort();
        Ok(files)
    }
}

/// What a command said on both streams.
pub(crate) fn said(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    text(&output.stdout) + &text(&output.stderr)
}

/// What is in a section of a program.
pub(crate) fn section(program: &[u8], name: &str) -> Result<Vec<u8>> {
    let program = Program::parse(program)?;
    let found = program.section(name).map(<[u8]>::to_vec);
    found.ok_or_else(|| anyhow::anyhow!("there is no section {name}"))
}

/// The path as text.
pub(crate) fn text(path: &Path) -> Result<&str> {
    path.to_str().ok_or_else(|| anyhow::anyhow!("an odd path"))
}
