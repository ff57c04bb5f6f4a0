//! A store of one's own, images that are new to it, and what a command says.

use anyhow::{Result, ensure};
use sealpack_test_registry::{Image, ImageLayer, Registry};
use sealpack_tests::layer_tar::{Entry, Member, archive};
use sealpack_tests::layout::architecture;
use sealpack_tests::paths;
use sealpack_tests::program::Sealpack;
use sealpack_tests::refusal::Exit;
use std::process::Output;

/// A program with a store of its own, a registry, and a place for files, in which it runs.
pub(crate) struct Desk {
    pub(crate) sealpack: Sealpack,
    pub(crate) registry: Registry,
    pub(crate) dir: tempfile::TempDir,
}

impl Desk {
    pub(crate) fn new() -> Result<Self> {
        Self::with_registry(Registry::start())
    }

    pub(crate) fn with_registry(registry: Registry) -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("desk-").tempdir_in(paths::fixtures())?;
        Ok(Self { sealpack: Sealpack::new()?, registry, dir })
    }

    /// Puts an image there, as a source.
    pub(crate) fn serve(&self, repository: &str, image: &Image) -> String {
        self.registry.put_image(repository, "v1", image);
        format!("{}/{repository}:v1", self.registry.host())
    }

    pub(crate) fn attempt(&self, arguments: &[&str]) -> Result<Output> {
        Ok(self.sealpack.command(arguments).current_dir(self.dir.path()).output()?)
    }

    /// That the command succeeds; what it says on both streams.
    pub(crate) fn succeeds(&self, arguments: &[&str]) -> Result<String> {
        let output = self.attempt(arguments)?;
        ensure!(output.status.success(), "{arguments:?}: {}", said(&output));
        Ok(said(&output))
    }

    /// That the command ends so, and says these words; what it says on both streams.
    pub(crate) fn fails(&self, exit: Exit, arguments: &[&str], words: &[&str]) -> Result<String> {
        let output = self.attempt(arguments)?;
        let said = said(&output);
        ensure!(output.status.code() == Some(exit as i32), "{arguments:?}: {:?}: {said}", output.status);
        for word in words {
            ensure!(said.contains(word), "{arguments:?} does not say {word:?}: {said}");
        }
        Ok(said)
    }

    /// The names of the images in the store.
    pub(crate) fn names(&self) -> Result<Vec<String>> {
        let images = self.sealpack.json(["images"])?;
        let names = images["images"].as_array().into_iter().flatten();
        Ok(names.filter_map(|image| image["name"].as_str().map(str::to_owned)).collect())
    }
}

/// What a command printed, on both streams.
pub(crate) fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// An image of one layer for this machine; other seeds, other images.
pub(crate) fn image(seed: u8) -> Image {
    Image::new(&format!("linux/{}", architecture()), vec![layer(seed, 5000)])
}

/// A layer with a file of so many bytes.
pub(crate) fn layer(seed: u8, size_bytes: usize) -> ImageLayer {
    let content = (0..size_bytes).map(|at| (at / 7) as u8 ^ (at / 4096) as u8 ^ seed).collect();
    let path = format!("file-{seed}");
    ImageLayer::plain(&archive(&[Entry::new(&path, Member::File(content))]))
}
