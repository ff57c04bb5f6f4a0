//! Whether the kernel refuses to execute what its policy does not allow.

use std::fmt;

use sealpack_format::digest::RootHash;
use sealpack_kernel::Kernel;
use sealpack_kernel::ipe::{Ipe, PolicyVersion};
use sealpack_trust::policy::{Action, Dmverity, ParseError, Policy};

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

/// A dm-verity device that something is to be executed from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExecutedDevice {
    /// What messages call it, such as `the pack`.
    pub what: &'static str,
    /// Its root hash.
    pub root_hash: RootHash,
    /// Whether the kernel accepted a signature of that.
    pub signed: bool,
}

/// Whether IPE is active and enforcing, with an active policy that denies execution by default.
///
/// # Errors
/// In words, what is not so, or cannot be found out.
pub fn in_force(kernel: &Kernel) -> Result<(), String> {
    policy_in_force(kernel).map(drop)
}

/// Whether IPE is [in force](in_force), and its policy lets everything execute that is on these devices.
///
/// # Errors
/// In words, what is not so, or cannot be found out; for a device, which, and the rule that denies it.
pub fn in_force_for(
    kernel: &Kernel,
    devices: impl IntoIterator<Item = ExecutedDevice>,
) -> Result<(), String> {
    let (name, policy) = policy_in_force(kernel)?;
    devices.into_iter().try_for_each(|device| allows(&name, &policy, device))
}

/// That the policy of that name lets everything execute that is on a device.
fn allows(name: &str, policy: &Policy, device: ExecutedDevice) -> Result<(), String> {
    let ExecutedDevice { what, root_hash, signed } = device;
    let decision = policy.executes_from(Dmverity { root_hash: Some(root_hash), signed });
    match decision.action {
        Action::Allow => Ok(()),
        Action::Deny => Err(format!(
            "the active IPE policy {name} denies executing what is on {what} with root hash {root_hash}, by {} ({})",
            decision.rule_text(),
            decision.reason()
        )),
    }
}

/// The name and the rules of the policy that is enforced, and denies execution by default.
fn policy_in_force(kernel: &Kernel) -> Result<(String, Policy), String> {
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
        Ok(policy) if policy.denies_execute_by_default() => Ok((name, policy)),
        Ok(_) => Err(format!("the active IPE policy {name} does not deny execution by default")),
        Err(error) => Err(format!("the active IPE policy {name} cannot be read: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A pack was revoked by its root hash in the policy; mounts of it were called enforced nevertheless.
    #[test]
    fn a_device_that_the_policy_denies_is_named_with_the_rule() {
        let denied = RootHash::new([7; 32]);
        let rule = format!("op=EXECUTE dmverity_roothash=sha256:{denied} action=DENY");
        let text = format!(
            "policy_name=final policy_version=1.0.0\nDEFAULT action=ALLOW\nDEFAULT op=EXECUTE action=DENY\n{rule}\n\
             op=EXECUTE dmverity_signature=TRUE action=ALLOW\n"
        );
        let policy = Policy::parse(text.as_bytes()).expect("a policy");
        let allows =
            |what, root_hash, signed| allows("final", &policy, ExecutedDevice { what, root_hash, signed });
        assert_eq!(allows("the metadata image", RootHash::new([8; 32]), true), Ok(()));
        let why = allows("the pack", denied, true).expect_err("it is denied");
        let wanted = format!(
            "the active IPE policy final denies executing what is on the pack with root hash {denied}, by {rule} \
             (it is on the dm-verity device with this root hash)"
        );
        assert_eq!(why, wanted);
        let why = allows("the pack", RootHash::new([8; 32]), false).expect_err("it is not signed");
        assert!(why.contains("by DEFAULT op=EXECUTE action=DENY (no rule matches: "), "{why}");
    }

    /// A policy for the devices of one image: another image is signed as well, and nothing of it is executed.
    #[test]
    fn a_signed_device_that_a_policy_for_other_devices_does_not_name_is_denied() {
        let [named, other] = [7, 8].map(|byte| RootHash::new([byte; 32]));
        let text = format!(
            "policy_name=host policy_version=1.0.0\nDEFAULT action=ALLOW\nDEFAULT op=EXECUTE action=DENY\n\
             op=EXECUTE dmverity_roothash=sha256:{named} dmverity_signature=TRUE action=ALLOW\n"
        );
        let policy = Policy::parse(text.as_bytes()).expect("a policy");
        assert!(policy.denies_execute_by_default());
        let allows = |root_hash, signed| {
            allows("host", &policy, ExecutedDevice { what: "the pack", root_hash, signed })
        };
        assert_eq!(allows(named, true), Ok(()));
        let why = allows(other, true).expect_err("it is not named");
        assert!(
            why.contains(&other.to_string()) && why.contains("by DEFAULT op=EXECUTE action=DENY"),
            "{why}"
        );
        let why = allows(named, false).expect_err("it is not signed");
        assert!(why.contains("without an accepted signature"), "{why}");
    }
}
