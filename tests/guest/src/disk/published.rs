//! A registry with images and their seals, and whoever published them.

use super::sealed::sealpack;
use crate::keys::Key;
use crate::programs::Programs;
use anyhow::Result;
use sealpack_tests::command::run;
use sealpack_tests::images::Image;
use sealpack_tests::registry::Registry;
use std::path::{Path, PathBuf};

/// Who seals images with a key and publishes the seals. The registry, and the store that the seals were made in, go
/// with this.
pub(super) struct Publisher<'a> {
    programs: &'a Programs,
    key: &'a Key,
    registry: Registry,
    dir: tempfile::TempDir,
}

impl<'a> Publisher<'a> {
    /// With a registry of its own.
    ///
    /// # Errors
    /// If there is no registry to be had.
    pub(super) fn new(programs: &'a Programs, key: &'a Key) -> Result<Self> {
        let dir = tempfile::tempdir_in(crate::place())?;
        let publisher = Self { programs, key, registry: Registry::start(dir.path())?, dir };
        let mut add = publisher.trusting(&publisher.dir.path().join("unused"));
        run(add.args(["trust", "add", "publisher", "--cert"]).arg(key.certificate()))?;
        Ok(publisher)
    }

    /// Puts an image into the registry, and its seal beside it.
    ///
    /// # Errors
    /// If one of the commands fails.
    pub(super) fn publish(&self, name: &str, image: &Image) -> Result<()> {
        let store = self.dir.path().join("store");
        let (source, reference) = (image.source(), self.reference(name));
        run(sealpack(self.programs, &store).args(["copy", &source, &format!("docker://{reference}")]))?;
        run(sealpack(self.programs, &store).args(["pull", "--objects", "packs", &reference]))?;
        let mut seal = sealpack(self.programs, &store);
        seal.args(["seal", &reference, "--push", "--key"]).arg(self.key.key());
        run(seal.arg("--cert").arg(self.key.certificate())).map(drop)
    }

    /// Pulls an image from the registry into `store`, where it is called `name`, if its seal is the publisher's.
    ///
    /// # Errors
    /// If it is not.
    pub(super) fn bring(&self, name: &str, store: &Path) -> Result<()> {
        let mut pull = self.trusting(store);
        run(pull.args(["pull", "--require", "sealed", &self.reference(name), "--name", name])).map(drop)
    }

    /// Copies the trust store that has the publisher's certificate only.
    ///
    /// # Errors
    /// If it cannot be written.
    pub(super) fn copy_trust(&self, target: &Path) -> Result<()> {
        run(std::process::Command::new("cp").arg("--archive").arg(self.trust()).arg(target)).map(drop)
    }

    /// `sealpack` for that store, and a trust store that has the publisher's certificate only.
    fn trusting(&self, store: &Path) -> std::process::Command {
        let mut command = sealpack(self.programs, store);
        command.arg("--trust").arg(self.trust());
        command
    }

    fn trust(&self) -> PathBuf {
        self.dir.path().join("trust")
    }

    fn reference(&self, name: &str) -> String {
        format!("{}/{name}:1", self.registry.host())
    }
}
