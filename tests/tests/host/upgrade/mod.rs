//! A host that goes to other versions of its image: its partitions are directories, all else is as it is on one.

mod back;
mod kept;
mod refused;
mod taken;

use crate::{Workshop, said, section};
use anyhow::{Context, Result, ensure};
use sealpack_test_registry::Registry;
use sealpack_tests::host_image::HostImage;
use sealpack_tests::refusal::Exit;
use sealpack_tests::{program, schema};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Five layers, of which the files say which.
const LAYERS: usize = 5;

/// Somebody who publishes versions of a host's image, and a host that has the first.
pub(super) struct Fleet {
    pub(super) registry: Registry,
    pub(super) workshop: Workshop,
}

/// What the host has, as files by their paths: size and inode.
pub(super) type Files = BTreeMap<PathBuf, (u64, u64)>;

impl Fleet {
    /// With a host that runs version 1.
    pub(super) fn new() -> Result<Self> {
        let fleet = Self { registry: Registry::start(), workshop: Workshop::with_pulled(&HostImage::new())? };
        fleet.publish(1)?;
        fleet.install(1)?;
        Ok(fleet)
    }

    /// The name by which hosts pull it.
    pub(super) fn name(&self) -> String {
        self.name_of("host")
    }

    pub(super) fn name_of(&self, what: &str) -> String {
        format!("{}/site/{what}:latest", self.registry.host())
    }

    /// Publishes a version, which differs from others in one layer of five, with its seal and its UKI.
    pub(super) fn publish(&self, version: u64) -> Result<()> {
        self.seal(&self.name(), version)?;
        self.build(&self.name(), version, &["--push"])
    }

    /// Publishes an image as `name`, with its seal.
    pub(super) fn seal(&self, name: &str, version: u64) -> Result<()> {
        let directory = format!("version-{version}-{}", name.len());
        let text =
            |layer: usize| format!("{layer} of {}\n", if layer == 3 { version } else { 0 }).repeat(100);
        let texts: Vec<String> = (1..LAYERS).map(text).collect();
        let paths: Vec<String> = (1..LAYERS).map(|layer| format!("etc/layer-{layer}")).collect();
        let above: Vec<(&str, &[u8])> =
            paths.iter().zip(&texts).map(|(path, text)| (path.as_str(), text.as_bytes())).collect();
        let layout = self.workshop.path(&directory);
        let image = match layout.exists() {
            true => format!("oci:{}:latest", layout.display()),
            false => HostImage::new().layout_below(&layout, &above)?.source(),
        };
        self.workshop.succeeds(&["copy", &image, name])?;
        let epoch = version.to_string();
        let keys = ["--key", "packs.key", "--cert", "packs.crt", "--epoch", &epoch];
        self.workshop.succeeds(&[&["seal", name, "--pull", "--push"], &keys[..]].concat()).map(drop)
    }

    /// Builds the UKI `sealed_VERSION.efi` of the image `name`.
    pub(super) fn build(&self, name: &str, version: u64, more: &[&str]) -> Result<()> {
        let file = format!("sealed_{version}.efi");
        let build = ["host", "build", name, "--policy", "host.p7b", "--certificate", "packs.crt"];
        let with = [
            "--policy-cert",
            "policy.crt",
            "--key",
            "boot.key",
            "--cert",
            "boot.crt",
            "--force",
            "-o",
            &file,
        ];
        self.workshop.succeeds(&[&build[..], &with, more].concat()).map(drop)
    }

    /// Makes a host that runs a version.
    fn install(&self, version: u64) -> Result<()> {
        let trust = self.path("trust");
        let add = ["--trust", crate::text(&trust)?, "trust", "add", "site", "--cert", "packs.crt"];
        self.workshop.succeeds(&add)?;
        for directory in ["efi/EFI/Linux", "data/boot", "proc", "etc/sealpack"] {
            fs::create_dir_all(self.path(directory))?;
        }
        fs::create_dir_all(self.variables())?;
        self.expect(&["pull", "--require", "sealed", &self.name()])?;
        let uki = self.workshop.read(&format!("sealed_{version}.efi"))?;
        fs::write(self.uki(&format!("sealed_{version}.efi")), &uki)?;
        self.runs(&uki)
    }

    /// The host was started from that UKI.
    pub(super) fn runs(&self, uki: &[u8]) -> Result<()> {
        let mut line = section(uki, ".cmdline")?;
        line.push(b'\n');
        Ok(fs::write(self.path("proc/cmdline"), line)?)
    }

    /// The host starts again, and what came next comes up for good.
    pub(super) fn restart_well(&self, file: &str) -> Result<()> {
        let uki = fs::read(self.uki(file))?;
        let (stem, _) = file.split_once('+').unwrap_or((file.trim_end_matches(".efi"), ""));
        fs::rename(self.uki(file), self.uki(&format!("{stem}.efi")))?;
        self.runs(&uki)
    }

    /// A path below the host's root.
    pub(super) fn path(&self, path: &str) -> PathBuf {
        self.workshop.path("machine").join(path)
    }

    pub(super) fn uki(&self, file: &str) -> PathBuf {
        self.path("efi/EFI/Linux").join(file)
    }

    pub(super) fn variables(&self) -> PathBuf {
        self.path("sys/firmware/efi/efivars")
    }

    /// The names of the UKIs on the host's ESP.
    pub(super) fn ukis(&self) -> Result<Vec<String>> {
        let entries = fs::read_dir(self.path("efi/EFI/Linux"))?;
        let mut names = entries
            .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
            .collect::<Result<Vec<_>>>()?;
        names.sort();
        Ok(names)
    }

    /// The command on the host, with its store and its trust store.
    pub(super) fn command(&self, arguments: &[&str]) -> Result<Command> {
        let mut command = program::start(program::under_test()?);
        let is_of_host = arguments.contains(&"host");
        command.arg("--trust").arg(self.path("trust")).args(arguments).env("HOME", self.workshop.path(""));
        match is_of_host {
            true => command.arg("--root").arg(self.path("")),
            false => command.arg("--store").arg(self.path("data/store")),
        };
        command.current_dir(self.workshop.path(""));
        Ok(command)
    }

    /// A command that succeeds: what it prints as JSON.
    pub(super) fn expect(&self, arguments: &[&str]) -> Result<Value> {
        let output = self.command(&[&["--json"], arguments].concat())?.output()?;
        ensure!(output.status.success(), "{arguments:?}: {}", said(&output));
        schema::document(&output.stdout).with_context(|| format!("{arguments:?}"))
    }

    /// That a command ends so, says these words, and leaves the host as it was.
    pub(super) fn refuses(&self, exit: Exit, arguments: &[&str], words: &[&str]) -> Result<()> {
        let before = self.files()?;
        let output: Output = self.command(arguments)?.output()?;
        let said = said(&output);
        ensure!(output.status.code() == Some(exit as i32), "{arguments:?}: {:?}: {said}", output.status);
        for word in words {
            ensure!(said.contains(word), "{arguments:?} does not say {word:?}: {said}");
        }
        let after = self.files()?;
        ensure!(before == after, "{arguments:?} changed the host: {:?}", changed(&before, &after));
        Ok(())
    }

    /// What is on the host's partitions, and in its firmware; but for locks, and what its store remembers.
    pub(super) fn files(&self) -> Result<Files> {
        let mut files = Files::new();
        for part in ["efi", "data", "sys"] {
            below(&self.path(part), &mut files)?;
        }
        files.retain(|path, _| {
            let passing = ["verified", "facts", "lock", "names.lock", "upgrade.lock"];
            !path.file_name().is_some_and(|name| passing.iter().any(|passing| name == *passing))
        });
        Ok(files)
    }

    /// The firmware has Secure Boot on, and that certificate of the workshop's in `db`.
    pub(super) fn firmware_knows(&self, certificate: &str) -> Result<()> {
        let pem = self.workshop.path(certificate);
        let der = stdout_bytes(Command::new("openssl").args(["x509", "-outform", "der", "-in"]).arg(pem))?;
        // EFI_SIGNATURE_LIST with one entry (UEFI specification, 32.4.1), behind the attributes.
        let mut list = vec![7, 0, 0, 0];
        list.extend([
            0xa1, 0x59, 0xc0, 0xa5, 0xe4, 0x94, 0xa7, 0x4a, 0x87, 0xb5, 0xab, 0x15, 0x5c, 0x2b, 0xf0, 0x72,
        ]);
        for number in [28 + 16 + der.len(), 0, 16 + der.len()] {
            list.extend(u32::try_from(number)?.to_le_bytes());
        }
        list.extend([0; 16]);
        list.extend(der);
        let variables = self.variables();
        fs::write(variables.join("db-d719b2cb-3d3a-4596-a3bc-dad00e67656f"), list)?;
        let on = variables.join("SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c");
        Ok(fs::write(on, [6, 0, 0, 0, 1])?)
    }

    pub(super) fn variable(&self, name: &str) -> PathBuf {
        self.variables().join(format!("{name}-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f"))
    }
}

fn stdout_bytes(command: &mut Command) -> Result<Vec<u8>> {
    let output = command.output()?;
    ensure!(output.status.success(), "{output:?}");
    Ok(output.stdout)
}

fn below(directory: &Path, files: &mut Files) -> Result<()> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let metadata = path.symlink_metadata()?;
        match metadata.is_dir() {
            true => below(&path, files)?,
            false => drop(files.insert(path, (metadata.len(), metadata.ino()))),
        }
    }
    Ok(())
}

/// The files that are new or other ones.
pub(super) fn changed(before: &Files, after: &Files) -> Vec<(PathBuf, u64)> {
    let is_new = |(path, what): &(&PathBuf, &(u64, u64))| before.get(*path) != Some(*what);
    after.iter().filter(is_new).map(|(path, (size, _))| (path.clone(), *size)).collect()
}
