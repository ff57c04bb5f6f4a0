//! cosign as Debian 13 has it (2.5.0), which signs what is said of images. Debian 12 has none.

use crate::command::run;
use crate::unpacked::Unpacked;
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A key of cosign's, and what it says with it, without asking anybody but the registry.
pub struct Cosign {
    program: PathBuf,
    dir: tempfile::TempDir,
}

/// How cosign puts what it says beside an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attached {
    /// As layers of what a tag of the repository means: what cosign 2 does unless it is told otherwise.
    UnderTag,
    /// As a bundle in a referrer.
    AsReferrer,
}

impl Cosign {
    /// With a new key. The program is fetched and unpacked the first time.
    ///
    /// # Errors
    /// If Debian's package cannot be fetched or unpacked, or the key cannot be made.
    pub fn new() -> Result<Self> {
        let unpacked = Unpacked {
            name: "cosign",
            suite: "trixie",
            packages: &["cosign"],
            // It needs the C library only, and no newer one than Debian 12 has.
            follow: |_| false,
            relink: false,
        };
        let program = unpacked.root()?.join("usr/bin/cosign");
        let cosign = Self { program, dir: tempfile::tempdir()? };
        run(cosign.command().arg("generate-key-pair"))?;
        Ok(cosign)
    }

    /// The file with the public key.
    pub fn public_key(&self) -> PathBuf {
        self.dir.path().join("cosign.pub")
    }

    /// Has it say something of that type, in cosign's words for types or as a URI, about an image by digest.
    ///
    /// # Errors
    /// If cosign fails.
    pub fn attest(&self, image: &str, of: &str, predicate: &str, attached: Attached) -> Result<()> {
        let file = self.dir.path().join("predicate.json");
        std::fs::write(&file, predicate)?;
        let mut command = self.command();
        command.args(["attest", "--key", "cosign.key", "--tlog-upload=false", "--allow-http-registry"]);
        command.args(["--type", of, "--predicate"]).arg(&file);
        if attached == Attached::AsReferrer {
            command.arg("--new-bundle-format");
        }
        run(command.arg(image)).with_context(|| format!("cosign says nothing of {image}"))?;
        Ok(())
    }

    fn command(&self) -> Command {
        let dir: &Path = self.dir.path();
        let mut command = Command::new(&self.program);
        command.current_dir(dir).env("HOME", dir).env("COSIGN_PASSWORD", "");
        // Nobody listens there: whatever but the registry it would ask is not reached.
        command.env("HTTPS_PROXY", "http://127.0.0.1:9").env("NO_PROXY", "127.0.0.1,localhost");
        command
    }
}
