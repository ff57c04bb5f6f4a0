//! What decides about execution, and what keeps that from being undone.

use super::system::{KernelVersion, System};
use super::{Finding, available, missing, unknown};

pub(super) fn ipe(system: &System) -> Finding {
    match security_modules(system) {
        Ok(list) if list.split(',').any(|name| name == "ipe") => available("active"),
        Ok(list) => missing(format!("not among the security modules: {list}")),
        Err(finding) => finding,
    }
}

pub(super) fn ipe_enforcing(system: &System) -> Finding {
    let (status, detail) = ipe(system);
    if status != super::Status::Available {
        return (status, detail);
    }
    let policies = "sys/kernel/security/ipe/policies";
    let active = system
        .names(policies)
        .into_iter()
        .find(|name| system.text(format!("{policies}/{name}/active")).is_ok_and(|text| text == "1"));
    let enforced = system.text("sys/kernel/security/ipe/enforce");
    match (active, enforced.as_deref()) {
        (_, Err(error)) => unknown(format!("/sys/kernel/security/ipe/enforce: {error}")),
        (None, Ok(_)) => missing("no policy is active"),
        (Some(name), Ok("1")) => available(format!("{name} is active and enforced")),
        (Some(name), Ok(_)) => missing(format!("{name} is active, but not enforced")),
    }
}

pub(super) fn lockdown(system: &System) -> Finding {
    // `none [integrity] confidentiality`: the brackets mark what holds.
    let Ok(text) = system.text("sys/kernel/security/lockdown") else {
        return match security_modules(system) {
            Ok(_) => missing("the security module lockdown is not active"),
            Err(finding) => finding,
        };
    };
    match text.split_whitespace().find_map(|word| word.strip_prefix('[')?.strip_suffix(']')) {
        Some("none") => missing("none"),
        Some(level) => available(level),
        None => unknown(format!("/sys/kernel/security/lockdown says {text:?}")),
    }
}

pub(super) fn ptrace_scope(system: &System) -> Finding {
    match system.text("proc/sys/kernel/yama/ptrace_scope").map(|text| text.parse::<u32>()) {
        Ok(Ok(0)) => missing("ptrace_scope is 0"),
        Ok(Ok(scope)) => available(format!("ptrace_scope is {scope}")),
        Ok(Err(_)) => unknown("ptrace_scope is not a number"),
        Err(_) => missing("the security module Yama is not active"),
    }
}

pub(super) fn proc_mem(system: &System) -> Finding {
    const SINCE: KernelVersion = KernelVersion { major: 6, minor: 12 };
    match system.version() {
        Some(version) if version < SINCE => return missing("the kernel is older than 6.12"),
        Some(_) => {}
        None => return unknown("the kernel's release cannot be read"),
    }
    match system.boot_parameter("proc_mem.force_override").as_deref() {
        Some("never") => return available("proc_mem.force_override=never"),
        Some(value @ ("always" | "ptrace")) => return missing(format!("proc_mem.force_override={value}")),
        _ => {}
    }
    // One of three is set, unless the configuration cannot be read.
    let is_set = |option: &str| system.config(option).as_deref() == Some("y");
    if is_set("CONFIG_PROC_MEM_NO_FORCE") {
        available("built in as the default")
    } else if is_set("CONFIG_PROC_MEM_ALWAYS_FORCE") || is_set("CONFIG_PROC_MEM_FORCE_PTRACE") {
        missing("not on the kernel's command line, and not the default")
    } else {
        unknown("not on the kernel's command line, and there is no kernel configuration to look into")
    }
}

pub(super) fn user_namespaces(system: &System) -> Finding {
    let number = |path: &str| system.text(path).ok().and_then(|text| text.parse::<u64>().ok());
    match number("proc/sys/user/max_user_namespaces") {
        None => return missing("the kernel was built without them"),
        Some(0) => return missing("user.max_user_namespaces is 0"),
        Some(_) => {}
    }
    if number("proc/sys/kernel/unprivileged_userns_clone") == Some(0) {
        return missing("for root only: kernel.unprivileged_userns_clone is 0");
    }
    if number("proc/sys/kernel/apparmor_restrict_unprivileged_userns") == Some(1) {
        return missing(
            "for programs only that AppArmor allows: kernel.apparmor_restrict_unprivileged_userns is 1",
        );
    }
    available("for everybody")
}

/// The active security modules, separated by commas.
fn security_modules(system: &System) -> Result<String, Finding> {
    system.text("sys/kernel/security/lsm").map_err(|error| {
        if !system.has_filesystem("securityfs") {
            return missing("the kernel has no securityfs, hence no such security module");
        }
        match error.kind() {
            std::io::ErrorKind::PermissionDenied => unknown("only root can read /sys/kernel/security/lsm"),
            _ => unknown("securityfs is not mounted (mount -t securityfs securityfs /sys/kernel/security)"),
        }
    })
}
