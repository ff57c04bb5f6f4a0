//! What an image has to contain to be a sealed host's, and whether one does. docs/sealed-hosts.md says why each of it is.

mod config;
mod containers;
mod etc;
mod extensions;
mod files;
mod firmware;
mod init;
mod kernel;
mod trust;
mod units;

#[cfg(test)]
mod tests;

use crate::image::{ImageFileError, ImageFiles};
use files::Files;

/// What one requirement came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What is asked for.
    pub requirement: Requirement,
    /// The file that it is about.
    pub path: String,
    /// What is wrong with it; nothing where all is well.
    pub fault: Option<Fault>,
}

/// What is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Whether a host would not come up, or not be what it should be; else something is lost that one can do without.
    pub breaks: bool,
    /// What it is, as a phrase about the file.
    pub problem: String,
    /// What to do about it.
    pub mend: String,
}

/// What is asked of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Requirement {
    /// One kernel, with what enforces in it.
    Kernel,
    /// The modules that the first process needs.
    Modules,
    /// systemd's stub, which the UKI is made of.
    Stub,
    /// systemd-boot.
    BootLoader,
    /// That a boot loader which is signed stays.
    BootLoaderUpdates,
    /// That a UKI that came up is blessed.
    Blessing,
    /// Sealpack's first process.
    Init,
    /// Sealpack itself.
    Program,
    /// systemd.
    System,
    /// That nothing is run from memory at the end.
    ExitInitrd,
    /// That no files are put over the image's that nobody signed.
    Extensions,
    /// That each host makes an identity of its own.
    MachineId,
    /// That each host makes keys of its own.
    HostKeys,
    /// Where things are mounted.
    MountPoints,
    /// What is mounted there.
    Fstab,
    /// What is kept of `/etc`.
    KeepList,
    /// That it is kept.
    Keeping,
    /// That denials are recorded.
    AuditSocket,
    /// That containers run.
    ContainerRuntime,
    /// That seals count which come with later images.
    TrustStore,
}

impl Requirement {
    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Kernel => "kernel",
            Self::Modules => "modules",
            Self::Stub => "stub",
            Self::BootLoader => "boot_loader",
            Self::BootLoaderUpdates => "boot_loader_updates",
            Self::Blessing => "blessing",
            Self::Init => "init",
            Self::Program => "program",
            Self::System => "system",
            Self::MachineId => "machine_id",
            Self::HostKeys => "host_keys",
            Self::MountPoints => "mount_points",
            Self::Fstab => "fstab",
            Self::KeepList => "keep_list",
            Self::Keeping => "keeping",
            Self::AuditSocket => "audit_socket",
            Self::ExitInitrd => "exit_initrd",
            Self::Extensions => "extensions",
            Self::ContainerRuntime => "container_runtime",
            Self::TrustStore => "trust_store",
        }
    }
}

/// Judges an image: the requirements in their order, each as often as there are files that it is about.
///
/// # Errors
/// If a file of it cannot be read.
pub fn check(files: &ImageFiles<'_>) -> Result<Vec<Finding>, ImageFileError> {
    judge(files)
}

fn judge<F: Files>(files: &F) -> Result<Vec<Finding>, F::Error> {
    let mut findings = Vec::new();
    kernel::check(files, &mut findings)?;
    firmware::check(files, &mut findings)?;
    init::check(files, &mut findings)?;
    extensions::check(files, &mut findings);
    etc::check(files, &mut findings)?;
    containers::check(files, &mut findings)?;
    trust::check(files, &mut findings);
    Ok(findings)
}

impl Finding {
    fn good(requirement: Requirement, path: impl Into<String>) -> Self {
        Self { requirement, path: path.into(), fault: None }
    }

    /// A fault that breaks the host.
    fn broken(
        requirement: Requirement,
        path: impl Into<String>,
        problem: impl Into<String>,
        mend: impl Into<String>,
    ) -> Self {
        let fault = Fault { breaks: true, problem: problem.into(), mend: mend.into() };
        Self { requirement, path: path.into(), fault: Some(fault) }
    }

    /// A fault that one can live with.
    fn lacking(
        requirement: Requirement,
        path: impl Into<String>,
        problem: impl Into<String>,
        mend: impl Into<String>,
    ) -> Self {
        let fault = Fault { breaks: false, problem: problem.into(), mend: mend.into() };
        Self { requirement, path: path.into(), fault: Some(fault) }
    }
}
