//! What this machine can do, found out by trying.
//!
//! A probe leaves nothing behind: files it needs have no name, filesystems it makes are mounted
//! nowhere. Asking for a filesystem loads its module, as mounting it would; what a machine would
//! not load for a mount is looked up instead. Refused attempts can show in the kernel's log.

mod feature;
mod machine;
mod mounting;
mod security;
mod system;

use std::path::Path;

pub use feature::{Feature, FeatureId, Purpose, Status};
pub use machine::VerityParameters;
pub use system::{KernelVersion, System};

use crate::Kernel;

/// What a machine can do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The kernel's release, for example `6.12.57+deb13-amd64`.
    pub release: String,
    /// Every [`FeatureId`] once, in their order.
    pub features: Vec<Feature>,
}

impl Report {
    /// What was found out about `id`.
    #[must_use]
    pub fn feature(&self, id: FeatureId) -> Option<&Feature> {
        self.features.iter().find(|feature| feature.id == id)
    }

    /// Whether nothing that `purpose` needs is missing.
    #[must_use]
    pub fn can(&self, purpose: Purpose) -> bool {
        self.features
            .iter()
            .filter(|feature| feature.id.purpose() == purpose)
            .all(|feature| feature.status == Status::Available)
    }
}

/// Finds out what the machine can do, with `store` as the place for metadata images and
/// objects; a place that does not exist yet is judged by the directory that it would be in.
#[must_use]
pub fn probe(kernel: &Kernel, system: &System, store: &Path) -> Report {
    let place = store.ancestors().find(|path| path.is_dir()).unwrap_or(Path::new("/"));
    let features = FeatureId::ALL
        .into_iter()
        .map(|id| {
            let (status, detail) = match id {
                FeatureId::Kernel => machine::kernel(system),
                FeatureId::Privilege => machine::privilege(system),
                FeatureId::Erofs => mounting::filesystem(kernel, system, "erofs"),
                FeatureId::ErofsFromFile => mounting::erofs_from_file(kernel, place),
                FeatureId::LoopDevices => mounting::loop_devices(kernel, system),
                FeatureId::Overlayfs => mounting::filesystem(kernel, system, "overlay"),
                FeatureId::DataOnlyLayers => {
                    mounting::overlay_options(kernel, &[("lowerdir+", "/"), ("datadir+", "/")])
                }
                FeatureId::OverlayVerity => mounting::overlay_options(kernel, &[("verity", "require")]),
                FeatureId::DetachedLayers => mounting::detached_layers(kernel),
                FeatureId::FsVerity => mounting::fs_verity(kernel, system, place),
                FeatureId::DmVerity => machine::dm_verity(system),
                FeatureId::DmVeritySignatures => machine::dm_verity_signatures(system),
                FeatureId::Ipe => security::ipe(system),
                FeatureId::IpeEnforcing => security::ipe_enforcing(system),
                FeatureId::Lockdown => security::lockdown(system),
                FeatureId::PtraceScope => security::ptrace_scope(system),
                FeatureId::ProcMem => security::proc_mem(system),
                FeatureId::UserNamespaces => security::user_namespaces(system),
            };
            Feature { id, status, detail }
        })
        .collect();
    Report { release: system.release(), features }
}

/// What a single probe found out: the status, and in words what it saw.
type Finding = (Status, String);

fn available(detail: impl Into<String>) -> Finding {
    (Status::Available, detail.into())
}

fn missing(detail: impl Into<String>) -> Finding {
    (Status::Missing, detail.into())
}

fn unknown(detail: impl Into<String>) -> Finding {
    (Status::Unknown, detail.into())
}

#[cfg(test)]
mod tests;
