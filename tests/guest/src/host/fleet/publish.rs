//! The host's disk, and the registry from which it is kept up to date.

use super::super::build::{Workshop, with_key};
use super::super::{containers::REGISTRY, esp, image};
use super::versions::{Version, setup};
use super::{BAD, BOTH, DENIED, GIVEN, LOADER, NEW_ONLY, OTHER, STABLE, firmware};
use crate::host::keys::Keys;
use crate::keys::Key;
use crate::power::esp::Known;
use anyhow::{Context, Result};
use sealpack_tests::command::run;
use sealpack_tests::images::Image;
use sealpack_tests::registry::Registry;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where the image has systemd-boot.
const BOOT_LOADER: &str = "/usr/lib/systemd/boot/efi/systemd-bootx64.efi";

/// What there is.
#[derive(Debug)]
pub(super) struct Fleet {
    /// The disk of the first version.
    pub(super) disk: PathBuf,
    /// The UKI on it.
    pub(super) first: Known,
    /// The UKI of its first update.
    pub(super) second: Known,
    /// The boot loader, signed by the new key only.
    pub(super) loader: PathBuf,
    /// Those of the others.
    pub(super) others: Vec<Known>,
    /// Where all but the first one are.
    pub(super) registry: Registry,
}

/// Makes all of it.
///
/// # Errors
/// If a tool fails.
pub(super) fn make(workshop: &Workshop) -> Result<Fleet> {
    let maker = Maker {
        workshop,
        old: workshop.keys().clone(),
        new: workshop.keys().following(workshop.programs())?,
    };
    let (first, disk) = maker.first()?;
    maker.give(&disk)?;
    let registry = Registry::start(&workshop.file("fleet-registry"))?;
    let second = maker.publish(&registry, Version::Second, STABLE)?;
    let others = [(Version::Other, OTHER), (Version::Bad, BAD)];
    let others = others.map(|(version, name)| maker.publish(&registry, version, name));
    let others = others.into_iter().collect::<Result<_>>()?;
    Ok(Fleet { disk, first, second, loader: maker.loader()?, others, registry })
}

struct Maker<'w> {
    workshop: &'w Workshop,
    old: Keys,
    new: Keys,
}

impl Maker<'_> {
    fn file(&self, name: &str) -> PathBuf {
        self.workshop.file(&format!("fleet-{name}"))
    }

    fn image(&self, version: Version) -> Result<Image> {
        let certificates =
            [("site", self.old.packs.certificate()), ("site-new", self.new.packs.certificate())];
        let layers = [setup(&certificates)?, version.layer()];
        let (generation, programs) = (self.workshop.generation(), self.workshop.programs());
        let image = image::write_of(generation, programs, &[], &layers, &self.file(version.word()))?;
        image.context("there is no such kernel")
    }

    /// The first version, by the old keys, and its disk.
    fn first(&self) -> Result<(Known, PathBuf)> {
        let image = self.image(Version::First)?;
        self.workshop.sealpack(&["pull", "--objects", "packs", &image.source(), "--name", STABLE])?;
        self.workshop.seal(STABLE)?;
        let uki = self.uki(STABLE, &self.old, &[&self.old.packs])?;
        let disk = self.file("disk");
        let mut make = self.workshop.command();
        make.args(["host", "disk", STABLE, "--size", "3GiB", "--output"]).arg(&disk).arg("--uki").arg(&uki);
        run(with_key(&mut make, &self.old.boot))?;
        // A host that has been good: who counts its tries renames it, and a power cut then is not one of the update.
        esp::remove_ukis(&disk)?;
        esp::put_uki(&disk, &uki.file_name().unwrap_or_default().to_string_lossy(), &uki)?;
        Ok((self.known(STABLE, &uki)?, disk))
    }

    /// A later one, with its seal and its UKI, in the registry under the name by which the host has it.
    fn publish(&self, registry: &Registry, version: Version, name: &str) -> Result<Known> {
        let here = name.replace(REGISTRY, &registry.host());
        let source = self.image(version)?.source();
        self.workshop.sealpack(&["copy", &source, &format!("docker://{here}")])?;
        let seal = ["seal", &here, "--pull", "--push", "--name", name];
        self.workshop.sealpack_signing(&seal, &self.new.packs)?;
        let (both, signed_by_both) = ([&self.old.packs, &self.new.packs], version == Version::Second);
        if signed_by_both {
            // Who has the old key only accepts it too.
            let seal = ["seal", &here, "--push", "--name", name];
            self.workshop.sealpack_signing(&seal, &self.old.packs)?;
        }
        let certificates = if signed_by_both { &both[..] } else { &both[1..] };
        let uki = self.uki(&here, &self.new, certificates)?;
        if signed_by_both {
            let again = uki.with_extension("both");
            sign_again(&uki, &self.old.boot, &again)?;
            fs::rename(again, &uki)?;
        }
        self.workshop.sealpack(&["host", "push", &here, &uki.to_string_lossy()])?;
        self.known(&here, &uki)
    }

    /// A UKI of an image of the store, its policy and itself signed by these keys.
    fn uki(&self, image: &str, keys: &Keys, certificates: &[&Key]) -> Result<PathBuf> {
        let version = if keys == &self.old { "1.0.0" } else { "1.1.0" };
        if keys != &self.old && !self.workshop.policy(version).exists() {
            self.workshop.make_policy_signed(version, &[], &keys.policy)?;
        }
        let directory = self.file(&format!("uki-{}", image.replace(['/', ':'], "-")));
        fs::create_dir(&directory)?;
        let mut build = self.workshop.command();
        build.args(["host", "build", image, "--policy"]).arg(self.workshop.policy(version));
        build.arg("--policy-cert").arg(keys.policy.certificate());
        for certificate in certificates {
            build.arg("--certificate").arg(certificate.certificate());
        }
        build.args(["--append", "console=ttyS0", "--output"]).arg(&directory);
        run(with_key(&mut build, &keys.boot))?;
        let mut made = fs::read_dir(&directory)?;
        Ok(made.next().context("no UKI was made")??.path())
    }

    fn known(&self, image: &str, uki: &Path) -> Result<Known> {
        let shown = self.workshop.json(&["inspect", image])?;
        let digest = shown["metadata_image"]["fsverity_digest"].as_str();
        let image = digest.with_context(|| format!("no digest in {shown}"))?.to_owned();
        let name = uki.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok(Known { name, bytes: fs::read(uki)?, image })
    }

    /// Puts what changes the keys onto the disk, as somebody sends it to the hosts of a fleet.
    fn give(&self, disk: &Path) -> Result<()> {
        let (old, new, signer) = (&self.old, &self.new, &self.old.exchange);
        let all = new.db(self.workshop.generation());
        let changes = [
            (BOTH, "db", all.clone(), true),
            (NEW_ONLY, "db", all, false),
            (DENIED, "dbx", vec![&old.boot], true),
        ];
        for (name, variable, keys, append) in changes {
            let file = self.file(name);
            firmware::write_change(variable, &keys, append, signer, &file)?;
            esp::put(disk, &format!("{GIVEN}/{name}"), &file)?;
        }
        let loader = self.file("loader");
        esp::get(disk, "EFI/BOOT/BOOTX64.EFI", &loader)?;
        let both = self.file(LOADER);
        sign_again(&loader, &new.boot, &both)?;
        esp::put(disk, &format!("{GIVEN}/{LOADER}"), &both)
    }

    /// The boot loader of the image, signed by the new key only.
    fn loader(&self) -> Result<PathBuf> {
        let (unsigned, signed) = (self.file("unsigned-loader"), self.file("new-loader"));
        let found = run(self.workshop.command().args(["cat", STABLE, BOOT_LOADER]))?;
        fs::write(&unsigned, found.stdout)?;
        sign_again(&unsigned, &self.new.boot, &signed)?;
        Ok(signed)
    }
}

/// Adds a signature to those that a program has.
fn sign_again(program: &Path, key: &Key, target: &Path) -> Result<()> {
    let mut sign = Command::new("sbsign");
    sign.arg("--key").arg(key.key()).arg("--cert").arg(key.certificate()).arg("--output").arg(target);
    run(sign.arg(program)).map(drop)
}
