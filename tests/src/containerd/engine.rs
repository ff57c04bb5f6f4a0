//! containerd and its runtimes as one Debian release has them.

use crate::unpacked::{Unpacked, is_library};
use anyhow::Result;
use std::path::{Path, PathBuf};

/// Which containerd, with the runtimes of the same release.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Engine {
    /// 1.6, of Debian 12; runc 1.1.5, crun 1.8.
    V1_6,
    /// 1.7, of Debian 13; runc 1.1.15, crun 1.21.
    V1_7,
    /// The newest that Debian has, 2.1 in November 2026; runc 1.3, crun 1.28.
    V2,
}

/// What containerd's shim starts containers with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Runtime {
    /// runc.
    Runc,
    /// crun.
    Crun,
}

impl Engine {
    /// All, oldest first.
    pub const ALL: [Self; 3] = [Self::V1_6, Self::V1_7, Self::V2];

    /// Its programs, which are fetched and unpacked the first time.
    ///
    /// # Errors
    /// If Debian's packages cannot be fetched or unpacked.
    pub fn programs(self) -> Result<Programs> {
        let (name, suite) = match self {
            Self::V1_6 => ("containerd-1.6", "bookworm"),
            Self::V1_7 => ("containerd-1.7", "trixie"),
            Self::V2 => ("containerd-2", "sid"),
        };
        let packages = ["containerd", "runc", "crun"];
        let unpacked = Unpacked { name, suite, packages: &packages, follow: is_library, relink: true };
        Ok(Programs { root: unpacked.root()? })
    }

    /// Whether its configuration is of version 3, which names its plugins anew.
    pub fn is_second(self) -> bool {
        self == Self::V2
    }
}

/// Where the programs of an [`Engine`] are.
#[derive(Clone, Debug)]
pub struct Programs {
    root: PathBuf,
}

impl Programs {
    /// A program by name.
    pub fn path(&self, name: &str) -> PathBuf {
        let find = |dir: &str| Some(self.root.join(dir).join(name)).filter(|path| path.is_file());
        find("usr/sbin").unwrap_or_else(|| self.root.join("usr/bin").join(name))
    }

    /// The program of a runtime.
    pub fn runtime(&self, runtime: Runtime) -> PathBuf {
        self.path(match runtime {
            Runtime::Runc => "runc",
            Runtime::Crun => "crun",
        })
    }

    /// `$PATH` for containerd, which looks there for its shim.
    pub fn search_path(&self) -> String {
        let ours = ["usr/bin", "usr/sbin"].map(|dir| self.root.join(dir).display().to_string());
        format!("{}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", ours.join(":"))
    }

    /// The directory that all of them are in.
    pub fn root(&self) -> &Path {
        &self.root
    }
}
