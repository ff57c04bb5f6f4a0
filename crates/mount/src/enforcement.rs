//! Whether the kernel refuses to execute what its policy does not allow.

use std::fmt;

use sealpack_kernel::Kernel;
use sealpack_kernel::ipe::{Ipe, PolicyVersion};
use sealpack_trust::policy::{ParseError, Policy};

/// The IPE policy that decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActivePolicy {
    /// Its name, which it keeps over all versions.
    pub name: String,
    /// Its version.
    pub version: PolicyVersion,
    /// What it says. The kernel's parser took it; ours may know less than a newer kernel's.
    pub parsed: Result<Policy, ParseError>,
}

impl ActivePolicy {
    /// Reads it from the kernel, `None` when no policy decides.
    ///
    /// # Errors
    /// If the kernel's policies cannot be read, or are shown in a form that is not known.
    pub fn read(ipe: &Ipe<'_>) -> Result<Option<Self>, sealpack_kernel::Error> {
        let active = ipe.active_policy()?;
        Ok(active.map(|policy| Self {
            name: policy.name,
            version: policy.version,
            parsed: Policy::parse(policy.text.as_bytes()),
        }))
    }
}

/// As `name version`.
impl fmt::Display for ActivePolicy {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", self.name, self.version)
    }
}

/// Whether IPE is active and enforcing, with an active policy that denies execution by default.
///
/// # Errors
/// In words, what is not so, or cannot be found out.
pub fn in_force(kernel: &Kernel) -> Result<(), String> {
    let Some(ipe) = kernel.ipe() else {
        return Err("IPE is not active in this kernel, or securityfs is not mounted".to_owned());
    };
    let active = ActivePolicy::read(&ipe);
    let active = active.map_err(|error| format!("IPE's policies cannot be read: {error}"))?;
    let Some(ActivePolicy { name, parsed, .. }) = active else {
        return Err("no IPE policy is active".to_owned());
    };
    match ipe.is_enforcing() {
        Ok(true) => {}
        Ok(false) => {
            return Err(format!("the IPE policy {name} is active, but IPE only logs what it denies"));
        }
        Err(error) => return Err(format!("whether IPE enforces cannot be read: {error}")),
    }
    match parsed {
        Ok(policy) if policy.denies_execute_by_default() => Ok(()),
        Ok(_) => Err(format!("the active IPE policy {name} does not deny execution by default")),
        Err(error) => Err(format!("the active IPE policy {name} cannot be read: {error}")),
    }
}
