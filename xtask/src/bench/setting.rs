//! What all benchmarks share: the programs, the place, and how much is to be measured.

use super::disk::Disk;
use crate::oracle;
use crate::packages::{self, Missing};
use anyhow::Result;
use sealpack_tests::oracle::Cfsctl;
use sealpack_tests::program::{self, Profile};
use sealpack_tests::{debian, paths};
use std::fs;
use std::path::{Path, PathBuf};

/// How much is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scale {
    /// What figures are quoted of.
    Full,
    /// So little that it says nothing, but that everything still runs.
    Smoke,
}

/// What all benchmarks share.
pub(crate) struct Setting {
    pub(crate) scale: Scale,
    /// How many rounds, if that was said.
    runs: Option<usize>,
    pub(crate) sealpack: PathBuf,
    /// What measures a command.
    pub(crate) timed: PathBuf,
    /// Absent where it is not installed and little is measured.
    pub(crate) cfsctl: Option<Cfsctl>,
    /// Where reports are left, on the disk that the workspace is on.
    pub(crate) place: PathBuf,
    /// Where benchmarks work if that disk is not one to measure on.
    disk: Option<Disk>,
}

impl Setting {
    /// Builds and installs what is missing. Where little is measured, nothing is installed, and the program is the one that
    /// tests drive.
    ///
    /// # Errors
    /// If something cannot be built or installed.
    pub(crate) fn new(scale: Scale, runs: Option<usize>) -> Result<Self> {
        let (cfsctl, sealpack) = match scale {
            Scale::Full => {
                packages::provide(&[debian::FOR_TESTS, debian::FOR_BENCH], Missing::InstallOrFail)?;
                if let Err(error) = packages::provide(&[debian::PEERS], Missing::InstallOrSay) {
                    eprintln!("# not compared with what cannot be installed: {error:#}");
                }
                (Some(oracle::install()?), program::build(Profile::Release)?)
            }
            Scale::Smoke => (Cfsctl::installed(), program::under_test()?),
        };
        let place = paths::target().join("bench");
        fs::create_dir_all(&place)?;
        let disk = match scale {
            Scale::Full => Disk::instead_of(&place)?,
            Scale::Smoke => None,
        };
        let mut setting = Self { scale, runs, sealpack, timed: PathBuf::new(), cfsctl, place, disk };
        setting.timed = setting.tool("sealpack-timed")?;
        Ok(setting)
    }

    /// How many rounds are measured, `usual` if nothing was said.
    pub(crate) fn runs(&self, usual: usize) -> usize {
        self.runs.unwrap_or(match self.scale {
            Scale::Full => usual,
            Scale::Smoke => 1,
        })
    }

    /// One of the tests' own programs.
    pub(crate) fn tool(&self, name: &str) -> Result<PathBuf> {
        program::build_tool(name, self.profile())
    }

    const fn profile(&self) -> Profile {
        match self.scale {
            Scale::Full => Profile::Release,
            Scale::Smoke => Profile::Dev,
        }
    }

    /// The first of what is measured, or what stands for it where little is.
    pub(crate) fn choose<T>(&self, full: T, smoke: T) -> T {
        match self.scale {
            Scale::Full => full,
            Scale::Smoke => smoke,
        }
    }

    /// Whether benchmarks work in an image of their own.
    pub(crate) const fn has_own_disk(&self) -> bool {
        self.disk.is_some()
    }

    /// Gives the room of what was removed back to the disk that an image is on.
    pub(crate) fn give_room_back(&self) {
        if let Some(disk) = &self.disk {
            disk.give_room_back();
        }
    }

    /// Where benchmarks work.
    pub(crate) fn working_place(&self) -> &Path {
        self.disk.as_ref().map_or(&self.place, Disk::path)
    }

    /// What is peculiar about the [place](Self::working_place).
    pub(crate) fn about_working_place(&self) -> &'static str {
        if self.disk.is_some() { ", in an image with a journal on a disk without one" } else { "" }
    }

    /// A new directory for a benchmark to work in, which goes when this is dropped.
    pub(crate) fn directory(&self, prefix: &str) -> Result<tempfile::TempDir> {
        Ok(tempfile::Builder::new().prefix(&format!("{prefix}-")).tempdir_in(self.working_place())?)
    }

    /// The program on the store at `store`; nobody's own configuration plays a part.
    pub(crate) fn sealpack(&self, store: &Path) -> std::process::Command {
        let mut command = program::start(&self.sealpack);
        command.arg("--store").arg(store).arg("--quiet");
        command
    }
}
