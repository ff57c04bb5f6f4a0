//! Images and their seals on their way between registries and layouts, by `sealpack copy` and by other tools.

mod archives;
mod places;
mod platforms;
mod refusals;
mod sealing;

use anyhow::{Context, Result, ensure};
use sealpack_tests::command::{find, run};
use sealpack_tests::paths;
use sealpack_tests::program::Sealpack;
use sealpack_tests::registry::Registry;
use sealpack_tests::schema;
use sealpack_tests::skip;
use serde_json::Value;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

/// Somebody who seals images, and what others need to trust the seals.
pub(crate) struct Workshop {
    pub(crate) sealpack: Sealpack,
    dir: tempfile::TempDir,
}

impl Workshop {
    pub(crate) fn new() -> Result<Self> {
        fs::create_dir_all(paths::fixtures())?;
        let dir = tempfile::Builder::new().prefix("workshop-").tempdir_in(paths::fixtures())?;
        let workshop = Self { sealpack: Sealpack::new()?, dir };
        let [key, certificate] = workshop.keys()?;
        workshop.sealpack.run(["key", "new", "--type", "p256", "--key", &key, "--cert", &certificate])?;
        for uses in ["packs", "statements"] {
            fs::create_dir_all(workshop.dir.path().join("trust").join(uses))?;
            fs::copy(&certificate, workshop.dir.path().join(format!("trust/{uses}/workshop.crt")))?;
        }
        Ok(workshop)
    }

    /// A path in a directory of its own.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn keys(&self) -> Result<[String; 2]> {
        let text = |path: PathBuf| path.to_str().map(str::to_owned).context("an odd path");
        Ok([text(self.path("seal.key"))?, text(self.path("seal.pem"))?])
    }

    /// `sealpack seal` with the workshop's key.
    pub(crate) fn attempt_seal(&self, arguments: &[&str]) -> Result<Output> {
        let [key, certificate] = self.keys()?;
        let keys = ["seal", "--key", &key, "--cert", &certificate];
        self.sealpack.attempt(keys.iter().chain(arguments))
    }

    pub(crate) fn seal(&self, arguments: &[&str]) -> Result<Value> {
        let output = self.attempt_seal(&[arguments, &["--json"]].concat())?;
        ensure!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        schema::document(&output.stdout)
    }

    /// `sealpack copy`, whose result is its JSON.
    pub(crate) fn copy(&self, arguments: &[&str]) -> Result<Value> {
        self.sealpack.json(["copy"].iter().chain(arguments))
    }

    /// A pull of a sealed image, by somebody who trusts the workshop and has nothing yet.
    pub(crate) fn attempt_pull(&self, arguments: &[&str]) -> Result<Output> {
        let trust = self.path("trust").display().to_string();
        let always = ["--json", "--trust", &trust, "pull", "--require", "sealed"];
        Sealpack::new()?.attempt(always.iter().chain(arguments))
    }

    /// That the source has an image with a seal of the workshop's that counts.
    pub(crate) fn is_sealed(&self, arguments: &[&str]) -> Result<()> {
        let output = self.attempt_pull(arguments)?;
        ensure!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        let pulled: Value = serde_json::from_slice(&output.stdout)?;
        ensure!(pulled["seal"].is_object(), "no seal was used: {pulled:#}");
        Ok(())
    }

    /// That it has an image without any.
    pub(crate) fn is_not_sealed(&self, arguments: &[&str]) -> Result<()> {
        let output = self.attempt_pull(arguments)?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.code() == Some(3), "{arguments:?}: {said}");
        Ok(())
    }
}

/// Two registries of Debian's docker-registry, which has no list of referrers; `None` where that or skopeo is missing.
pub(crate) fn registries() -> Result<Option<[Registry; 2]>> {
    for program in ["skopeo", "docker-registry"] {
        if find(program).is_none() {
            skip(format!("{program} is not installed"));
            return Ok(None);
        }
    }
    Ok(Some([Registry::start(&paths::fixtures())?, Registry::start(&paths::fixtures())?]))
}

/// `skopeo copy` between places that speak no TLS.
pub(crate) fn skopeo_copy(more: &[&str], from: &str, to: &str) -> Result<()> {
    let mut skopeo = Command::new("skopeo");
    skopeo.args([
        "copy",
        "--quiet",
        "--insecure-policy",
        "--src-tls-verify=false",
        "--dest-tls-verify=false",
    ]);
    run(skopeo.args(more).args([from, to])).map(drop)
}
