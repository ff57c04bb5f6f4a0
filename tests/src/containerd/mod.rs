//! containerd as three Debian releases have it, each started by a test for itself: nothing is installed, nothing of the
//! machine's own containerd is touched, and nothing is left when the test ends, however it ends.
//!
//! [`Engine`] has the programs, [`Enclosure`] the namespaces that they run in, [`Containerd`] is one that runs, [`Served`] one
//! with `sealpack-snapshotter` beside it, and
//! [`suite`] builds containerd's own tests of snapshotters.

mod cgroups;
mod config;
mod daemon;
mod enclosure;
mod engine;
pub mod images;
pub mod served;
pub mod suite;

pub use config::{Proxy, Setting};
pub use daemon::Containerd;
pub use enclosure::{Enclosure, Inside};
pub use engine::{Engine, Runtime};
pub use served::Served;

/// Why containerd cannot be run here, unless it can.
pub fn why_not() -> Option<String> {
    if !crate::command::is_root() {
        return Some("containers need the superuser".to_owned());
    }
    let program = ["patchelf", "docker-registry", "skopeo", "unshare", "nsenter", "setpriv"]
        .into_iter()
        .find(|program| crate::command::find(program).is_none())?;
    Some(format!("{program} is not installed"))
}
