//! An image's config and what is wanted, put together.

use crate::accounts::{Accounts, Identity};
use crate::capabilities::Capabilities;
use crate::limits::{Limits, PERIOD_MICROSECONDS};
use crate::mounts::{Tmpfs, Volume, Wanted, all, normal};
use crate::seccomp::{Machine, Profile};
use crate::spec::{
    CapabilitySets, CpuLimit, DeviceRule, Linux, MemoryLimit, Namespace, PidsLimit, Process, Resources, Root,
    Spec, User,
};
use crate::{Error, ImageConfig, annotations, command, environment, signals};

/// What is hidden from containers: what tells of the host, or changes it (the list of all engines).
const MASKED: [&str; 11] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
];

/// What containers cannot write to, root in them included.
const READ_ONLY: [&str; 5] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// The network that a container has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Network {
    /// None but itself.
    #[default]
    None,
    /// The host's.
    Host,
}

/// What is wanted of a container besides what its image says.
#[derive(Debug, Clone, Default)]
pub struct Wishes {
    /// Where the root directory will be, as the bundle sees it.
    pub root: String,
    /// Whether nothing can be written to it.
    pub read_only: bool,
    /// What is started instead of the image's entrypoint.
    pub entrypoint: Option<Vec<String>>,
    /// What is started instead of the image's command.
    pub command: Vec<String>,
    /// Variables as `NAME=VALUE`.
    pub variables: Vec<String>,
    /// `USER[:GROUP]` instead of the image's.
    pub user: Option<String>,
    /// Where it is started, instead of where the image says.
    pub directory: Option<String>,
    /// Directories and files of the host's.
    pub volumes: Vec<Volume>,
    /// Filesystems in memory.
    pub tmpfs: Vec<Tmpfs>,
    /// The network.
    pub network: Network,
    /// What it may use.
    pub limits: Limits,
    /// Capabilities besides the usual ones.
    pub add_capabilities: Vec<String>,
    /// Capabilities that it is not to have.
    pub drop_capabilities: Vec<String>,
    /// Whether its first process has a terminal.
    pub terminal: bool,
    /// The name of its machine.
    pub hostname: Option<String>,
    /// Where its resources are counted.
    pub cgroup: Option<String>,
}

/// What a runtime is to be told: the image's config, with what is wanted in the place of what it says. `filter` is the
/// profile of system calls and the machine that it is for; without one, every call goes through.
///
/// # Errors
/// [`Error`], where image or wishes say what cannot be.
pub fn plan(
    image: &ImageConfig,
    accounts: &Accounts,
    wishes: &Wishes,
    filter: Option<(&Profile, &Machine)>,
) -> Result<Spec, Error> {
    let settings = &image.config;
    if !settings.stop_signal.is_empty() {
        signals::parse(&settings.stop_signal).map_err(Error::StopSignal)?;
    }
    let identity = accounts.identity(wishes.user.as_deref().unwrap_or(&settings.user))?;
    let capabilities = Capabilities::new(&wishes.add_capabilities, &wishes.drop_capabilities)?;
    let seccomp =
        filter.map(|(profile, machine)| profile.resolve(machine, &capabilities.bounding)).transpose()?;
    let hostname = wishes.hostname.as_deref();
    let process = Process {
        terminal: wishes.terminal,
        args: command::words(settings, wishes.entrypoint.as_deref(), &wishes.command)?,
        env: environment::variables(
            &settings.env,
            &wishes.variables,
            (&identity.home, wishes.terminal, hostname),
        )?,
        cwd: directory(&settings.working_dir, wishes.directory.as_deref())?,
        capabilities: sets(capabilities, identity.uid),
        no_new_privileges: false,
        user: user(identity),
    };
    let mounts = all(Wanted {
        volumes: &wishes.volumes,
        tmpfs: &wishes.tmpfs,
        of_image: &settings.volumes,
        read_only: wishes.read_only,
    })?;
    let linux = Linux {
        cgroups_path: wishes.cgroup.clone(),
        resources: resources(&wishes.limits),
        namespaces: namespaces(wishes.network),
        seccomp,
        masked_paths: MASKED.to_vec(),
        readonly_paths: READ_ONLY.to_vec(),
    };
    let root = Root { path: wishes.root.clone(), readonly: wishes.read_only };
    Ok(Spec::new(process, root, wishes.hostname.clone(), mounts, annotations::of(image), linux))
}

/// Where it starts. Images may say so relative to the root, which engines let them.
fn directory(of_image: &str, wanted: Option<&str>) -> Result<String, Error> {
    let path = match wanted {
        Some(wanted) if !wanted.starts_with('/') => return Err(Error::RelativeDirectory(wanted.to_owned())),
        Some(wanted) => wanted.to_owned(),
        None => format!("/{of_image}"),
    };
    match path.trim_matches('/') {
        "" => Ok("/".to_owned()),
        _ => normal(&path).ok_or(Error::RelativeDirectory(path)),
    }
}

fn user(identity: Identity) -> User {
    User { uid: identity.uid, gid: identity.gid, additional_gids: identity.further_gids }
}

/// Root has them all; others what was added for them, and can get the rest from programs with file capabilities.
fn sets(capabilities: Capabilities, uid: u32) -> CapabilitySets {
    let Capabilities { bounding, added } = capabilities;
    let none = std::collections::BTreeSet::new;
    match uid {
        0 => CapabilitySets {
            effective: bounding.clone(),
            permitted: bounding.clone(),
            bounding,
            inheritable: none(),
            ambient: none(),
        },
        _ => CapabilitySets {
            effective: added.clone(),
            permitted: added.clone(),
            inheritable: added.clone(),
            ambient: added,
            bounding,
        },
    }
}

fn resources(limits: &Limits) -> Resources {
    Resources {
        devices: [DeviceRule { allow: false, access: "rwm" }],
        memory: limits.memory.map(|memory| MemoryLimit { limit: memory.bytes() }),
        cpu: limits.cpus.map(|cpus| CpuLimit { quota: cpus.quota(), period: PERIOD_MICROSECONDS }),
        pids: limits.processes.limit().map(|limit| PidsLimit { limit }),
    }
}

fn namespaces(network: Network) -> Vec<Namespace> {
    let own = ["pid", "ipc", "uts", "mount", "cgroup"].into_iter();
    let network = (network == Network::None).then_some("network");
    own.chain(network).map(|kind| Namespace { kind }).collect()
}

#[cfg(test)]
mod tests;
