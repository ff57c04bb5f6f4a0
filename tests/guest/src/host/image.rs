//! The image of the sealed host: four layers, of which only the upper two change with this workspace.
//!
//! | layer | what |
//! | --- | --- |
//! | system | Debian 13 with systemd, by mmdebstrap: [`sealpack_tests::images::host`] |
//! | kernel | the files of the kernel's packages, and what depmod makes of them |
//! | Sealpack | `/usr/bin/sealpack`, `/usr/lib/sealpack/init`, and the unit that keeps files of `/etc`, enabled |
//! | probe | the service that runs the checks, and what it attacks with |
//!
//! One that runs [`containers`] has two more: Debian's packages of these, and how they are set up.

use super::containers;
use crate::attacks;
use crate::kernels::Generation;
use crate::programs::Programs;
use anyhow::{Context, Result};
use sealpack_tests::apt::Archive;
use sealpack_tests::command::{find, run};
use sealpack_tests::images::{self, Image, host};
use sealpack_tests::layer_tar::{Entry, Member, archive};
use sealpack_tests::layout::{Layer, Layout, Packing};
use sealpack_tests::unpacked::unpack;
use sealpack_tests::{paths, tree_diff};
use std::fs::{self, File};
use std::path::Path;
use std::process::Command;

/// The lower two layers with the kernel of a generation, built once and kept. `None` when Debian has no such kernel.
///
/// # Errors
/// If it is not there yet and cannot be built: not root, tools missing, archive not reachable.
pub fn system(generation: Generation) -> Result<Option<Image>> {
    let name = format!("host-{}", generation.name());
    let stamp = format!("2 {}", host::stamp());
    let image = images::cached(&name, &stamp, |dir| {
        let layout = Layout::create(dir)?;
        let system = layout.add_layer(File::open(host::layer()?)?, Packing::Zstd)?;
        if let Some(kernel) = kernel(generation, &layout)? {
            layout.add_image("latest", &[system, kernel])?;
        }
        Ok(())
    })?;
    let has_kernel = Layout::open(image.dir()).layers(image.tag()).is_ok();
    Ok(has_kernel.then_some(image))
}

/// The layer with a kernel and its modules.
fn kernel(generation: Generation, layout: &Layout) -> Result<Option<Layer>> {
    let work = tempfile::Builder::new().prefix("work-").tempdir_in(paths::fixtures())?;
    let root = work.path().join("root");
    let Some(release) = generation.extract(&root)? else {
        return Ok(None);
    };
    let depmod = find("depmod").context("depmod is not installed")?;
    run(Command::new(depmod).arg("--basedir").arg(root.join("usr")).arg(&release))?;
    let tar = work.path().join("layer.tar");
    tree_diff::write_layer(None, &root, &tar)?;
    layout.add_layer(File::open(&tar)?, Packing::Zstd).map(Some)
}

/// Writes the whole image into a layout at `dir`, which is created. `None` when Debian has no kernel of that generation.
///
/// # Errors
/// As [`system`]; and if it cannot be written.
pub fn write(generation: Generation, programs: &Programs, dir: &Path) -> Result<Option<Image>> {
    write_over(generation, &[], &[sealpack(programs)?, probe(programs)?], dir)
}

/// The same for a host that runs containers, of images that the key of `certificate` has sealed: over the lower two layers
/// containerd and crun, and over all how they are set up.
///
/// # Errors
/// As [`write`].
pub fn write_for_containers(
    generation: Generation,
    programs: &Programs,
    certificate: &Path,
    dir: &Path,
) -> Result<Option<Image>> {
    let layers = [sealpack(programs)?, probe(programs)?, containers::setup(programs, certificate)?];
    write_over(generation, &[containers::engine()?], &layers, dir)
}

/// The usual one with the layers of the images `below` between, and more above.
///
/// # Errors
/// As [`write`].
pub(super) fn write_of(
    generation: Generation,
    programs: &Programs,
    below: &[Image],
    more: &[Vec<Entry>],
    dir: &Path,
) -> Result<Option<Image>> {
    let mut layers = vec![sealpack(programs)?, probe(programs)?];
    layers.extend_from_slice(more);
    write_over(generation, below, &layers, dir)
}

/// The image of the lower two layers, those of the images `below`, and `layers`.
fn write_over(
    generation: Generation,
    below: &[Image],
    layers_above: &[Vec<Entry>],
    dir: &Path,
) -> Result<Option<Image>> {
    let Some(system) = system(generation)? else {
        return Ok(None);
    };
    let layout = Layout::create(dir)?;
    let mut layers = layout.link_layers(&Layout::open(system.dir()), system.tag())?;
    for image in below {
        layers.extend(layout.link_layers(&Layout::open(image.dir()), image.tag())?);
    }
    for layer in layers_above {
        layers.push(layout.add_layer(archive(layer).as_slice(), Packing::Plain)?);
    }
    layout.add_image("latest", &layers)?;
    Ok(Some(Image::in_layout(dir.to_owned(), "latest")))
}

/// Keeps files of `/etc` for the next boot.
const KEEP_UNIT: &str = include_str!("../../../../contrib/systemd/sealpack-keep.service");

/// Ends a start that is not good.
const REFUSE_UNIT: &str = include_str!("../../../../contrib/systemd/sealpack-refuse.service");

/// Has that done where the target is not reached.
const BOOT_COMPLETE: &str = include_str!("../../../../contrib/systemd/boot-complete.target.d/sealpack.conf");

/// Has `sealpack` use the store that the host is booted from.
const STORE_LINK: &str = include_str!("../../../../contrib/tmpfiles.d/sealpack-host.conf");

fn sealpack(programs: &Programs) -> Result<Vec<Entry>> {
    let mut entries = vec![
        directory("usr/"),
        directory("usr/bin/"),
        program("usr/bin/sealpack", &programs.sealpack)?,
        directory("usr/lib/"),
        directory("usr/lib/sealpack/"),
        program("usr/lib/sealpack/init", &programs.host_init)?,
        directory("usr/lib/tmpfiles.d/"),
        Entry::new("usr/lib/tmpfiles.d/sealpack-host.conf", Member::File(STORE_LINK.into())),
    ];
    entries.extend(unit("sealpack-keep.service", KEEP_UNIT));
    let units = "usr/lib/systemd/system";
    let file = |path: &str, text: &str| Entry::new(format!("{units}/{path}"), Member::File(text.into()));
    entries.push(file("sealpack-refuse.service", REFUSE_UNIT));
    entries.push(directory(&format!("{units}/boot-complete.target.d/")));
    entries.push(file("boot-complete.target.d/sealpack.conf", BOOT_COMPLETE));
    Ok(entries)
}

/// Packages of the release that hosts are of, in one layer, as an image of that layer; built once, and kept as `name`.
///
/// # Errors
/// If the packages cannot be fetched.
pub(super) fn of_packages(name: &str, packages: &[&str]) -> Result<Image> {
    let stamp = format!("1 {} {packages:?}", host::RELEASE);
    images::cached(name, &stamp, |dir| {
        let work = tempfile::Builder::new().prefix("work-").tempdir_in(paths::fixtures())?;
        let root = work.path().join("root");
        let packages: Vec<String> = packages.iter().copied().map(str::to_owned).collect();
        unpack(&Archive::of_suites("boot", &[host::RELEASE])?, &packages, &root)?;
        let tar = work.path().join("layer.tar");
        tree_diff::write_layer(None, &root, &tar)?;
        let layout = Layout::create(dir)?;
        let layer = layout.add_layer(File::open(&tar)?, Packing::Zstd)?;
        layout.add_image("latest", &[layer])
    })
}

/// A unit that multi-user.target wants.
pub(super) fn unit(name: &str, text: &str) -> Vec<Entry> {
    let path = format!("usr/lib/systemd/system/{name}");
    let wanted = "etc/systemd/system/multi-user.target.wants/";
    let mut entries: Vec<Entry> =
        ["etc/", "etc/systemd/", "etc/systemd/system/", wanted].map(directory).into();
    entries.push(Entry::new(format!("{wanted}{name}"), Member::Symlink(format!("/{path}"))));
    entries.extend(["usr/", "usr/lib/", "usr/lib/systemd/", "usr/lib/systemd/system/"].map(directory));
    entries.push(Entry::new(path, Member::File(text.into())));
    entries
}

/// Starts the checks when everything else is up.
const UNIT: &str = include_str!("probe.service");

fn probe(programs: &Programs) -> Result<Vec<Entry>> {
    let mut entries = unit("sealpack-probe.service", UNIT);
    entries.push(directory("usr/lib/sealpack-probe/"));
    entries.push(program("usr/lib/sealpack-probe/probe", &programs.probe)?);
    let work = tempfile::tempdir()?;
    for (name, compile) in [("root", attacks::root as fn(&Path) -> Result<()>), ("attack", attacks::program)]
    {
        let built = work.path().join(name);
        compile(&built)?;
        entries.push(program(&format!("{PROGRAMS}/{name}"), &built)?);
    }
    // As the kernel starts it, by two names.
    entries.push(Entry::new(format!("{PROGRAMS}/helper"), Member::Symlink("root".into())));
    entries.push(directory("usr/sbin/"));
    entries.push(Entry::new("usr/sbin/request-key", Member::Symlink(format!("/{PROGRAMS}/root"))));
    Ok(entries)
}

/// What is attacked with.
const PROGRAMS: &str = "usr/lib/sealpack-probe";

pub(super) fn directory(path: &str) -> Entry {
    Entry::new(path, Member::Directory)
}

pub(super) fn program(path: &str, file: &Path) -> Result<Entry> {
    let content = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    Ok(Entry::new(path, Member::File(content)).mode(0o755))
}
