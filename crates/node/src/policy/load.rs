//! Policies of the kernel's.

use sealpack_kernel::capabilities::CapabilitySet;
use sealpack_kernel::{Kernel, ipe};
use sealpack_mount::{ActivePolicy, Broker};
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
    /// What was done.
    pub done: Done,
    /// Whether it decides.
    pub active: bool,
    /// Whether IPE denies, rather than logs what it would deny.
    pub enforcing: bool,
}

/// What was done to have the kernel have a policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Done {
    /// It was loaded; the kernel had none of the name.
    Loaded,
    /// It took the place of an older version.
    Updated,
    /// Nothing: the kernel has this very version.
    WasThere,
}

/// How a policy is given to the kernel.
#[derive(Debug, Clone, Copy)]
pub struct Loading<'b> {
    /// In the place of the version that the kernel has, if it has one. One that it has already is as good as a new one.
    pub update: bool,
    /// And it is to decide.
    pub activate: bool,
    /// Who may be asked where this process may not do it. The broker updates the active policy, and nothing else.
    pub broker: Option<&'b Broker>,
}

/// Gives a signed policy to the kernel.
///
/// # Errors
/// [`PolicyError::NotSigned`], [`PolicyError::NoIpe`], [`PolicyError::Refused`], [`PolicyError::OnlyUpdates`], or what
/// else the kernel or the broker says.
pub fn load(kernel: &Kernel, given: &GivenPolicy, loading: Loading<'_>) -> Result<Loaded, PolicyError> {
    let Origin::Signed { der, .. } = &given.origin else {
        return Err(PolicyError::NotSigned { path: given.path.clone() });
    };
    let ipe = ipe(kernel)?;
    let (name, version) = (given.policy.name().to_string(), given.policy.version().to_string());
    let what = format!("policy {name} version {version}");
    let before = ipe.policies()?.into_iter().find(|policy| policy.name == name);
    let is_same =
        |before: &ipe::Policy| before.version.to_string() == version && before.text.as_bytes() == given.text;
    // Nobody but the broker can load anything then, and what decides is active already.
    let asked = asked(kernel, loading.broker)?;
    let done = match (&before, asked) {
        (Some(before), _) if loading.update && is_same(before) => Done::WasThere,
        (_, Some(_)) if !loading.update => return Err(PolicyError::OnlyUpdates),
        (_, Some(broker)) => {
            let updated = broker.update_policy(kernel, der);
            updated.map_err(|error| refused_by_broker(&what, error))?;
            Done::Updated
        }
        (Some(_), None) if loading.update => {
            ipe.update(&name, der).map_err(|error| refused(Step::Update, &what, error))?;
            Done::Updated
        }
        _ => {
            ipe.load(der).map_err(|error| refused(Step::Load, &what, error))?;
            Done::Loaded
        }
    };
    if loading.activate && !is_active(&ipe, &name)? {
        ipe.activate(&name).map_err(|error| refused(Step::Activate, &what, error))?;
    }
    Ok(Loaded { active: is_active(&ipe, &name)?, name, version, done, enforcing: ipe.is_enforcing()? })
}

fn is_active(ipe: &ipe::Ipe<'_>, name: &str) -> Result<bool, PolicyError> {
    Ok(ActivePolicy::read(ipe)?.is_some_and(|active| active.name == name))
}

/// The broker, where this process may not load policies and there is one.
fn asked<'b>(kernel: &Kernel, broker: Option<&'b Broker>) -> Result<Option<&'b Broker>, PolicyError> {
    if kernel.effective_capabilities()?.contains(CapabilitySet::MAC_ADMIN) {
        return Ok(None);
    }
    let Some(broker) = broker else { return Ok(None) };
    let is_there = broker.version(kernel).map_err(PolicyError::Broker)?.is_some();
    Ok(is_there.then_some(broker))
}

/// What the kernel refused the broker, with what it means; or what the broker refused itself.
fn refused_by_broker(what: &str, error: sealpack_mount::Error) -> PolicyError {
    match error {
        sealpack_mount::Error::Call { error, .. } => refused(Step::Update, what, error),
        error => PolicyError::Broker(error),
    }
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
