//! The fixture images, each an OCI layout under `target/fixtures`, built once and kept.
//!
//! | image | layers | what it is for |
//! | --- | --- | --- |
//! | [`python`] | Debian, python3 on top; gzip | the demo; whiteouts of a real system |
//! | [`tools`] | the same base, python3-minimal and jq on top; gzip | what two images share |
//! | [`capabilities`] | the same base packed with zstd, ping on top | `security.capability`, another blob of a known layer |
//! | [`bench`] | the same base, compilers on top; gzip | figures |
//! | [`busybox`] | one static program, no `/usr` | an image whose root keeps its own metadata |
//! | [`oddities`] | four layers made by hand | every kind of file, opaque directories, long names |
//!
//! Besides there is the system of a sealed host, [`host`].
//!
//! The first four need the superuser to build, and minutes; the others need neither, nor do the few that show
//! one thing each: [`oddities_in_pieces`], [`gaps`], [`opaque_marker_first`] and [`opaque_marker_last`],
//! [`huge_layer`], [`large_layer`], [`million_entries`], [`thousands_of_entries`], [`five_layers`], [`five_layers_later`],
//! [`small`] and [`fleet`]; and of the first four are [`services`] and [`rebuilt`], what many images have in common.

mod generated;
pub mod handmade;
pub mod host;

use crate::layout::{Layer, Layout, Packing};
use crate::{bootstrap, command, paths, tree_diff};
use anyhow::{Context, Result};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use tree_diff::EPOCH_SECONDS;

/// Makes an image unless it is there, and says where it is.
pub type Build = fn() -> Result<Image>;

/// All images by name, but for those of [`huge_layer`] and [`million_entries`], which take gigabytes.
pub const ALL: &[(&str, Build)] = &[
    ("python", python),
    ("tools", tools),
    ("capabilities", capabilities),
    ("bench", bench),
    ("busybox", busybox),
    ("oddities", oddities),
    ("oddities-in-pieces", oddities_in_pieces),
    ("gaps", gaps),
    ("opaque-marker-first", opaque_marker_first),
    ("opaque-marker-last", opaque_marker_last),
];

/// An image in an OCI layout of its own.
#[derive(Clone, Debug)]
pub struct Image {
    dir: PathBuf,
    tag: String,
}

impl Image {
    /// The image named `tag` of the layout at `dir`.
    pub fn in_layout(dir: PathBuf, tag: &str) -> Self {
        Self { dir, tag: tag.to_owned() }
    }

    /// The layout's directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The image's name in the layout.
    pub fn tag(&self) -> &str {
        &self.tag
    }

    /// `oci:DIRECTORY:TAG`, as sealpack, skopeo and cfsctl take it.
    pub fn source(&self) -> String {
        format!("oci:{}:{}", self.dir.display(), self.tag)
    }

    /// The layers' blobs, bottom first.
    ///
    /// # Errors
    /// If the layout cannot be read.
    pub fn layer_blobs(&self) -> Result<Vec<PathBuf>> {
        Layout::open(&self.dir).layer_blobs(&self.tag)
    }
}

/// A system built on the common base.
struct Recipe {
    name: &'static str,
    packages: &'static [&'static str],
    /// Run in the new system by sh after the installation.
    script: &'static str,
    base_packing: Packing,
    packing: Packing,
}

const PYTHON: Recipe = Recipe {
    name: "python",
    packages: &["python3"],
    // What an image's author does to save space: files and whole directories of the base go away, one comes
    // back with something else in it, a directory turns into a link.
    script: "rm -r /usr/share/doc /usr/share/man /usr/share/lintian
             mkdir -p /usr/share/doc/python3
             echo 'Documentation is left out of this image.' > /usr/share/doc/python3/README
             rm -r /usr/share/bug && ln -s doc /usr/share/bug
             chmod u-s /usr/bin/chfn && mv /usr/bin/chsh /usr/local/bin/",
    base_packing: Packing::Gzip,
    packing: Packing::Gzip,
};

const TOOLS: Recipe = Recipe {
    name: "tools",
    packages: &["python3-minimal", "jq"],
    script: "true",
    base_packing: Packing::Gzip,
    packing: Packing::Gzip,
};

const CAPABILITIES: Recipe = Recipe {
    name: "capabilities",
    packages: &["iputils-ping", "libcap2-bin"],
    script: "setcap cap_net_raw,cap_net_bind_service+ep /bin/ping
             cp -a /usr/bin/getent /usr/local/bin/getent && setcap cap_chown=i /usr/local/bin/getent",
    base_packing: Packing::Zstd,
    packing: Packing::Gzip,
};

const BENCH: Recipe = Recipe {
    name: "bench",
    packages: &["python3", "g++", "fonts-noto-cjk"],
    // Down to the size that figures are quoted for.
    script: "rm /usr/share/fonts/opentype/noto/NotoSerifCJK-*",
    base_packing: Packing::Gzip,
    packing: Packing::Gzip,
};

/// Debian with python3 on top: two gzip layers.
///
/// # Errors
/// If it is not there yet and cannot be built: not root, tools missing, archive not reachable.
pub fn python() -> Result<Image> {
    PYTHON.image()
}

/// The same base with python3-minimal and jq on top: two gzip layers, the first one that of [`python`].
///
/// # Errors
/// As [`python`].
pub fn tools() -> Result<Image> {
    TOOLS.image()
}

/// The same base, packed with zstd, and programs with file capabilities on top, in many gzip members.
///
/// # Errors
/// As [`python`].
pub fn capabilities() -> Result<Image> {
    CAPABILITIES.image()
}

/// The image for the figures: 200 MB compressed, 510 MB of tar, 12,000 files in two gzip layers.
///
/// # Errors
/// As [`python`].
pub fn bench() -> Result<Image> {
    BENCH.image()
}

/// The upper layer of [`bench`] alone, as one layer that nothing can be done beside.
///
/// # Errors
/// As [`bench`].
pub fn large_layer() -> Result<Image> {
    let blobs = bench()?.layer_blobs()?;
    let top = blobs.last().context("the image for the figures has no layers")?;
    let stamp = top.file_name().unwrap_or_default().to_string_lossy().into_owned();
    cached("large-layer", &stamp, |dir| {
        let layout = Layout::create(dir)?;
        let tar = flate2::read::MultiGzDecoder::new(File::open(top)?);
        layout.add_image("latest", &[layout.add_layer(tar, Packing::Gzip)?])
    })
}

/// A few files in two gzip layers: what a measurement that measures nothing works on.
///
/// # Errors
/// If the disk cannot be written.
pub fn small() -> Result<Image> {
    cached("small", "1", |dir| {
        let layout = Layout::create(dir)?;
        let layer = |layer| layout.add_layer(generated::files(layer, 20, 6000), Packing::Gzip);
        layout.add_image("latest", &[layer("one")?, layer("two")?])
    })
}

/// Ten images named `0` to `9`, as services are made on a few systems that have a common base: each has 300 files in a layer of its
/// own, over the layers of [`python`], [`tools`] or [`capabilities`].
///
/// # Errors
/// As [`python`].
pub fn services() -> Result<Vec<Image>> {
    let systems = [python()?, tools()?, capabilities()?];
    let layers = systems.iter().map(Image::layer_blobs).collect::<Result<Vec<_>>>()?;
    ten("services", &format!("1 {layers:?}"), |layout| {
        let below =
            systems.iter().map(|system| layout.link_layers(&Layout::open(system.dir()), system.tag()));
        let below = below.collect::<Result<Vec<_>>>()?;
        for number in 0..TEN {
            let own = layout
                .add_layer(generated::files(&format!("own-{number}"), 300, 16 * 1024), Packing::Gzip)?;
            let layers = [below[number % below.len()].clone(), vec![own]].concat();
            layout.add_image(&number.to_string(), &layers)?;
        }
        Ok(())
    })
}

/// Ten images named `0` to `9` that have the base's files, each packed at another time, as a build without a fixed one does it: no two
/// layers are equal.
///
/// # Errors
/// As [`python`].
pub fn rebuilt() -> Result<Vec<Image>> {
    let root = base()?.join("root");
    ten("rebuilt", &format!("1 {}", crate::debian::codename()?), |layout| {
        let work = tempfile::Builder::new().prefix("work-").tempdir_in(paths::fixtures())?;
        let layer = work.path().join("layer.tar");
        for number in 0..TEN {
            let mut tar = Command::new("tar");
            tar.args(["--create", "--numeric-owner", "--sort=name", "--xattrs", "--xattrs-include=*"]);
            tar.arg(format!("--mtime=@{}", EPOCH_SECONDS as usize + number));
            command::run(tar.arg("--file").arg(&layer).arg("--directory").arg(&root).arg("."))?;
            let layer = layout.add_layer(File::open(&layer)?, Packing::Zstd)?;
            layout.add_image(&number.to_string(), &[layer])?;
        }
        Ok(())
    })
}

/// How many images are in a family of those that figures are quoted for.
const TEN: usize = 10;

/// So many images of one layout, which is built once and kept.
fn ten(name: &str, stamp: &str, build: impl FnOnce(&Layout) -> Result<()>) -> Result<Vec<Image>> {
    let built = cached(name, stamp, |dir| build(&Layout::create(dir)?))?;
    Ok((0..TEN).map(|number| Image::in_layout(built.dir.clone(), &number.to_string())).collect())
}

/// As many images as are asked for, in one layout at `dir`, which is created: `image-0` and so on. Each has `own` small files in
/// a layer of its own, over one of `shared` files that thirty of them share, in plain tar.
///
/// # Errors
/// If the disk cannot be written.
pub fn fleet(dir: &Path, images: usize, shared: usize, own: usize) -> Result<Vec<Image>> {
    const SHARERS: usize = 30;
    let layout = Layout::create(dir)?;
    let layer = |name: String, files| layout.add_layer(generated::files(&name, files, 1500), Packing::Plain);
    let mut fleet = Vec::new();
    let mut base = None;
    for number in 0..images {
        if number % SHARERS == 0 {
            base = Some(layer(format!("base-{number}"), shared)?);
        }
        let base = base.clone().context("the first image has a base")?;
        let (tag, top) = (format!("image-{number}"), layer(format!("own-{number}"), own)?);
        layout.add_image(&tag, &[base, top])?;
        fleet.push(Image::in_layout(dir.to_owned(), &tag));
    }
    Ok(fleet)
}

/// One layer of 2 GiB in four files: what is kept in memory of a layer must not grow with it.
///
/// # Errors
/// If the disk cannot be written.
pub fn huge_layer() -> Result<Image> {
    single_layer("huge-layer", generated::large(4, 512 * 1024 * 1024), Packing::Zstd)
}

/// One layer with a million small files in a thousand directories.
///
/// # Errors
/// If the disk cannot be written.
pub fn million_entries() -> Result<Image> {
    single_layer("million-entries", generated::many(1000, 1000), Packing::Zstd)
}

/// One layer with so many thousand small files, a thousand in each directory.
///
/// # Errors
/// If the disk cannot be written.
pub fn thousands_of_entries(thousands: usize) -> Result<Image> {
    single_layer(&format!("{thousands}-thousand-entries"), generated::many(thousands, 1000), Packing::Zstd)
}

/// Five layers of 2,400 files of 16 KiB each.
///
/// # Errors
/// If the disk cannot be written.
pub fn five_layers() -> Result<Image> {
    layers_of_files("five-layers", ["one", "two", "three", "four", "five"])
}

/// [`five_layers`] after a change of the topmost layer.
///
/// # Errors
/// As [`five_layers`].
pub fn five_layers_later() -> Result<Image> {
    layers_of_files("five-layers-later", ["one", "two", "three", "four", "changed"])
}

fn layers_of_files(name: &str, layers: [&str; 5]) -> Result<Image> {
    cached(name, "1", |dir| {
        let layout = Layout::create(dir)?;
        let layer = |layer| layout.add_layer(generated::files(layer, 2400, 16 * 1024), Packing::Gzip);
        let layers: Result<Vec<Layer>> = layers.into_iter().map(layer).collect();
        layout.add_image("latest", &layers?)
    })
}

fn single_layer(name: &str, tar: impl std::io::Read, packing: Packing) -> Result<Image> {
    cached(name, "1", |dir| {
        let layer = Layout::create(dir)?.add_layer(tar, packing)?;
        Layout::open(dir).add_image("latest", &[layer])
    })
}

/// One layer with a static busybox: `/bin`, `/etc`, and no `/usr`.
///
/// # Errors
/// If the package cannot be fetched.
pub fn busybox() -> Result<Image> {
    cached("busybox", "1", |dir| add_layers(dir, &[(handmade::busybox()?, Packing::Gzip)]))
}

/// Four layers with every kind of file, whiteouts and opaque directories, packed in four ways.
///
/// # Errors
/// If the disk cannot be written.
pub fn oddities() -> Result<Image> {
    packed_oddities("oddities", [Packing::Gzip, Packing::Zstd, Packing::Plain, Packing::Gzip])
}

/// The layers of [`oddities`] in gzip of several members and zstd of several frames: the same tree.
///
/// # Errors
/// As [`oddities`].
pub fn oddities_in_pieces() -> Result<Image> {
    let packings = [Packing::GzipMembers, Packing::ZstdFrames, Packing::GzipMembers, Packing::ZstdFrames];
    packed_oddities("oddities-in-pieces", packings)
}

fn packed_oddities(name: &str, packings: [Packing; 4]) -> Result<Image> {
    let layers: Vec<_> = handmade::oddities().into_iter().zip(packings).collect();
    cached(name, "2", |dir| add_layers(dir, &layers))
}

/// One layer with files in directories that no member names, which composefs-rs refuses.
///
/// # Errors
/// As [`oddities`].
pub fn gaps() -> Result<Image> {
    single_layer("gaps", handmade::gaps().as_slice(), Packing::Gzip)
}

/// Two layers, of which the upper one hides a directory of the lower one and puts a file there, the opaque
/// marker before that file.
///
/// # Errors
/// As [`oddities`].
pub fn opaque_marker_first() -> Result<Image> {
    opaque("opaque-marker-first", true)
}

/// As [`opaque_marker_first`], with the marker after the file: to the OCI specification the same image.
///
/// # Errors
/// As [`oddities`].
pub fn opaque_marker_last() -> Result<Image> {
    opaque("opaque-marker-last", false)
}

fn opaque(name: &str, marker_first: bool) -> Result<Image> {
    let layers = handmade::opaque(marker_first).map(|tar| (tar, Packing::Gzip));
    cached(name, "1", |dir| add_layers(dir, &layers))
}

fn add_layers(dir: &Path, layers: &[(Vec<u8>, Packing)]) -> Result<()> {
    let layout = Layout::create(dir)?;
    let layers: Result<Vec<Layer>> =
        layers.iter().map(|(tar, packing)| layout.add_layer(tar.as_slice(), *packing)).collect();
    layout.add_image("latest", &layers?)
}

impl Recipe {
    fn image(&self) -> Result<Image> {
        let stamp = format!(
            "{} {:?} {} {:?} {:?}",
            crate::debian::codename()?,
            self.packages,
            self.script,
            self.base_packing,
            self.packing
        );
        cached(self.name, &stamp, |dir| self.build(dir))
    }

    fn build(&self, dir: &Path) -> Result<()> {
        let base = base()?;
        let layout = Layout::create(dir)?;
        let bottom = layout.add_layer(File::open(base.join("layer.tar"))?, self.base_packing)?;
        // Beside the layout, so that a build cut short is found and removed.
        let work = tempfile::Builder::new().prefix("work-").tempdir_in(paths::fixtures())?;
        let (root, layer) = (work.path().join("root"), work.path().join("layer.tar"));
        bootstrap::extend(&base.join("root"), &root, self.packages, self.script)?;
        tree_diff::write_layer(Some(&base.join("root")), &root, &layer)?;
        let top = layout.add_layer(File::open(&layer)?, self.packing)?;
        layout.add_image("latest", &[bottom, top])
    }
}

/// The common base: `root`, its tree, and `layer.tar`.
fn base() -> Result<PathBuf> {
    let image = cached("base", &format!("2 {}", crate::debian::codename()?), |dir| {
        bootstrap::base(&dir.join("root"))?;
        tree_diff::write_layer(None, &dir.join("root"), &dir.join("layer.tar"))
    })?;
    Ok(image.dir)
}

/// The directory `name` of the fixtures, filled by `build` unless that was done already for the same `stamp`.
///
/// One process builds at a time; the others wait for it and find it done.
///
/// # Errors
/// If it cannot be built.
pub fn cached(name: &str, stamp: &str, build: impl FnOnce(&Path) -> Result<()>) -> Result<Image> {
    let place = paths::fixtures();
    fs::create_dir_all(&place).with_context(|| format!("cannot make {}", place.display()))?;
    let dir = place.join(name);
    let lock = File::create(place.join(format!("{name}.lock")))?;
    lock.lock().with_context(|| format!("cannot lock {name}.lock"))?;
    let marker = dir.join("stamp");
    if fs::read_to_string(&marker).is_ok_and(|found| found == stamp) {
        return Ok(Image::in_layout(dir, "latest"));
    }
    remove(&dir)?;
    fs::create_dir_all(&dir)?;
    build(&dir).with_context(|| format!("the fixture image {name} was not built"))?;
    fs::write(marker, stamp)?;
    Ok(Image::in_layout(dir, "latest"))
}

fn remove(dir: &Path) -> Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", dir.display()))
        }
        _ => Ok(()),
    }
}

/// An image of one's own, with layers made by hand, in a layout at `dir`, which is created.
///
/// # Errors
/// If the disk cannot be written.
pub fn at(dir: &Path, layers: &[(Vec<u8>, Packing)]) -> Result<Image> {
    add_layers(dir, layers)?;
    Ok(Image::in_layout(dir.to_path_buf(), "latest"))
}

/// Why the images that need mmdebstrap cannot be had here, unless they can.
pub fn why_no_debian_images() -> Option<String> {
    if PYTHON.is_built() && TOOLS.is_built() && CAPABILITIES.is_built() {
        return None;
    }
    if !command::is_root() {
        return Some("building Debian images needs the superuser".to_owned());
    }
    command::find("mmdebstrap").is_none().then(|| "mmdebstrap is not installed".to_owned())
}

impl Recipe {
    fn is_built(&self) -> bool {
        paths::fixtures().join(self.name).join("stamp").exists()
    }
}
