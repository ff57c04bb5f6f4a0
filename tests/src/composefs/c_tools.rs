//! The C tools on machines that do not have them: Debian's packages, unpacked below the target directory with the
//! libraries that they were built for, and run through the loader that belongs to these. Nothing is installed.

use crate::apt::Archive;
use crate::command::run;
use crate::paths;
use anyhow::{Context, Result, ensure};
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The suite with the packages: no stable release has them.
const SUITE: &str = "testing";

/// Where the tools are once [`fetch`] has succeeded.
pub(super) fn directory() -> PathBuf {
    paths::tools().join("c-composefs/bin")
}

/// Fetches and unpacks them unless that was done before.
pub(super) fn fetch() -> Result<()> {
    if directory().is_dir() {
        return Ok(());
    }
    let place = paths::tools();
    fs::create_dir_all(&place).with_context(|| format!("cannot make {}", place.display()))?;
    let temporary = tempfile::tempdir_in(&place)?;
    let archive = Archive::of_suites("composefs", &[SUITE])?;
    let packages = needed(&archive)?;
    archive.download(&packages, temporary.path())?;
    let whole = temporary.path().join("whole");
    fs::create_dir(&whole)?;
    for entry in fs::read_dir(temporary.path())? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "deb") {
            run(Command::new("dpkg-deb").arg("--extract").arg(&path).arg(whole.join("root")))?;
        }
    }
    write_starters(&whole, &place.join("c-composefs"))?;
    fs::rename(&whole, place.join("c-composefs"))?;
    Ok(())
}

/// The package and the libraries that it needs, and these.
fn needed(archive: &Archive) -> Result<Vec<String>> {
    let (mut found, mut pending) = (BTreeSet::new(), vec!["composefs".to_owned()]);
    while let Some(package) = pending.pop() {
        if found.contains(&package) {
            continue;
        }
        pending.extend(libraries(&archive.show(&package)?));
        found.insert(package);
    }
    Ok(found.into_iter().collect())
}

/// The libraries among what a package depends on, the first of alternatives each.
fn libraries(shown: &str) -> Vec<String> {
    let depends = shown.lines().filter_map(|line| line.strip_prefix("Depends: "));
    let names = depends.flat_map(|line| line.split(", ")).filter_map(|word| word.split([' ', ':']).next());
    names.filter(|name| name.starts_with("lib") || name.starts_with("zlib")).map(str::to_owned).collect()
}

/// Leaves a script for each tool in `bin/` of `whole`, for when that is `home`.
fn write_starters(whole: &Path, home: &Path) -> Result<()> {
    let libraries = only(&whole.join("root/usr/lib"), |name| name.ends_with("-linux-gnu"))?;
    let loader = only(&whole.join("root/usr/lib").join(&libraries), |name| name.starts_with("ld-linux"))?;
    let libraries = home.join("root/usr/lib").join(libraries);
    fs::create_dir_all(whole.join("bin"))?;
    for directory in ["bin", "sbin"] {
        for entry in fs::read_dir(whole.join("root/usr").join(directory))? {
            let name = entry?.file_name();
            let name = name.to_str().context("a program's name is not UTF-8")?;
            if !super::NAMES.contains(&name) {
                continue;
            }
            let script = format!(
                "#!/bin/sh\nexec '{loader}' --library-path '{libraries}' --argv0 \"$0\" '{program}' \"$@\"\n",
                loader = libraries.join(&loader).display(),
                libraries = libraries.display(),
                program = home.join("root/usr").join(directory).join(name).display(),
            );
            let path = whole.join("bin").join(name);
            fs::write(&path, script)?;
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
        }
    }
    Ok(())
}

/// The name of the only entry of a directory that is wanted.
fn only(directory: &Path, wanted: impl Fn(&str) -> bool) -> Result<String> {
    let entries = fs::read_dir(directory).with_context(|| format!("cannot list {}", directory.display()))?;
    let mut names = Vec::new();
    for entry in entries {
        names.extend(entry?.file_name().into_string().ok().filter(|name| wanted(name)));
    }
    ensure!(names.len() == 1, "{} should have one such entry, but has {names:?}", directory.display());
    Ok(names.remove(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_libraries_that_a_package_needs_are_found() {
        let shown = "Package: x\nDepends: libc6 (>= 2.38), libcomposefs1 (>= 1.0.8), zlib1g:any (>= 1) | other, openssl\n\
                     Suggests: liblater\n";
        assert_eq!(libraries(shown), ["libc6", "libcomposefs1", "zlib1g"]);
    }
}
