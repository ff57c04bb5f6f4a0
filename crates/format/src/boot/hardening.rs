//! What a sealed host takes away from root, by name.

use std::fmt;
use std::str::FromStr;

/// One thing that a sealed host's first process takes away before the system starts. Each is on unless the signed
/// command line has its name in `sealpack.off`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Hardening {
    /// The system call filter: device-mapper's ioctls but for those that only look.
    DeviceMapper,
    /// `PR_SET_MDWE`: what was written is not made executable.
    WrittenMappings,
    /// `kernel.kexec_load_disabled`.
    Kexec,
    /// `kernel.yama.ptrace_scope` 3, and no `CAP_SYS_PTRACE`.
    Ptrace,
    /// No `CAP_MAC_ADMIN`.
    MacAdmin,
    /// The capabilities of programs that the kernel starts (`kernel.usermodehelper.bset` and `inheritable`).
    KernelHelpers,
    /// Lockdown at `integrity`, with Secure Boot or without.
    Lockdown,
    /// The system call filter: 32-bit and x32 system calls.
    ForeignAbi,
}

impl Hardening {
    /// All of them, in the order in which they are printed.
    pub const ALL: [Self; 8] = [
        Self::DeviceMapper,
        Self::WrittenMappings,
        Self::Kexec,
        Self::Ptrace,
        Self::MacAdmin,
        Self::KernelHelpers,
        Self::Lockdown,
        Self::ForeignAbi,
    ];

    /// The name, as in `sealpack.off=NAME`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::DeviceMapper => "device-mapper",
            Self::WrittenMappings => "written-mappings",
            Self::Kexec => "kexec",
            Self::Ptrace => "ptrace",
            Self::MacAdmin => "mac-admin",
            Self::KernelHelpers => "kernel-helpers",
            Self::Lockdown => "lockdown",
            Self::ForeignAbi => "foreign-abi",
        }
    }

    /// What it stops, as a phrase: what root can do on the host where it is off.
    #[must_use]
    pub const fn stops(self) -> &'static str {
        match self {
            Self::DeviceMapper => {
                "loading device-mapper tables, such as a dm-verity table that ignores corruption"
            }
            Self::WrittenMappings => {
                "executing memory that was written, such as a changed private mapping of a signed file"
            }
            Self::Kexec => "starting another kernel, with any command line",
            Self::Ptrace => {
                "reaching into other processes: ptrace, their memory, root, descriptors and namespaces"
            }
            Self::MacAdmin => "switching IPE's enforcement off, and loading policies by itself",
            Self::KernelHelpers => {
                "getting all capabilities back through a program that the kernel starts, such as core_pattern's"
            }
            Self::Lockdown => {
                "writing to the kernel's memory, through /dev/mem, kprobes, unsigned modules and the like"
            }
            Self::ForeignAbi => "32-bit and x32 system calls",
        }
    }
}

impl fmt::Display for Hardening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Hardening {
    type Err = UnknownHardening;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let known = Self::ALL.into_iter().find(|hardening| hardening.name() == name);
        known.ok_or_else(|| UnknownHardening(name.chars().take(80).collect()))
    }
}

/// A name that no hardening has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is none of {all}", all = Hardening::ALL.map(Hardening::name).join(", "))]
pub struct UnknownHardening(String);
