//! What counts of a profile for one container on one machine.

use std::collections::BTreeSet;

use super::profile::{Condition, Profile, ProfileError, Rule};
use crate::spec::{Seccomp, SyscallRule};

/// Processors: as Go calls them, as libseccomp does, and by which other names profiles know them.
const PROCESSORS: [(&str, &str, &[&str]); 12] = [
    ("386", "SCMP_ARCH_X86", &["x86"]),
    ("amd64", "SCMP_ARCH_X86_64", &["x86_64"]),
    ("arm", "SCMP_ARCH_ARM", &[]),
    ("arm64", "SCMP_ARCH_AARCH64", &["aarch64"]),
    ("loong64", "SCMP_ARCH_LOONGARCH64", &["loongarch64"]),
    ("mips64", "SCMP_ARCH_MIPS64", &[]),
    ("mips64le", "SCMP_ARCH_MIPSEL64", &["mipsel64"]),
    ("ppc64", "SCMP_ARCH_PPC64", &[]),
    ("ppc64le", "SCMP_ARCH_PPC64LE", &[]),
    ("riscv64", "SCMP_ARCH_RISCV64", &[]),
    ("s390", "SCMP_ARCH_S390", &[]),
    ("s390x", "SCMP_ARCH_S390X", &[]),
];

/// The numbers of errors on Linux, those that are the same on all processors of the list but for MIPS' `ENOSYS`.
const ERRORS: [(&str, u32); 12] = [
    ("EPERM", 1),
    ("ENOENT", 2),
    ("EIO", 5),
    ("EAGAIN", 11),
    ("ENOMEM", 12),
    ("EACCES", 13),
    ("EBUSY", 16),
    ("EEXIST", 17),
    ("ENODEV", 19),
    ("EINVAL", 22),
    ("ENOSYS", 38),
    ("EAFNOSUPPORT", 97),
];

/// What a profile is resolved for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    /// The processor, as Go and OCI images call it.
    pub architecture: String,
    /// The kernel's version, the first two numbers of it.
    pub kernel: (u32, u32),
}

impl Profile {
    /// The filter for a container that has these capabilities.
    ///
    /// # Errors
    /// [`ProfileError`], where the profile says nothing of the processor, or something that is not known.
    pub fn resolve(
        &self,
        machine: &Machine,
        capabilities: &BTreeSet<String>,
    ) -> Result<Seccomp, ProfileError> {
        let processor = PROCESSORS.iter().find(|(name, ..)| *name == machine.architecture);
        let (name, libseccomp, others) =
            processor.ok_or_else(|| ProfileError::Processor(machine.architecture.clone()))?;
        let names: Vec<&str> = others.iter().copied().chain([*name]).collect();
        let mut syscalls = Vec::new();
        for rule in &self.syscalls {
            if counts(rule, &names, capabilities, machine.kernel)? {
                syscalls.push(written(rule)?);
            }
        }
        Ok(Seccomp {
            default_action: self.default_action.clone(),
            default_errno_ret: errno(self.default_errno.as_deref(), self.default_errno_ret)?,
            architectures: self.architectures_of(libseccomp)?,
            syscalls,
        })
    }

    /// The processor's own name, and those of which it runs programs too.
    fn architectures_of(&self, libseccomp: &str) -> Result<Vec<String>, ProfileError> {
        if self.arch_map.is_empty() {
            return Ok(self.architectures.clone());
        }
        let family = self.arch_map.iter().find(|family| family.architecture == libseccomp);
        let family = family.ok_or_else(|| ProfileError::Processor(libseccomp.to_owned()))?;
        let further = family.sub_architectures.iter().flatten();
        Ok([&family.architecture].into_iter().chain(further).cloned().collect())
    }
}

/// Whether a rule counts: all capabilities that it includes are there, none that it excludes, and so on.
fn counts(
    rule: &Rule,
    names: &[&str],
    capabilities: &BTreeSet<String>,
    kernel: (u32, u32),
) -> Result<bool, ProfileError> {
    let is_one = |arches: &[String]| arches.iter().any(|arch| names.contains(&arch.as_str()));
    let has = |capability: &String| capabilities.contains(capability);
    let Condition { arches, caps, min_kernel } = &rule.includes;
    let is_included = (arches.is_empty() || is_one(arches))
        && caps.iter().all(has)
        && is_at_least(min_kernel.as_deref(), kernel)?.unwrap_or(true);
    let Condition { arches, caps, min_kernel } = &rule.excludes;
    let is_excluded = is_one(arches)
        || caps.iter().any(has)
        || is_at_least(min_kernel.as_deref(), kernel)?.unwrap_or(false);
    Ok(is_included && !is_excluded)
}

/// Whether the kernel is as new as `wanted`, if anything is.
fn is_at_least(wanted: Option<&str>, kernel: (u32, u32)) -> Result<Option<bool>, ProfileError> {
    let Some(wanted) = wanted.filter(|wanted| !wanted.is_empty()) else { return Ok(None) };
    let mut numbers = wanted.split('.').map(|number| number.parse::<u32>().ok());
    match (numbers.next().flatten(), numbers.next().flatten(), numbers.next()) {
        (Some(major), Some(minor), None) => Ok(Some(kernel >= (major, minor))),
        _ => Err(ProfileError::Kernel(wanted.to_owned())),
    }
}

fn written(rule: &Rule) -> Result<SyscallRule, ProfileError> {
    Ok(SyscallRule {
        names: rule.names.iter().chain(&rule.name).cloned().collect(),
        action: rule.action.clone(),
        errno_ret: errno(rule.errno.as_deref(), rule.errno_ret)?,
        args: rule.args.clone().unwrap_or_default(),
    })
}

/// The number of an error: by its name, or else as it stands.
fn errno(name: Option<&str>, number: Option<u32>) -> Result<Option<u32>, ProfileError> {
    let Some(name) = name.filter(|name| !name.is_empty()) else { return Ok(number) };
    match (ERRORS.iter().find(|(known, _)| *known == name), number) {
        (Some((_, known)), _) => Ok(Some(*known)),
        (None, Some(number)) => Ok(Some(number)),
        (None, None) => Err(ProfileError::Errno(name.to_owned())),
    }
}
