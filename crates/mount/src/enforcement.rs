//! Whether the kernel refuses to execute what its policy does not allow.

use sealpack_kernel::Kernel;
use sealpack_trust::policy::Policy;

/// Whether IPE is active and enforcing, with an active policy that denies execution by default.
///
/// # Errors
/// In words, what is not so, or cannot be found out.
pub fn in_force(kernel: &Kernel) -> Result<(), String> {
    let Some(ipe) = kernel.ipe() else {
        return Err("IPE is not active in this kernel, or securityfs is not mounted".to_owned());
    };
    let active = ipe.active_policy().map_err(|error| format!("IPE's policies cannot be read: {error}"))?;
    let Some(policy) = active else { return Err("no IPE policy is active".to_owned()) };
    match ipe.is_enforcing() {
        Ok(true) => {}
        Ok(false) => {
            return Err(format!(
                "the IPE policy {} is active, but IPE only logs what it denies",
                policy.name
            ));
        }
        Err(error) => return Err(format!("whether IPE enforces cannot be read: {error}")),
    }
    let denies = match Policy::parse(policy.text.as_bytes()) {
        Ok(parsed) => parsed.denies_execute_by_default(),
        Err(error) => return Err(format!("the active IPE policy {} cannot be read: {error}", policy.name)),
    };
    if denies {
        Ok(())
    } else {
        Err(format!("the active IPE policy {} does not deny execution by default", policy.name))
    }
}
