//! A host that nothing starts any more, and a sealed image on a disk of its own that has what mends it.

use super::build::{IMAGE, Uki, Workshop};
use super::image::{self, directory};
use super::{data, esp};
use anyhow::{Context, Result};
use sealpack_tests::images::Image;
use sealpack_tests::layer_tar::{Entry, Member};
use std::fs;
use std::path::{Path, PathBuf};

/// What the image is called.
const RESCUE: &str = "sealpack.test/rescue:1";

/// The label of the data partition that it is on: another one than that of the hosts.
const LABEL: &str = "sealpack-rescue";

/// The serial number of the disk that is mended, by which udev names it.
pub const DAMAGED: &str = "sealpack-damaged";

/// What the image has besides: what mends an EFI system partition, and a data partition.
const PACKAGES: [&str; 6] = ["dosfstools", "e2fsprogs", "libcom-err2", "libext2fs2t64", "libss2", "mtools"];

/// The layer with the packages, as an image of one layer, built once and kept.
fn tools() -> Result<Image> {
    image::of_packages("host-rescue", &PACKAGES)
}

/// The rescue disk: the image, and that of the hosts, to mend them from.
///
/// # Errors
/// If a package cannot be had, or `sealpack` fails.
pub(super) fn disk(workshop: &Workshop) -> Result<PathBuf> {
    // The ESP that is damaged has the same label, and is to be left alone.
    let fstab = "/data/var /var none bind 0 0\n/data/home /home none bind 0 0\n";
    let mut setup: Vec<Entry> = ["etc/", "etc/systemd/", "etc/systemd/system/"].map(directory).into();
    setup.push(Entry::new("etc/fstab", Member::File(fstab.into())));
    let masked = Member::Symlink("/dev/null".to_owned());
    setup.push(Entry::new("etc/systemd/system/systemd-bless-boot.service", masked));
    let (generation, programs) = (workshop.generation(), workshop.programs());
    let image = image::write_of(generation, programs, &[tools()?], &[setup], &workshop.file("rescue-image"))?;
    let image = image.context("there is no such kernel")?;
    workshop.sealpack(&["pull", "--objects", "packs", &image.source(), "--name", RESCUE])?;
    workshop.seal(RESCUE)?;
    let uki = Uki { image: Some(RESCUE), name: Some("rescue"), data: Some(LABEL), ..Uki::default() };
    workshop.disk_of("rescue-disk", &[RESCUE, IMAGE], &[&workshop.uki(&uki)?], None)
}

/// Damages both partitions of a host's disk: the filesystem of the store, of which a pack is lost too, and one of the ESP's
/// tables.
///
/// # Errors
/// If the disk cannot be changed.
pub(super) fn damage(disk: &Path, target: &Path) -> Result<()> {
    fs::copy(disk, target).with_context(|| format!("cannot copy {}", disk.display()))?;
    data::remove_a_pack(target)?;
    data::damage(target)?;
    esp::damage(target)
}
