//! `config.json` (OCI runtime specification 1.0.2, config.md and config-linux.md), as far as it is written here.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

/// The version of the specification that is kept to: what runc 1.0 and crun 0.20 know.
const VERSION: &str = "1.0.2";

/// A container, as a runtime takes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Spec {
    oci_version: &'static str,
    /// What is started.
    pub process: Process,
    /// Its root directory.
    pub root: Root,
    /// The name of its machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// What is mounted, in order.
    pub mounts: Vec<Mount>,
    /// What is said of it.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// What Linux has.
    pub linux: Linux,
}

/// A container's first process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Process {
    /// Whether it has a terminal of its own.
    pub terminal: bool,
    /// Who it is.
    pub user: User,
    /// Program and arguments; at least one.
    pub args: Vec<String>,
    /// Variables as `NAME=VALUE`.
    pub env: Vec<String>,
    /// Where it starts, an absolute path.
    pub cwd: String,
    /// What it may.
    pub capabilities: CapabilitySets,
    /// Whether executing can give it more than it has.
    pub no_new_privileges: bool,
}

/// Who a process is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct User {
    /// The user's number.
    pub uid: u32,
    /// The group's number.
    pub gid: u32,
    /// Further groups.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub additional_gids: Vec<u32>,
}

/// The capabilities of a process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CapabilitySets {
    /// What it can ever get.
    pub bounding: BTreeSet<String>,
    /// What it can use.
    pub effective: BTreeSet<String>,
    /// What it can make usable.
    pub permitted: BTreeSet<String>,
    /// What it can hand on.
    pub inheritable: BTreeSet<String>,
    /// What it keeps whatever it executes.
    pub ambient: BTreeSet<String>,
}

/// A container's root directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Root {
    /// The directory, as the bundle's `config.json` sees it.
    pub path: String,
    /// Whether nothing can be written to it.
    pub readonly: bool,
}

/// Something mounted in a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Mount {
    /// Where, an absolute path in the container.
    pub destination: String,
    /// What kind of filesystem.
    #[serde(rename = "type")]
    pub fs_type: String,
    /// What of.
    pub source: String,
    /// How.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<String>,
    /// Whether a file is mounted, and not a directory.
    #[serde(skip)]
    pub is_file: bool,
}

/// What Linux has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Linux {
    /// Where its resources are counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cgroups_path: Option<String>,
    /// What it may use.
    pub resources: Resources,
    /// What it has of its own.
    pub namespaces: Vec<Namespace>,
    /// System calls.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seccomp: Option<Seccomp>,
    /// Paths that are hidden from it.
    pub masked_paths: Vec<&'static str>,
    /// Paths that it cannot write to.
    pub readonly_paths: Vec<&'static str>,
}

/// A namespace, made for the container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Namespace {
    /// Of what.
    #[serde(rename = "type")]
    pub kind: &'static str,
}

/// What a container may use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Resources {
    /// Devices: none, but for those that runtimes give every container.
    pub devices: [DeviceRule; 1],
    /// Memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<MemoryLimit>,
    /// Processors.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu: Option<CpuLimit>,
    /// Processes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pids: Option<PidsLimit>,
}

/// Whether devices can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct DeviceRule {
    /// Whether they can.
    pub allow: bool,
    /// For what: `r`, `w`, `m` (mknod).
    pub access: &'static str,
}

/// Memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct MemoryLimit {
    /// In bytes.
    pub limit: i64,
}

/// Processors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct CpuLimit {
    /// Microseconds in each period.
    pub quota: i64,
    /// Microseconds.
    pub period: u64,
}

/// Processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct PidsLimit {
    /// How many.
    pub limit: i64,
}

/// A filter of system calls.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Seccomp {
    /// What becomes of those that no rule is for.
    pub default_action: String,
    /// The error that they get.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_errno_ret: Option<u32>,
    /// The processors whose calls are known.
    pub architectures: Vec<String>,
    /// The rules.
    pub syscalls: Vec<SyscallRule>,
}

/// A rule of a filter of system calls.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SyscallRule {
    /// For which calls.
    pub names: Vec<String>,
    /// What becomes of them.
    pub action: String,
    /// The error that they get.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub errno_ret: Option<u32>,
    /// With which arguments.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<ArgumentRule>,
}

/// What an argument of a system call has to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ArgumentRule {
    /// Which, from 0.
    pub index: u32,
    /// What it is compared with.
    pub value: u64,
    /// What besides.
    #[serde(default)]
    pub value_two: u64,
    /// How, as `SCMP_CMP_EQ`.
    pub op: String,
}

impl Spec {
    pub(crate) const fn new(
        process: Process,
        root: Root,
        hostname: Option<String>,
        mounts: Vec<Mount>,
        annotations: BTreeMap<String, String>,
        linux: Linux,
    ) -> Self {
        Self { oci_version: VERSION, process, root, hostname, mounts, annotations, linux }
    }

    /// As the file that a runtime reads, with a newline at its end.
    #[must_use]
    pub fn to_json(&self) -> String {
        let text =
            serde_json::to_string_pretty(self).expect("maps have texts as keys, and nothing else can fail");
        text + "\n"
    }
}
