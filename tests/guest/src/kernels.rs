//! Stock Debian cloud kernels, fetched as packages and unpacked.

use crate::modules;
use anyhow::{Context, Result, ensure};
use sealpack_tests::apt::Archive;
use sealpack_tests::command::run;
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A generation of kernels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Generation {
    /// 6.12, of Debian 13.
    V6_12,
    /// 7.x, of Debian 13's backports, where it has one.
    V7,
}

/// An unpacked kernel.
#[derive(Clone, Debug)]
pub struct Kernel {
    dir: PathBuf,
    release: String,
}

impl Generation {
    /// Both.
    pub const ALL: [Self; 2] = [Self::V6_12, Self::V7];

    /// As on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::V6_12 => "6.12",
            Self::V7 => "7",
        }
    }

    /// Fetches the kernel unless that was done before. `None` when Debian has none of this generation.
    ///
    /// # Errors
    /// If the packages cannot be fetched or are not what they should be.
    pub fn kernel(self) -> Result<Option<Kernel>> {
        let place = crate::place().join("kernels");
        fs::create_dir_all(&place).with_context(|| format!("cannot make {}", place.display()))?;
        let lock = File::create(place.join(format!("{}.lock", self.name())))?;
        lock.lock().context("cannot lock the place of a kernel")?;
        let dir = place.join(self.name());
        if let Ok(release) = fs::read_to_string(dir.join("release"))
            && fs::read_to_string(dir.join("content")).is_ok_and(|content| content == modules::CONTENT)
        {
            return Ok(Some(Kernel { dir, release }));
        }
        let temporary = tempfile::tempdir_in(&place)?;
        let root = temporary.path().join("root");
        let Some(release) = self.extract(&root)? else {
            return Ok(None);
        };
        choose(&root, &release, &temporary.path().join("kernel"))
            .with_context(|| format!("the kernel {release} was not unpacked"))?;
        if dir.exists() {
            fs::remove_dir_all(&dir)?;
        }
        fs::rename(temporary.path().join("kernel"), &dir)?;
        Ok(Some(Kernel { dir, release }))
    }

    /// Fetches the packages of the newest kernel of the generation, and leaves all files in them below `root`, beside which
    /// the packages are. Answers with the kernel's release; `None` when Debian has none of this generation.
    ///
    /// # Errors
    /// If the packages cannot be fetched or are not what they should be.
    pub fn extract(self, root: &Path) -> Result<Option<String>> {
        let archive = Archive::of_suites("guest", &["trixie", "trixie-backports"])?;
        let Some(packages) = self.packages(&archive)? else {
            return Ok(None);
        };
        let dir = root.parent().context("packages are not put beside the root directory")?;
        archive.download(&packages, dir)?;
        for entry in fs::read_dir(dir)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "deb") {
                run(Command::new("dpkg-deb").arg("--extract").arg(&path).arg(root))?;
            }
        }
        let releases: Vec<_> = fs::read_dir(root.join("usr/lib/modules"))?.collect::<std::io::Result<_>>()?;
        ensure!(releases.len() == 1, "there are modules for {} kernels in {packages:?}", releases.len());
        Ok(Some(releases[0].file_name().to_string_lossy().into_owned()))
    }

    /// The packages that the newest kernel of the generation consists of.
    fn packages(self, archive: &Archive) -> Result<Option<Vec<String>>> {
        let prefix = format!("{}.", self.name());
        let shown = archive.show("linux-image-cloud-amd64")?;
        let Some(depends) = depends_of(&shown, &prefix) else {
            return Ok(None);
        };
        let (mut found, mut pending) = (BTreeSet::new(), depends);
        while let Some(package) = pending.pop() {
            if found.insert(package.clone()) {
                pending.extend(depends_of(&archive.show(&package)?, &prefix).unwrap_or_default());
            }
        }
        Ok(Some(found.into_iter().collect()))
    }
}

/// What of a kernel a version of a package depends on.
fn depends_of(shown: &str, version_prefix: &str) -> Option<Vec<String>> {
    let field = |paragraph: &str, name: &str| {
        paragraph.lines().find_map(|line| Some(line.strip_prefix(name)?.strip_prefix(": ")?.to_owned()))
    };
    let is_right = |paragraph: &&str| {
        field(paragraph, "Version").is_some_and(|version| version.starts_with(version_prefix))
    };
    let paragraph = shown.split("\n\n").find(is_right)?;
    let is_part = |name: &&str| {
        // Since 7.x the kernel's configuration and what is built in are told by a package of their own.
        let parts = ["linux-image-", "linux-binary-", "linux-modules-", "linux-base-"];
        parts.iter().any(|prefix| name.starts_with(prefix))
    };
    let depends = field(paragraph, "Depends").unwrap_or_default();
    Some(
        depends
            .split(", ")
            .filter_map(|word| word.split(' ').next())
            .filter(is_part)
            .map(str::to_owned)
            .collect(),
    )
}

/// Moves of a kernel's files below `root` to `kernel` those that the guest needs: `vmlinuz`, `release`, `modules/` with those
/// that it loads and `order`, and `spare-module`.
fn choose(root: &Path, release: &str, kernel: &Path) -> Result<()> {
    let modules = root.join("usr/lib/modules").join(release);
    fs::create_dir(kernel)?;
    let places = [root.join(format!("boot/vmlinuz-{release}")), modules.join("vmlinuz")];
    let image = places.iter().find(|place| place.exists()).context("there is no vmlinuz")?;
    fs::rename(image, kernel.join("vmlinuz"))?;
    modules::unpack(&modules, &kernel.join("modules"), &kernel.join("spare-module"))?;
    fs::write(kernel.join("content"), modules::CONTENT)?;
    // Last: its presence says that the rest is complete.
    fs::write(kernel.join("release"), release)?;
    Ok(())
}

impl Kernel {
    /// The kernel's release, `6.12.117+deb13-cloud-amd64`.
    pub fn release(&self) -> &str {
        &self.release
    }

    /// The version in it, `6.12.117`.
    pub fn version(&self) -> &str {
        self.release.split(['+', '-']).next().unwrap_or(&self.release)
    }

    /// The kernel itself.
    pub fn image(&self) -> PathBuf {
        self.dir.join("vmlinuz")
    }

    /// A module that the guest does not load, signed as the kernel's makers sign.
    pub fn spare_module(&self) -> PathBuf {
        self.dir.join("spare-module")
    }

    /// The modules that the guest loads, and their order.
    pub fn modules(&self) -> PathBuf {
        self.dir.join("modules")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_of_a_kernel_are_found_by_its_version() {
        let shown = "Package: x\nVersion: 7.3.4-1\nDepends: linux-base (= 1), linux-image-7.3.4-cloud-amd64 (= 7.3.4-1)\n\n\
                     Package: x\nVersion: 6.12.1-1\nDepends: linux-image-6.12.1-cloud-amd64 (= 6.12.1-1)\n";
        assert_eq!(depends_of(shown, "7.").unwrap(), ["linux-image-7.3.4-cloud-amd64"]);
        assert_eq!(depends_of(shown, "6.12.").unwrap(), ["linux-image-6.12.1-cloud-amd64"]);
        assert_eq!(depends_of(shown, "6.1."), None);
    }

    #[test]
    fn a_release_begins_with_the_version() {
        for (release, version) in [("6.12.117+deb13-cloud-amd64", "6.12.117"), ("6.12-rc1", "6.12")] {
            let kernel = Kernel { dir: PathBuf::new(), release: release.into() };
            assert_eq!(kernel.version(), version);
        }
    }
}
