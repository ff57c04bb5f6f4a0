//! The C tools on machines that do not have them: Debian's packages, unpacked below the target directory with the
//! libraries that they were built for, and run through the loader that belongs to these. Nothing is installed.

use crate::apt::Archive;
use crate::paths;
use crate::unpacked::{is_library, needed, only, unpack};
use anyhow::{Context, Result};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

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
    let whole = temporary.path().join("whole");
    fs::create_dir(&whole)?;
    unpack(&archive, &needed(&archive, &["composefs"], is_library)?, &whole.join("root"))?;
    write_starters(&whole, &place.join("c-composefs"))?;
    fs::rename(&whole, place.join("c-composefs"))?;
    Ok(())
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
