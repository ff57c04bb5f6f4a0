//! Debian packages of whichever release, unpacked below the target directory with what they need. Nothing is installed.

use crate::apt::Archive;
use crate::command::run;
use crate::paths;
use anyhow::{Context, Result, ensure};
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

/// What is unpacked, and how it is made ready.
pub struct Unpacked<'a> {
    /// The directory below `target/tools`, and that of apt's lists.
    pub name: &'a str,
    /// The Debian release by codename, or "testing", "sid".
    pub suite: &'a str,
    /// The packages that are wanted.
    pub packages: &'a [&'a str],
    /// Which of those that they depend on are wanted too.
    pub follow: fn(&str) -> bool,
    /// Whether the programs get the loader and the libraries that are unpacked with them.
    pub relink: bool,
}

impl Unpacked<'_> {
    /// The root directory that the packages are unpacked in, fetched unless that was done before.
    ///
    /// One process fetches at a time; the others wait for it and find it done.
    ///
    /// # Errors
    /// If a package cannot be fetched, or is not what it should be; if patchelf is wanted and absent.
    pub fn root(&self) -> Result<PathBuf> {
        let place = paths::tools();
        fs::create_dir_all(&place).with_context(|| format!("cannot make {}", place.display()))?;
        let lock = File::create(place.join(format!("{}.lock", self.name)))?;
        lock.lock().with_context(|| format!("cannot lock {}.lock", self.name))?;
        let home = place.join(self.name);
        // Programs that were relinked know where they are, and the directory may have been moved.
        let stamp = format!("1 {} {} {:?} {}", home.display(), self.suite, self.packages, self.relink);
        let marker = place.join(format!("{}.stamp", self.name));
        if home.is_dir() && fs::read_to_string(&marker).is_ok_and(|found| found == stamp) {
            return Ok(home);
        }
        if home.is_dir() {
            fs::remove_dir_all(&home).with_context(|| format!("cannot remove {}", home.display()))?;
        }
        let temporary = tempfile::tempdir_in(&place)?;
        let root = temporary.path().join("root");
        let archive = Archive::of_suites(self.name, &[self.suite])?;
        unpack(&archive, &needed(&archive, self.packages, self.follow)?, &root)
            .with_context(|| format!("{:?} of {} were not unpacked", self.packages, self.suite))?;
        if self.relink {
            relink(&root, &home).with_context(|| format!("the programs of {} cannot run here", self.name))?;
        }
        fs::rename(&root, &home)?;
        fs::write(marker, stamp)?;
        Ok(home)
    }
}

/// Whether a package is a library, as Debian names these.
pub fn is_library(package: &str) -> bool {
    package.starts_with("lib") || package.starts_with("zlib")
}

/// The packages, those that they depend on, and so on; only such as `follow` wants.
///
/// # Errors
/// If the archive does not know one.
pub fn needed(archive: &Archive, packages: &[&str], follow: fn(&str) -> bool) -> Result<Vec<String>> {
    let mut found = BTreeSet::new();
    let mut pending: Vec<String> = packages.iter().copied().map(str::to_owned).collect();
    while let Some(package) = pending.pop() {
        if found.contains(&package) {
            continue;
        }
        // Versions of one package are paragraphs; the first is what would be fetched.
        let shown = archive.show(&package)?;
        pending.extend(depends(shown.split("\n\n").next().unwrap_or_default(), follow));
        found.insert(package);
    }
    Ok(found.into_iter().collect())
}

/// What a package depends on and is wanted, the first of alternatives each.
fn depends(shown: &str, follow: fn(&str) -> bool) -> Vec<String> {
    let fields = ["Depends: ", "Pre-Depends: "];
    let depends = shown.lines().filter_map(|line| fields.iter().find_map(|field| line.strip_prefix(field)));
    let names = depends.flat_map(|line| line.split(", ")).filter_map(|word| word.split([' ', ':']).next());
    names.filter(|name| follow(name)).map(str::to_owned).collect()
}

/// Fetches packages, each checked by the archive's signed lists, and leaves the files in them below `root`, beside which
/// the packages are put.
///
/// # Errors
/// If one cannot be fetched or unpacked.
pub fn unpack(archive: &Archive, packages: &[String], root: &Path) -> Result<()> {
    let dir = root.parent().context("packages are not put beside the root directory")?;
    archive.download(packages, dir)?;
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "deb") {
            run(Command::new("dpkg-deb").arg("--extract").arg(&path).arg(root))?;
            fs::remove_file(path)?;
        }
    }
    Ok(())
}

/// Has the programs below `root` start by the loader and with the libraries below it, for when it is `home`.
fn relink(root: &Path, home: &Path) -> Result<()> {
    let mut libraries = Vec::new();
    for inner in ["lib", "usr/lib"] {
        if root.join(inner).is_dir() {
            for name in names(&root.join(inner), |name| name.ends_with("-linux-gnu"))? {
                libraries.push(Path::new(inner).join(name));
            }
        }
    }
    let loader = libraries.iter().find_map(|inner| {
        let found = names(&root.join(inner), |name| name.starts_with("ld-linux")).ok()?;
        Some(home.join(inner).join(found.first()?))
    });
    let loader = loader.context("the C library's package has no loader")?;
    let search: Vec<String> = libraries.iter().map(|inner| home.join(inner).display().to_string()).collect();
    for directory in ["usr/bin", "usr/sbin"] {
        for name in names(&root.join(directory), |_| true).unwrap_or_default() {
            let program = root.join(directory).join(name);
            if needs_loader(&program)? {
                let mut patchelf = Command::new("patchelf");
                patchelf.arg("--set-interpreter").arg(&loader);
                // Not "runpath", by which libraries would look for their own among the machine's.
                patchelf.args(["--force-rpath", "--set-rpath", &search.join(":")]);
                run(patchelf.arg(&program))?;
            }
        }
    }
    Ok(())
}

/// Whether a file is a program that is linked when it is started: ELF with a segment PT_INTERP.
fn needs_loader(path: &Path) -> Result<bool> {
    if path.is_symlink() || !path.is_file() {
        return Ok(false);
    }
    let bytes = fs::read(path)?;
    let word = |at: usize| Some(usize::from(*bytes.get(at)?) | usize::from(*bytes.get(at + 1)?) << 8);
    // ELF-64: e_phoff (its low half; the table follows the header) at 32, e_phentsize at 54, e_phnum at 56.
    let (Some(offset), Some(size), Some(count)) = (word(32), word(54), word(56)) else { return Ok(false) };
    let kind = |number: usize| word(offset + number * size);
    Ok(bytes.starts_with(b"\x7fELF\x02") && (0..count).any(|number| kind(number) == Some(3)))
}

/// The names of the entries of a directory that are wanted, in order.
///
/// # Errors
/// If it cannot be listed.
pub fn names(directory: &Path, wanted: impl Fn(&str) -> bool) -> Result<Vec<String>> {
    let entries = fs::read_dir(directory).with_context(|| format!("cannot list {}", directory.display()))?;
    let mut names = Vec::new();
    for entry in entries {
        names.extend(entry?.file_name().into_string().ok().filter(|name| wanted(name)));
    }
    names.sort();
    Ok(names)
}

/// The name of the only entry of a directory that is wanted.
///
/// # Errors
/// If there is none, or more than one.
pub fn only(directory: &Path, wanted: impl Fn(&str) -> bool) -> Result<String> {
    let mut names = names(directory, wanted)?;
    ensure!(names.len() == 1, "{} should have one such entry, but has {names:?}", directory.display());
    Ok(names.remove(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_libraries_that_a_package_needs_are_found() {
        let shown = "Package: x\nDepends: libc6 (>= 2.38), libcomposefs1 (>= 1.0.8), zlib1g:any (>= 1) | other, openssl\n\
                     Suggests: liblater\nPre-Depends: libfirst\n";
        assert_eq!(depends(shown, is_library), ["libc6", "libcomposefs1", "zlib1g", "libfirst"]);
    }

    #[test]
    fn only_programs_that_are_linked_when_started_need_a_loader() -> Result<()> {
        assert!(needs_loader(&std::env::current_exe()?)?);
        assert!(!needs_loader(&paths::workspace().join("Cargo.toml"))?);
        Ok(())
    }
}
