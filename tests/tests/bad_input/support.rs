//! A store with an image in it, and images that are wrong in one way.

use anyhow::{Context, Result};
use sealpack_kernel::Kernel;
use sealpack_test_registry::{Image, ImageLayer, Registry, digest_of};
use sealpack_tests::command::is_root;
use sealpack_tests::layer_tar::{Entry, Member, archive};
use sealpack_tests::layout::architecture;
use sealpack_tests::program::Sealpack;
use sealpack_tests::refusal::Exit;
use sealpack_tests::{paths, skip};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The repository and tag that images get in registries.
pub(crate) const REPOSITORY: &str = "some/app";
pub(crate) const TAG: &str = "v1";

/// A store that has the image `good` ([`good_image`]), and a place for what a test makes.
pub(crate) struct Case {
    pub(crate) sealpack: Sealpack,
    dir: tempfile::TempDir,
}

impl Case {
    pub(crate) fn new() -> Result<Self> {
        let case = Self::without_store()?;
        let source = case.layout(&good_image())?;
        case.sealpack.run(["pull", &source, "--name", "good"])?;
        Ok(case)
    }

    pub(crate) fn without_store() -> Result<Self> {
        let sealpack = Sealpack::new()?;
        let dir = tempfile::Builder::new().prefix("case-").tempdir_in(paths::fixtures())?;
        Ok(Self { sealpack, dir })
    }

    /// A path that nobody else uses.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A directory that nobody else uses.
    pub(crate) fn directory(&self, name: &str) -> Result<PathBuf> {
        let path = self.path(name);
        fs::create_dir(&path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(path)
    }

    /// Writes `image` to a layout of its own, as a source.
    pub(crate) fn layout(&self, image: &Image) -> Result<String> {
        let dir = tempfile::tempdir_in(&self.dir)?.keep();
        write_layout(&dir, image)?;
        Ok(layout_source(&dir))
    }

    /// The image must be refused from a layout and from a registry, and leave nothing.
    pub(crate) fn refuses_image(&self, exit: Exit, image: &Image, words: &[&str]) -> Result<()> {
        let source = self.layout(image)?;
        self.sealpack.refuses(exit, ["pull", &source, "--name", "bad"], words).context("from a layout")?;
        let registry = Registry::start();
        let source = serve(&registry, image);
        self.sealpack.refuses(exit, ["pull", &source, "--name", "bad"], words).context("from a registry")
    }

    /// A layer with `blob` for what should be `tar`, above a layer that is new and fine.
    pub(crate) fn refuses_layer(&self, exit: Exit, layer: ImageLayer, words: &[&str]) -> Result<()> {
        let below = archive(&[directory("usr/"), file("usr/new", &text(7, 9000))]);
        let image = image(vec![ImageLayer::gzip(&below), layer]);
        self.refuses_image(exit, &image, words)
    }
}

/// One layer with a file of each kind.
pub(crate) fn good_image() -> Image {
    image(vec![ImageLayer::gzip(&archive(&[
        directory("usr/"),
        directory("etc/"),
        file("etc/motd", &text(1, 5000)),
        file("etc/tiny", "a few bytes\n"),
        file("usr/large", &text(2, 300_000)),
        link("etc/link", "motd"),
        link("etc/to-nowhere", "/no/such/file"),
        link("etc/circle", "circle"),
        Entry::new("etc/fifo", Member::Fifo),
        Entry::new("etc/null", Member::Character(1, 3)),
    ]))])
}

pub(crate) fn image(layers: Vec<ImageLayer>) -> Image {
    Image::new(&platform(), layers)
}

/// The platform that the tests run on.
pub(crate) fn platform() -> String {
    format!("linux/{}", architecture())
}

pub(crate) fn directory(path: &str) -> Entry {
    Entry::new(path, Member::Directory)
}

pub(crate) fn file(path: &str, content: &str) -> Entry {
    Entry::new(path, Member::File(content.as_bytes().to_vec()))
}

pub(crate) fn link(path: &str, target: &str) -> Entry {
    Entry::new(path, Member::Symlink(target.to_owned()))
}

pub(crate) fn hard_link(path: &str, target: &str) -> Entry {
    Entry::new(path, Member::HardLink(target.to_owned()))
}

/// So many bytes of numbered lines, different for each `seed`.
pub(crate) fn text(seed: usize, length: usize) -> String {
    let mut text = String::new();
    for line in 0.. {
        if text.len() >= length {
            break;
        }
        text += &format!("line {line} of text {seed}\n");
    }
    text.truncate(length);
    text
}

/// `image` with another manifest; its blobs stay.
pub(crate) fn with_manifest(mut image: Image, change: impl FnOnce(&mut Value)) -> Result<Image> {
    let mut manifest = serde_json::from_slice(&image.manifest)?;
    change(&mut manifest);
    image.manifest = manifest.to_string().into_bytes();
    Ok(image)
}

/// `image` with another config, which its manifest names rightly.
pub(crate) fn with_config(mut image: Image, change: impl FnOnce(&mut Value)) -> Result<Image> {
    let mut config: Value = serde_json::from_slice(&image.config)?;
    change(&mut config);
    image.config = config.to_string().into_bytes();
    let (digest, size_bytes) = (digest_of(&image.config), image.config.len());
    with_manifest(image, |manifest| {
        manifest["config"]["digest"] = digest.into();
        manifest["config"]["size"] = size_bytes.into();
    })
}

/// Writes a layout that has `image` under [`TAG`].
pub(crate) fn write_layout(dir: &Path, image: &Image) -> Result<()> {
    write_index(
        dir,
        &[image],
        &json!({
            "schemaVersion": 2,
            "manifests": [{
                "mediaType": image.manifest_type,
                "digest": digest_of(&image.manifest),
                "size": image.manifest.len(),
                "annotations": {"org.opencontainers.image.ref.name": TAG},
            }],
        }),
    )
}

/// Writes a layout with the blobs of `images` and this index.
pub(crate) fn write_index(dir: &Path, images: &[&Image], index: &Value) -> Result<()> {
    fs::create_dir_all(dir.join("blobs/sha256"))?;
    fs::write(dir.join("oci-layout"), json!({"imageLayoutVersion": "1.0.0"}).to_string())?;
    fs::write(dir.join("index.json"), index.to_string())?;
    for image in images {
        let layers = image.layers.iter().map(|layer| &layer.blob);
        for blob in layers.chain([&image.manifest, &image.config]) {
            fs::write(blob_path(dir, &digest_of(blob)), blob)?;
        }
    }
    Ok(())
}

pub(crate) fn layout_source(dir: &Path) -> String {
    format!("oci:{}:{TAG}", dir.display())
}

/// The blob's file in a layout.
pub(crate) fn blob_path(dir: &Path, digest: &str) -> PathBuf {
    dir.join("blobs").join(digest.replace(':', "/"))
}

/// Puts `image` into `registry`, as a source.
pub(crate) fn serve(registry: &Registry, image: &Image) -> String {
    registry.put_image(REPOSITORY, TAG, image);
    format!("{}/{REPOSITORY}:{TAG}", registry.host())
}

/// Waits until `condition`, for at most 20 seconds.
pub(crate) fn wait_until(what: &str, mut condition: impl FnMut() -> Result<bool>) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !condition()? {
        anyhow::ensure!(Instant::now() < deadline, "{what} did not happen within 20 seconds");
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

/// Runs `test` where its mounts are nobody else's and end with it; says so where that cannot be.
pub(crate) fn with_own_mounts(test: impl FnOnce() -> Result<()> + Send) -> Result<()> {
    if !is_root() {
        skip("mounting needs the superuser");
        return Ok(());
    }
    Kernel::new().with_private_mounts(test).context("a mount namespace")?
}
