//! The tools of the composefs project: those that the program under test is, and the C ones.

use crate::command::{self, attempt, find, run};
use crate::program;
use anyhow::{Context, Result};
use std::ffi::OsStr;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

mod c_tools;

/// The names of the tools.
pub const NAMES: [&str; 4] = ["mkcomposefs", "composefs-info", "composefs-dump", "mount.composefs"];

/// A directory with the tools.
#[derive(Debug)]
pub struct Tools {
    directory: PathBuf,
    /// Removed with this.
    _links: Option<tempfile::TempDir>,
}

impl Tools {
    /// Links to the program under test.
    ///
    /// # Errors
    /// If it cannot be built.
    pub fn ours() -> Result<Self> {
        Self::links_to(&program::under_test()?)
    }

    /// Links to the program at `sealpack`.
    ///
    /// # Errors
    /// If there is no place for them.
    pub fn links_to(sealpack: &Path) -> Result<Self> {
        let links = tempfile::tempdir()?;
        for name in NAMES {
            symlink(sealpack.canonicalize()?, links.path().join(name))?;
        }
        Ok(Self { directory: links.path().to_owned(), _links: Some(links) })
    }

    /// The version of the package that they are of, if it is one of Debian's that [`fetch_c`](Self::fetch_c) has fetched: they
    /// do not say it themselves.
    pub fn version(&self) -> String {
        let changelog = self.directory.join("../root/usr/share/doc/composefs/changelog.Debian.gz");
        let text = command::stdout(Command::new("gzip").arg("-dc").arg(changelog)).unwrap_or_default();
        let version = text.split_once('(').and_then(|(_, rest)| rest.split_once(')'));
        version.map_or_else(|| "of this machine".to_owned(), |(version, _)| version.to_owned())
    }

    /// The C tools: those in the directory `$COMPOSEFS_C_TOOLS`, or those in `$PATH`, or those that
    /// [`fetch_c`](Self::fetch_c) has fetched. None where there are none, or the ones there are this project's.
    ///
    /// # Errors
    /// If `$COMPOSEFS_C_TOOLS` is set and has not the C tools.
    pub fn c() -> Result<Option<Self>> {
        if let Some(directory) = std::env::var_os("COMPOSEFS_C_TOOLS") {
            let directory = PathBuf::from(directory);
            let is_c = is_c(&directory.join(NAMES[0]))?;
            anyhow::ensure!(is_c, "{} has not the C tools", directory.display());
            return Ok(Some(Self { directory, _links: None }));
        }
        for mkcomposefs in find(NAMES[0]).into_iter().chain([c_tools::directory().join(NAMES[0])]) {
            if mkcomposefs.is_file() && is_c(&mkcomposefs)? {
                let directory = mkcomposefs.parent().context("the tool is in no directory")?.to_owned();
                return Ok(Some(Self { directory, _links: None }));
            }
        }
        Ok(None)
    }

    /// Sees to it that there are C tools: where there are none, Debian's are unpacked below the target directory.
    ///
    /// # Errors
    /// If they cannot be had, for example because this machine is not a Debian.
    pub fn fetch_c() -> Result<()> {
        if Self::c()?.is_none() {
            c_tools::fetch().context("cannot fetch the C composefs tools")?;
        }
        Ok(())
    }

    /// The directory that has the tools.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// A command with one of the tools.
    pub fn command(&self, name: &str, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Command {
        let mut command = Command::new(self.directory.join(name));
        command.args(arguments).env_remove("CFS_PARSE_STRICT");
        command
    }

    /// Runs one of the tools, which has to succeed.
    ///
    /// # Errors
    /// If its exit status is not 0.
    pub fn run(&self, name: &str, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Result<Output> {
        run(&mut self.command(name, arguments))
    }

    /// Runs one of the tools, whatever its exit status.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn attempt(
        &self,
        name: &str,
        arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
    ) -> Result<Output> {
        attempt(&mut self.command(name, arguments))
    }
}

/// Whether `mkcomposefs` is the C tool: ours has one more option.
fn is_c(mkcomposefs: &Path) -> Result<bool> {
    let output = attempt(&mut Command::new(mkcomposefs))?;
    let usage = String::from_utf8_lossy(&output.stderr).into_owned();
    Ok(usage.contains("--print-digest-only") && !usage.contains("--split-hard-links"))
}
