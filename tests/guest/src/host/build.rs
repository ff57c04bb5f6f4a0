//! Sealed hosts, made with the commands that users run: pulled, sealed, built, put on disks.

use super::keys::Keys;
use super::{containers, image};
use super::{page, updates};
use crate::kernels::Generation;
use crate::keys::Key;
use crate::programs::Programs;
use anyhow::{Context, Result};
use sealpack_tests::command::{run, stdout};
use sealpack_tests::program::start;
use sealpack_tests::registry::Registry;
use serde_json::Value;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

/// What the image is called.
pub const IMAGE: &str = "sealpack.test/host:1";

/// What the policy is called.
pub const POLICY: &str = "host";

/// Where the image has systemd's stub.
const STUB: &str = "/usr/lib/systemd/boot/efi/linuxx64.efi.stub";

/// The disk's size.
const SIZE: &str = "3GiB";

/// A place where a sealed host is made, and what was made there so far.
#[derive(Debug)]
pub struct Workshop {
    programs: Programs,
    generation: Generation,
    keys: Keys,
    /// Everything else that is made.
    dir: PathBuf,
    /// Kept between runs, so that layers that were pulled are not pulled again.
    store: PathBuf,
    /// Until this is dropped, nobody else works with that store.
    _turn: File,
}

/// What a UKI is to be like.
#[derive(Clone, Copy, Debug, Default)]
pub struct Uki<'a> {
    /// The image that it starts, where it is not the usual one.
    pub image: Option<&'a str>,
    /// The name of the file, without its suffix; unless it is given, that of the image's epoch.
    pub name: Option<&'a str>,
    /// Hardenings that are left out.
    pub off: &'a [&'a str],
    /// More words for the command line.
    pub append: &'a [&'a str],
    /// The version and the signer of its policy; unless they are given, the first one's and who should have signed it.
    pub policy: Option<(&'a str, &'a Key)>,
    /// The label of the data partition, where it is another one.
    pub data: Option<&'a str>,
    /// How long its start may take, where it is not as long as usual.
    pub deadline: Option<&'a str>,
}

impl Workshop {
    /// Makes the image, brings it into a store and seals it. What is made goes to `dir`, which is there. `None` when Debian
    /// has no kernel of that generation.
    ///
    /// # Errors
    /// If a fixture or a tool is missing, or `sealpack` fails.
    pub fn new(generation: Generation, programs: &Programs, dir: &Path) -> Result<Option<Self>> {
        let Some(image) = image::write(generation, programs, &dir.join("image"))? else {
            return Ok(None);
        };
        let keys = Keys::of_tests(programs)?;
        let store = super::place().join(format!("store-{}", generation.name()));
        let turn = File::create(super::place().join(format!("store-{}.lock", generation.name())))?;
        turn.lock().context("cannot lock the store of hosts")?;
        let (programs, dir) = (programs.clone(), dir.to_owned());
        let workshop = Self { programs, generation, keys, dir, store, _turn: turn };
        workshop.sealpack(&["pull", "--objects", "packs", &image.source(), "--name", IMAGE])?;
        workshop.seal(IMAGE)?;
        updates::make_tool(&workshop)?;
        // What earlier runs have left.
        workshop.sealpack(&["gc", "--keep-previous", "0"])?;
        workshop.make_policy("1.0.0", &[])?;
        Ok(Some(workshop))
    }

    /// Seals an image of the store anew.
    ///
    /// # Errors
    /// If `sealpack` fails.
    pub fn seal(&self, image: &str) -> Result<()> {
        self.sealpack_signing(&["seal", "--replace", image], &self.keys.packs)
    }

    /// The kernel of its hosts.
    pub fn generation(&self) -> Generation {
        self.generation
    }

    /// The programs that go into them.
    pub fn programs(&self) -> &Programs {
        &self.programs
    }

    /// The keys.
    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    /// A file of the name in the place of this workshop.
    pub fn file(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// The signed policy with a version, in a file.
    pub fn policy(&self, version: &str) -> PathBuf {
        self.file(&format!("{POLICY}-{version}.p7b"))
    }

    /// Writes and signs the policy of hosts, with these options of `policy new`.
    ///
    /// # Errors
    /// If `sealpack` fails.
    pub fn make_policy(&self, version: &str, options: &[&str]) -> Result<()> {
        self.make_policy_signed(version, options, &self.keys.policy)
    }

    /// The same, signed by somebody else.
    ///
    /// # Errors
    /// If `sealpack` fails.
    pub fn make_policy_signed(&self, version: &str, options: &[&str], key: &Key) -> Result<()> {
        let text = self.file(&format!("{POLICY}-{version}.txt"));
        let mut new = self.command();
        new.args(["policy", "new", "host", "--name", POLICY, "--version", version]).args(options);
        run(new.arg("--output").arg(&text))?;
        let mut sign = self.command();
        sign.args(["policy", "sign"]).arg(&text).arg("--output").arg(self.policy(version));
        run(with_key(&mut sign, key)).map(drop)
    }

    /// Builds a UKI for the image, and answers with its file.
    ///
    /// # Errors
    /// If `sealpack` fails.
    pub fn uki(&self, uki: &Uki<'_>) -> Result<PathBuf> {
        let name = uki
            .name
            .map_or_else(|| Ok(format!("sealed_{}", self.epoch()?)), |name| anyhow::Ok(name.to_owned()))?;
        let file = self.file(&format!("{name}.efi"));
        let mut build = self.command();
        let (version, signer) = uki.policy.unwrap_or(("1.0.0", &self.keys.policy));
        build.args(["host", "build", uki.image.unwrap_or(IMAGE), "--policy"]).arg(self.policy(version));
        build.arg("--policy-cert").arg(signer.certificate());
        if let Some(label) = uki.data {
            build.args(["--data", label]);
        }
        if let Some(seconds) = uki.deadline {
            build.args(["--deadline", seconds]);
        }
        build.arg("--certificate").arg(self.keys.packs.certificate());
        let words: Vec<&str> = ["console=ttyS0"].iter().chain(uki.append).copied().collect();
        build.args(["--append", &words.join(" ")]);
        for hardening in uki.off {
            build.args(["--off", hardening]);
        }
        build.arg("--output").arg(&file);
        run(with_key(&mut build, &self.keys.boot))?;
        Ok(file)
    }

    /// Makes a disk with these UKIs, the image and the tool's.
    ///
    /// # Errors
    /// If `sealpack` fails.
    pub fn disk(&self, name: &str, ukis: &[&Path]) -> Result<PathBuf> {
        self.disk_of(name, &[IMAGE, updates::TOOL], ukis, None)
    }

    /// The same, with keys for firmware that has none.
    ///
    /// # Errors
    /// As [`disk`](Self::disk).
    pub fn disk_with(&self, name: &str, ukis: &[&Path], keys: Option<&Path>) -> Result<PathBuf> {
        self.disk_of(name, &[IMAGE, updates::TOOL], ukis, keys)
    }

    /// Makes a host that runs containers, and its disk.
    ///
    /// # Errors
    /// If a package cannot be had, or `sealpack` fails.
    pub fn disk_for_containers(&self) -> Result<PathBuf> {
        self.disk_for_containers_without(&[])
    }

    /// The same without these hardenings.
    ///
    /// # Errors
    /// As [`disk_for_containers`](Self::disk_for_containers).
    pub fn disk_for_containers_without(&self, off: &[&str]) -> Result<PathBuf> {
        let certificate = self.keys.packs.certificate();
        let dir = self.file("containers-image");
        let image = image::write_for_containers(self.generation, &self.programs, certificate, &dir)?;
        let image = image.context("there is no such kernel")?;
        self.sealpack(&["pull", "--objects", "packs", &image.source(), "--name", containers::IMAGE])?;
        self.seal(containers::IMAGE)?;
        let uki = Uki { image: Some(containers::IMAGE), name: Some("containers"), off, ..Uki::default() };
        self.disk_of("containers-disk", &[containers::IMAGE, updates::TOOL], &[&self.uki(&uki)?], None)
    }

    /// What containers are made of, in a registry.
    ///
    /// # Errors
    /// If it cannot be started, or `sealpack` fails.
    pub fn publish_for_containers(&self) -> Result<Registry> {
        containers::publish(&self.programs, &self.keys.packs, &self.file("published"))
    }

    /// Makes a disk with these UKIs and images, and perhaps keys for firmware that has none.
    pub(super) fn disk_of(
        &self,
        name: &str,
        images: &[&str],
        ukis: &[&Path],
        keys: Option<&Path>,
    ) -> Result<PathBuf> {
        let file = self.file(name);
        let mut disk = self.command();
        disk.args(["host", "disk"]).args(images).args(["--size", SIZE, "--output"]).arg(&file);
        for uki in ukis {
            disk.arg("--uki").arg(uki);
        }
        if let Some(keys) = keys {
            disk.arg("--keys").arg(keys);
        }
        run(with_key(&mut disk, &self.keys.boot))?;
        Ok(file)
    }

    /// A directory with the keys as systemd-boot gives them to firmware that has none.
    ///
    /// # Errors
    /// If efitools fail.
    pub fn auth_files(&self) -> Result<PathBuf> {
        let dir = self.file("auth");
        fs::create_dir(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
        self.keys.write_auth(self.generation, &dir)?;
        Ok(dir)
    }

    /// systemd's stub, of the image.
    ///
    /// # Errors
    /// If `sealpack` fails.
    pub fn stub(&self) -> Result<Vec<u8>> {
        Ok(run(self.command().args(["cat", IMAGE, STUB]))?.stdout)
    }

    /// Hosts of the same image, made by the commands of docs/sealed-hosts.md.
    ///
    /// # Errors
    /// If one of them fails.
    pub fn by_the_page(&self) -> Result<page::Made> {
        let image = self.dir.join("image");
        page::follow(&self.programs, page::Image::Layout(&image), &self.file("by-the-page"))
    }

    /// The same with an image that the page makes too.
    ///
    /// # Errors
    /// If one of them fails.
    pub fn by_the_whole_page(&self) -> Result<page::Made> {
        page::follow(&self.programs, page::Image::Built, &self.file("by-the-whole-page"))
    }

    /// Firmware variables with the keys, in a file.
    ///
    /// # Errors
    /// If virt-fw-vars fails.
    pub fn variables(&self) -> Result<PathBuf> {
        let file = self.file("variables.fd");
        self.keys.write_variables(self.generation, &file)?;
        Ok(file)
    }

    /// The same with Secure Boot off.
    ///
    /// # Errors
    /// If virt-fw-vars fails.
    pub fn open_variables(&self) -> Result<PathBuf> {
        let file = self.file("variables-open.fd");
        self.keys.write_open_variables(self.generation, &file)?;
        Ok(file)
    }

    /// The epoch of the image's seal.
    ///
    /// # Errors
    /// If `sealpack` fails.
    pub fn epoch(&self) -> Result<u64> {
        let shown = self.json(&["inspect", IMAGE])?;
        shown["seal"]["epoch"].as_u64().with_context(|| format!("no epoch in {shown}"))
    }

    /// What `sealpack --json` prints.
    ///
    /// # Errors
    /// If it fails.
    pub fn json(&self, arguments: &[&str]) -> Result<Value> {
        let shown = stdout(self.command().arg("--json").args(arguments))?;
        Ok(serde_json::from_str(&shown)?)
    }

    /// Runs `sealpack`.
    ///
    /// # Errors
    /// If it fails.
    pub fn sealpack(&self, arguments: &[impl AsRef<OsStr>]) -> Result<()> {
        run(self.command().args(arguments)).map(drop)
    }

    /// The same, with a key.
    ///
    /// # Errors
    /// If it fails.
    pub(super) fn sealpack_signing(&self, arguments: &[&str], key: &Key) -> Result<()> {
        run(with_key(self.command().args(arguments), key)).map(drop)
    }

    pub(super) fn command(&self) -> Command {
        let mut sealpack = start(&self.programs.sealpack);
        sealpack.arg("--store").arg(&self.store);
        sealpack
    }
}

pub(super) fn with_key<'c>(command: &'c mut Command, key: &Key) -> &'c mut Command {
    command.arg("--key").arg(key.key()).arg("--cert").arg(key.certificate())
}

/// Makes the place of all of it, and a directory in it that goes with what is returned. Those of processes that were killed, some
/// gigabytes each, go now.
///
/// # Errors
/// If the disk cannot be written.
pub fn work() -> Result<tempfile::TempDir> {
    let place = super::place();
    fs::create_dir_all(&place).with_context(|| format!("cannot make {}", place.display()))?;
    remove_abandoned(&place)?;
    Ok(tempfile::Builder::new().prefix(&format!("{WORK}{}-", std::process::id())).tempdir_in(place)?)
}

/// What the names of such directories begin with; the number of the process follows.
const WORK: &str = "work-";

fn remove_abandoned(place: &Path) -> Result<()> {
    for entry in fs::read_dir(place)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let Some(process) = name.strip_prefix(WORK).and_then(|rest| rest.split('-').next()) else { continue };
        if process.parse::<u32>().is_ok() && !Path::new("/proc").join(process).exists() {
            fs::remove_dir_all(entry.path()).with_context(|| format!("cannot remove {name}"))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_killed_run_left_goes_and_what_another_one_works_in_stays() -> Result<()> {
        let place = tempfile::tempdir()?;
        let alive = format!("{WORK}{}-a1B2c3", std::process::id());
        // No process has a number above 2^22.
        for name in [&alive, "work-99999999-x/deep", "work-aB3dE5", "store-6.12"] {
            fs::create_dir_all(place.path().join(name))?;
        }
        remove_abandoned(place.path())?;
        let mut left = fs::read_dir(place.path())?
            .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
            .collect::<Result<Vec<_>>>()?;
        left.sort();
        let mut expected = [alive, "store-6.12".to_owned(), "work-aB3dE5".to_owned()];
        expected.sort();
        assert_eq!(left, expected);
        Ok(())
    }
}
