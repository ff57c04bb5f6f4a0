//! IPE's policy: that of the initramfs, before anything else is mounted.

use std::path::Path;

use sealpack_format::boot::initramfs;
use sealpack_kernel::Kernel;
use sealpack_kernel::ipe::{Ipe, Policy, PolicyVersion};

use super::failure::Failure;
use super::files;
use crate::kernel_log::{self, Matters};

/// The largest signed policy that the kernel takes, in bytes, is smaller: its PKCS#7 parser ends at 64 KiB.
pub(super) const POLICY_MAX_BYTES: usize = 64 * 1024;

/// The policy that decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Active {
    pub(super) name: String,
    pub(super) version: PolicyVersion,
    /// The file that it came from, if that is not the initramfs's.
    pub(super) update: Option<String>,
}

/// IPE, which a sealed host does not start without.
///
/// # Errors
/// The kernel has none, or it is not among the active security modules.
pub(super) fn ipe(kernel: &Kernel) -> Result<Ipe<'_>, Failure> {
    kernel.ipe().ok_or_else(|| {
        Failure::new("IPE is not active in this kernel")
            .advised("use a kernel that has IPE (Linux 6.12 and later), and no lsm= that leaves it out")
    })
}

/// Has the kernel enforce the policy of the initramfs, below `root`.
///
/// # Errors
/// The kernel refuses its signature or its text, or does not enforce.
pub(super) fn activate(kernel: &Kernel, root: &Path) -> Result<Active, Failure> {
    let ipe = ipe(kernel)?;
    let signed = files::read(&root.join(initramfs::POLICY), POLICY_MAX_BYTES)?;
    let before = ipe.policies()?;
    ipe.load(&signed)?;
    let name = added(&before, &ipe.policies()?)?;
    ipe.activate(&name)?;
    let active = ipe.active_policy()?;
    let Some(Policy { name, version, .. }) = active.filter(|active| active.name == name) else {
        return Err(Failure::new(format!("the kernel took the policy {name}, and it does not decide")));
    };
    if !ipe.is_enforcing()? {
        return Err(Failure::new("IPE only logs what it denies (ipe.enforce)"));
    }
    kernel_log::write(Matters::Notice, &format!("the policy {name} {version} is enforced"));
    Ok(Active { name, version, update: None })
}

/// The name of the one policy that is new.
fn added(before: &[Policy], after: &[Policy]) -> Result<String, Failure> {
    let is_new = |policy: &&Policy| before.iter().all(|known| known.name != policy.name);
    match after.iter().filter(is_new).collect::<Vec<_>>()[..] {
        [policy] => Ok(policy.name.clone()),
        ref new => Err(Failure::new(format!("one policy was loaded, and {} are new", new.len()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(name: &str) -> Policy {
        let version = "1.0.0".parse().unwrap();
        Policy { name: name.to_owned(), version, active: false, text: String::new() }
    }

    #[test]
    fn the_policy_that_was_loaded_is_the_one_that_is_new() {
        let built_in = policy("boot");
        let both = [built_in.clone(), policy("host")];
        assert_eq!(added(&both[..1], &both).unwrap(), "host");
        assert_eq!(added(&[], &both[..1]).unwrap(), "boot");
        assert!(added(&both, &both).unwrap_err().why.ends_with("0 are new"));
        assert!(added(&[], &both).unwrap_err().why.ends_with("2 are new"));
    }
}
