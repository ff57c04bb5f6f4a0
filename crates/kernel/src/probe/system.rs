//! What the kernel shows about itself in files.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The files of `/proc`, `/sys`, `/boot` and `/lib/modules`, below a directory that is `/` on
/// the machine itself.
#[derive(Debug, Clone)]
pub struct System {
    root: PathBuf,
}

/// A kernel's version, `6.12` of `6.12.57+deb13-amd64`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KernelVersion {
    /// The first number.
    pub major: u32,
    /// The second.
    pub minor: u32,
}

impl KernelVersion {
    /// The version at the beginning of a release.
    #[must_use]
    pub fn parse(release: &str) -> Option<Self> {
        let mut numbers = release.split(|c: char| !c.is_ascii_digit());
        Some(Self { major: numbers.next()?.parse().ok()?, minor: numbers.next()?.parse().ok()? })
    }
}

/// Whether the kernel has a driver.
pub(super) enum Driver {
    /// In use, or built in.
    Present,
    /// As a module that can be loaded.
    Module,
    Absent,
    /// There is no list of modules to look into.
    Unknown,
}

impl System {
    /// This machine.
    #[must_use]
    pub fn this() -> Self {
        Self { root: PathBuf::from("/") }
    }

    /// The machine whose files are copied below `root`.
    #[must_use]
    pub fn at(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    /// The kernel's release, empty when it cannot be read.
    #[must_use]
    pub fn release(&self) -> String {
        self.text("proc/sys/kernel/osrelease").unwrap_or_default()
    }

    /// The kernel's version.
    #[must_use]
    pub fn version(&self) -> Option<KernelVersion> {
        KernelVersion::parse(&self.release())
    }

    /// The text of a file without white space around it.
    pub(super) fn text(&self, path: impl AsRef<Path>) -> io::Result<String> {
        let bytes = fs::read(self.root.join(path))?;
        Ok(String::from_utf8_lossy(&bytes).trim().to_owned())
    }

    pub(super) fn exists(&self, path: impl AsRef<Path>) -> bool {
        self.root.join(path).exists()
    }

    /// The names in a directory, sorted; none when it cannot be read.
    pub(super) fn names(&self, path: impl AsRef<Path>) -> Vec<String> {
        let entries = fs::read_dir(self.root.join(path)).into_iter().flatten().flatten();
        let mut names: Vec<_> =
            entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    /// Whether the kernel has registered a filesystem type.
    pub(super) fn has_filesystem(&self, fs_type: &str) -> bool {
        let list = self.text("proc/filesystems").unwrap_or_default();
        list.lines().any(|line| line.split_whitespace().last() == Some(fs_type))
    }

    /// Whether the kernel has the driver that is called `name`, with hyphens, as a module.
    pub(super) fn driver(&self, name: &str) -> Driver {
        if self.exists(Path::new("sys/module").join(name.replace('-', "_"))) {
            return Driver::Present;
        }
        let directory = Path::new("lib/modules").join(self.release());
        let file = format!("/{name}.ko");
        let is_in = |list: &str| -> Option<bool> {
            Some(self.text(directory.join(list)).ok()?.lines().any(|line| line.contains(&file)))
        };
        match (is_in("modules.builtin"), is_in("modules.dep")) {
            (Some(true), _) => Driver::Present,
            (_, Some(true)) => Driver::Module,
            (None, None) if self.exists("proc/modules") => Driver::Unknown,
            _ => Driver::Absent,
        }
    }

    /// The value of an option of the kernel's configuration, `None` when it is not set or there
    /// is no configuration to look into.
    pub(super) fn config(&self, option: &str) -> Option<String> {
        let release = self.release();
        let places = [format!("boot/config-{release}"), format!("lib/modules/{release}/config")];
        let text = places.iter().find_map(|place| self.text(place).ok())?;
        text.lines().find_map(|line| Some(line.strip_prefix(option)?.strip_prefix('=')?.to_owned()))
    }

    /// The value of the last `name=value` on the kernel's command line.
    pub(super) fn boot_parameter(&self, name: &str) -> Option<String> {
        let line = self.text("proc/cmdline").ok()?;
        let mut values =
            line.split_whitespace().filter_map(|word| word.strip_prefix(name)?.strip_prefix('='));
        values.next_back().map(str::to_owned)
    }
}
