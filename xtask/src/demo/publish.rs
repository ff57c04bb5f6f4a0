//! A publisher seals an image and publishes the seal; another machine knows the publisher's certificate and nothing else.

use super::{Demo, PYTHON, remove, say};
use anyhow::Result;
use sealpack_guest::keys::Key;
use sealpack_tests::registry::Registry;
use std::ffi::OsStr;

impl Demo {
    /// Leaves the image in the store, sealed.
    pub(super) fn publish_and_pull(&self, registry: &Registry) -> Result<()> {
        let image = format!("{}/{PYTHON}", registry.host());
        let key = Key::trusted()?;
        let [key, certificate] = [key.key(), key.certificate()].map(|path| path.as_os_str());
        say("Whoever publishes the image seals it with a key, and publishes the seal beside it.");
        self.sealpack(["pull", "--objects", "packs", &image])?;
        let seal = ["seal", &image, "--push", "--key"].map(OsStr::new);
        self.sealpack(seal.into_iter().chain([key, OsStr::new("--cert"), certificate]))?;
        say("The store is removed. The machine that runs the image knows the publisher's certificate.");
        remove(&self.store())?;
        let trust = self.place.join("trust");
        let trusting = [OsStr::new("--trust"), trust.as_os_str()];
        let add = ["trust", "add", "publisher", "--cert"].map(OsStr::new);
        self.sealpack(trusting.into_iter().chain(add).chain([certificate]))?;
        let pull = ["pull", "--require", "sealed", &image, "--name", PYTHON].map(OsStr::new);
        self.sealpack(trusting.into_iter().chain(pull))?;
        self.sealpack(trusting.into_iter().chain(["verify", PYTHON].map(OsStr::new)))
    }
}
