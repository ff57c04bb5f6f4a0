//! The kernel, the process's privilege, and device-mapper.

use super::system::{Driver, KernelVersion, System};
use super::{Finding, available, missing, unknown};

/// `CAP_SYS_ADMIN` (include/uapi/linux/capability.h).
const CAP_SYS_ADMIN: u32 = 21;

pub(super) fn kernel(system: &System) -> Finding {
    const NEEDED: KernelVersion = KernelVersion { major: 6, minor: 7 };
    const RECOMMENDED: KernelVersion = KernelVersion { major: 6, minor: 12 };
    let release = system.release();
    match system.version() {
        None => unknown("its release cannot be read"),
        Some(version) if version < NEEDED => missing(format!("{release}, at least 6.7 is needed")),
        Some(version) if version < RECOMMENDED => {
            available(format!("{release}, at least 6.12 is recommended"))
        }
        Some(_) => available(release),
    }
}

pub(super) fn privilege(system: &System) -> Finding {
    let Ok(status) = system.text("proc/thread-self/status") else {
        return unknown("/proc/thread-self/status cannot be read");
    };
    let capabilities = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))
        .and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok());
    match capabilities {
        None => unknown("/proc/thread-self/status does not tell"),
        Some(set) if set & (1 << CAP_SYS_ADMIN) == 0 => missing("CAP_SYS_ADMIN is not effective"),
        Some(_) if is_in_user_namespace(system) => missing("in a user namespace, which does not count"),
        Some(_) => available("CAP_SYS_ADMIN"),
    }
}

/// The initial user namespace maps all IDs to themselves.
fn is_in_user_namespace(system: &System) -> bool {
    let map = system.text("proc/thread-self/uid_map").unwrap_or_default();
    map.split_whitespace().ne(["0", "0", "4294967295"])
}

pub(super) fn dm_verity(system: &System) -> Finding {
    match (system.driver("dm-mod"), system.driver("dm-verity")) {
        (Driver::Absent, _) => missing("the kernel has no device-mapper"),
        (_, Driver::Present) => available("present"),
        (_, Driver::Module) => available("a module, loaded when needed"),
        (_, Driver::Absent) => missing("the kernel has device-mapper, but not its verity target"),
        (_, Driver::Unknown) => {
            unknown(format!("not loaded, and /lib/modules/{} has no list of modules", system.release()))
        }
    }
}

/// dm-verity's parameters, each `None` where the kernel has none of that name, or has not loaded dm-verity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct VerityParameters {
    /// Devices without an accepted signature are refused.
    pub require_signatures: Option<bool>,
    /// The keyring `.dm-verity` was left open at the boot for somebody to fill and restrict it.
    pub keyring_unsealed: Option<bool>,
}

impl VerityParameters {
    /// What they are on a machine (drivers/md/dm-verity-verify-sig.c).
    #[must_use]
    pub fn of(system: &System) -> Self {
        let flag = |name: &str| {
            let text = system.text(format!("sys/module/dm_verity/parameters/{name}")).ok()?;
            Some(text == "Y" || text == "1")
        };
        Self { require_signatures: flag("require_signatures"), keyring_unsealed: flag("keyring_unsealed") }
    }
}

pub(super) fn dm_verity_signatures(system: &System) -> Finding {
    // The parameter is there only if the check was compiled in (drivers/md/dm-verity-verify-sig.c).
    if let Some(required) = VerityParameters::of(system).require_signatures {
        let suffix = if required { ", and unsigned devices are refused" } else { "" };
        return available(format!("the kernel checks signatures{suffix}"));
    }
    match (system.driver("dm-verity"), system.config("CONFIG_DM_VERITY_VERIFY_ROOTHASH_SIG").as_deref()) {
        (Driver::Absent, _) => missing("there is no dm-verity"),
        (Driver::Present, None) if system.exists("sys/module/dm_verity/parameters") => {
            missing("the kernel was built without the check of signatures")
        }
        (_, Some("y")) => available("the kernel was built with the check of signatures"),
        _ => unknown("dm-verity is not loaded, and there is no kernel configuration to look into"),
    }
}
