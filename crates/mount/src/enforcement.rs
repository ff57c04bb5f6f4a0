//! Whether the kernel refuses to execute what its policy does not allow.

use sealpack_kernel::Kernel;

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
    if denies_execute_by_default(&policy.text) {
        Ok(())
    } else {
        Err(format!("the active IPE policy {} does not deny execution by default", policy.name))
    }
}

/// Whether a policy's text has a default for EXECUTE that denies, or none and a global one that
/// does. The kernel has accepted the text, so it is well-formed.
fn denies_execute_by_default(text: &str) -> bool {
    let (mut global, mut execute) = (None, None);
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or_default();
        let words: Vec<&str> = line.split_whitespace().collect();
        let Some(("DEFAULT", rest)) = words.split_first().map(|(first, rest)| (*first, rest)) else {
            continue;
        };
        let denies = rest.contains(&"action=DENY");
        if rest.contains(&"op=EXECUTE") {
            execute = Some(denies);
        } else if !rest.iter().any(|word| word.starts_with("op=")) {
            global = Some(denies);
        }
    }
    execute.or(global) == Some(true)
}
