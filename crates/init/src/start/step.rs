//! The steps from the kernel's start to the system's.

use std::fmt;

use sealpack_format::boot::Hardening;

/// A step. Each is done once, in the order of [`super::start`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// The kernel's own filesystems, and `/run`.
    Mounts,
    /// The command line, compared with the signed one and read.
    CommandLine,
    /// The process that starts the machine again when the others take too long.
    Deadline,
    /// The modules of the initramfs.
    Modules,
    /// The certificates of the initramfs, in the keyring of dm-verity.
    Keyring,
    /// The policy of the initramfs, active and enforced.
    Policy,
    /// The data partition.
    Data,
    /// Later versions of the policy, from the data partition.
    PolicyUpdates,
    /// The image, mounted enforced.
    Image,
    /// `/etc`.
    Etc,
    /// `/var` and `/home`.
    State,
    /// The broker, in a process of its own.
    Broker,
    /// One of what is taken away from root.
    Hardening(Hardening),
    /// The filter of system calls, which is two of those.
    Filter,
    /// Handing over to the system's own first process.
    Switch,
}

impl Step {
    /// As messages and reports call it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Mounts => "mounts",
            Self::CommandLine => "command-line",
            Self::Deadline => "deadline",
            Self::Modules => "modules",
            Self::Keyring => "keyring",
            Self::Policy => "policy",
            Self::Data => "data-partition",
            Self::PolicyUpdates => "policy-updates",
            Self::Image => "image",
            Self::Etc => "etc",
            Self::State => "state",
            Self::Broker => "broker",
            Self::Hardening(hardening) => hardening.name(),
            Self::Filter => "system-call-filter",
            Self::Switch => "switch",
        }
    }

    /// What to do where it fails, unless the failure knows better.
    pub(super) const fn advice(self) -> &'static str {
        match self {
            Self::Mounts => {
                "build the UKI with a kernel that has what sealed hosts need (docs/sealed-hosts.md)"
            }
            Self::CommandLine => "start it without further words, or build the UKI anew",
            Self::Deadline => "give the machine more memory",
            Self::Modules => "build the UKI from the image whose kernel is in it",
            Self::Keyring => "build the UKI with certificates in the form that the kernel reads",
            Self::Policy => "sign the policy with a key that the firmware's db has, and build the UKI anew",
            Self::Data => "check the disk from another system (e2fsck)",
            Self::PolicyUpdates => "remove the file",
            Self::Image => "start an older UKI, or bring the image to the store anew from another system",
            Self::Etc => "mend the image, or what is kept on the data partition",
            Self::State => "mend the image, or make room on the data partition",
            Self::Broker => {
                "use a kernel that has what images in packs need, as modules of the initramfs or built in"
            }
            Self::Hardening(_) | Self::Filter => {
                "use a kernel that has it, or build the UKI without it (sealpack.off) if its price is known"
            }
            Self::Switch => "mend the image: sealpack host check",
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
