//! Policies of the kernel's.

use sealpack_kernel::{Kernel, ipe};
use sealpack_mount::ActivePolicy;
use sealpack_trust::policy::audit::{Step, refusal};

use super::PolicyError;
use super::source::{GivenPolicy, Origin, ipe};

/// The policies that the kernel has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KernelPolicies {
    /// Whether IPE denies, rather than logs what it would deny.
    pub enforcing: bool,
    /// All of them, in the kernel's order.
    pub policies: Vec<ipe::Policy>,
}

impl KernelPolicies {
    /// Asks the kernel.
    ///
    /// # Errors
    /// If it has no IPE, or does not tell.
    pub fn read(kernel: &Kernel) -> Result<Self, PolicyError> {
        let ipe = ipe(kernel)?;
        Ok(Self { policies: ipe.policies()?, enforcing: ipe.is_enforcing()? })
    }
}

/// A policy that the kernel has taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded {
    /// What the kernel calls it.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Whether the kernel had another version of it.
    pub is_update: bool,
    /// Whether it decides.
    pub active: bool,
    /// Whether IPE denies, rather than logs what it would deny.
    pub enforcing: bool,
}

/// Gives a signed policy to the kernel: in the place of the version that it has, where it has one and `update` says
/// so. Has it decide, where `activate` says so.
///
/// # Errors
/// [`PolicyError::NotSigned`], [`PolicyError::NoIpe`], [`PolicyError::Refused`], or what else the kernel says.
pub fn load(
    kernel: &Kernel,
    given: &GivenPolicy,
    update: bool,
    activate: bool,
) -> Result<Loaded, PolicyError> {
    let Origin::Signed { der, .. } = &given.origin else {
        return Err(PolicyError::NotSigned { path: given.path.clone() });
    };
    let ipe = ipe(kernel)?;
    let (name, version) = (given.policy.name().to_string(), given.policy.version().to_string());
    let what = format!("policy {name} version {version}");
    let is_update = update && ipe.policies()?.iter().any(|policy| policy.name == name);
    if is_update {
        ipe.update(&name, der).map_err(|error| refused(Step::Update, &what, error))?;
    } else {
        ipe.load(der).map_err(|error| refused(Step::Load, &what, error))?;
    }
    if activate {
        ipe.activate(&name).map_err(|error| refused(Step::Activate, &what, error))?;
    }
    let active = ActivePolicy::read(&ipe)?.is_some_and(|active| active.name == name);
    Ok(Loaded { name, version, is_update, active, enforcing: ipe.is_enforcing()? })
}

/// Has a policy decide that the kernel has. Answers whether IPE denies, rather than logs what it would deny.
///
/// # Errors
/// [`PolicyError::NoIpe`], [`PolicyError::Refused`], or what else the kernel says.
pub fn activate(kernel: &Kernel, name: &str) -> Result<bool, PolicyError> {
    let ipe = ipe(kernel)?;
    let what = format!("to activate policy {name}");
    ipe.activate(name).map_err(|error| refused(Step::Activate, &what, error))?;
    Ok(ipe.is_enforcing()?)
}

/// What the kernel refused, with what it means.
fn refused(step: Step, what: &str, error: sealpack_kernel::Error) -> PolicyError {
    match refusal(step, error.errno().raw_os_error()) {
        Some(refusal) => PolicyError::Refused { what: what.to_owned(), refusal },
        None => error.into(),
    }
}
