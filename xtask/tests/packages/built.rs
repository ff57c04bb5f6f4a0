//! The packages that are tested, made once for a run.

use anyhow::{Context, Result, ensure};
use sealpack_tests::command::{attempt, display, find, is_root, stdout};
use sealpack_tests::paths;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The C library of Debian 12: what is linked to a newer one does not run there.
const GLIBC_OF_DEBIAN_12: &str = "glibc 2.36";

/// Why no packages can be made or tried here, unless they can.
pub(crate) fn why_not() -> Result<Option<String>> {
    for program in ["dpkg-deb", "objdump", "mmdebstrap", "docker-registry", "skopeo"] {
        if find(program).is_none() {
            return Ok(Some(format!("{program}, for packages, is not installed")));
        }
    }
    if !is_root() {
        return Ok(Some("trying packages in a Debian system needs the superuser".to_owned()));
    }
    let library = stdout(Command::new("getconf").arg("GNU_LIBC_VERSION"))?;
    Ok((library != GLIBC_OF_DEBIAN_12).then(|| {
        format!("packages for Debian 12 are made where the C library is {GLIBC_OF_DEBIAN_12}, not {library}")
    }))
}

/// What was made.
#[derive(Debug)]
pub(crate) struct Built {
    directory: PathBuf,
}

impl Built {
    /// Of this run, made unless another test has done that.
    pub(crate) fn new() -> Result<Self> {
        let place = paths::target().join("tmp/packages");
        fs::create_dir_all(&place)?;
        let lock = File::create(place.join("lock"))?;
        lock.lock()?;
        let directory = place.join("made");
        // Each test is a process of its own, and the runner says which of them belong together.
        let run = std::env::var("NEXTEST_RUN_ID").unwrap_or_else(|_| std::process::id().to_string());
        let stamp = place.join("run");
        if fs::read_to_string(&stamp).is_ok_and(|found| found == run) {
            return Ok(Self { directory });
        }
        let _ = fs::remove_dir_all(&directory);
        make(&mut Command::new(env!("CARGO_BIN_EXE_xtask")), &directory)?;
        fs::write(stamp, run)?;
        Ok(Self { directory })
    }

    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// The file whose name begins and ends so.
    pub(crate) fn file(&self, begins: &str, ends: &str) -> Result<PathBuf> {
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.directory)? {
            let name = entry?.file_name().into_string().ok().context("a name that is no text")?;
            if name.starts_with(begins) && name.ends_with(ends) {
                found.push(self.directory.join(name));
            }
        }
        ensure!(found.len() == 1, "{begins}…{ends}: {found:?}");
        Ok(found.remove(0))
    }

    /// The package of that name.
    pub(crate) fn deb(&self, name: &str) -> Result<PathBuf> {
        self.file(&format!("{name}_"), "_amd64.deb")
    }

    /// The version that they have, without Debian's part.
    pub(crate) fn version(&self) -> Result<String> {
        let said =
            stdout(Command::new("dpkg-deb").args(["--field"]).arg(self.deb("sealpack")?).arg("Version"))?;
        Ok(said.strip_suffix("-1").context("a version with Debian's part")?.to_owned())
    }
}

/// Runs the chore.
pub(crate) fn make(xtask: &mut Command, output: &Path) -> Result<()> {
    let profile = if sealpack_tests::all() { "release" } else { "dev" };
    xtask.args(["package", "--profile", profile, "--output"]).arg(output);
    let output = attempt(xtask)?;
    ensure!(
        output.status.success(),
        "{} ended with {}\n{}",
        display(xtask),
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}
