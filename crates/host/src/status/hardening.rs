//! Each hardening, as the kernel shows it.

use std::collections::BTreeSet;

use sealpack_format::boot::Hardening;

use super::capabilities::{MAC_ADMIN, SYS_PTRACE, Set, field};
use super::seen::{Seen, Unread};

/// What the kernel shows of a hardening.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    /// It is in force.
    On,
    /// It is not.
    Off,
    /// The kernel does not tell, or not to whom asks.
    Unknown,
}

/// A hardening.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HardeningState {
    /// Which.
    pub hardening: Hardening,
    /// Whether the signed command line leaves it out.
    pub switched_off: bool,
    /// What the kernel shows.
    pub shown: Shown,
    /// By what, in words.
    pub evidence: String,
}

impl HardeningState {
    /// Whether it is in force, or the signed command line does without it.
    #[must_use]
    pub fn is_as_signed(&self) -> bool {
        self.switched_off || self.shown == Shown::On
    }
}

/// What was found out of one: whether it is in force, and by what.
type Finding = (Shown, String);

/// All of them, in their order.
pub(super) fn all(seen: &Seen, off: &BTreeSet<Hardening>) -> Vec<HardeningState> {
    let state = |hardening: Hardening| {
        let (shown, evidence) = match hardening {
            Hardening::DeviceMapper => device_mapper(seen),
            Hardening::WrittenMappings => written_mappings(seen),
            Hardening::Kexec => kexec(seen),
            Hardening::Ptrace => ptrace(seen),
            Hardening::MacAdmin => without_capability(seen, MAC_ADMIN, "CAP_MAC_ADMIN"),
            Hardening::KernelHelpers => kernel_helpers(seen),
            Hardening::Lockdown => lockdown(seen),
            Hardening::ForeignAbi => foreign_abi(seen),
        };
        HardeningState { hardening, switched_off: off.contains(&hardening), shown, evidence }
    };
    Hardening::ALL.map(state).into()
}

fn unknown(what: &str, why: impl std::fmt::Display) -> Finding {
    (Shown::Unknown, format!("{what}: {why}"))
}

fn shown(is_on: bool, evidence: impl Into<String>) -> Finding {
    (if is_on { Shown::On } else { Shown::Off }, evidence.into())
}

/// What all that holds of, which goes from worst to best.
fn both(first: Finding, second: Finding) -> Finding {
    let worse = match (first.0, second.0) {
        (Shown::Off, _) | (_, Shown::Off) => Shown::Off,
        (Shown::Unknown, _) | (_, Shown::Unknown) => Shown::Unknown,
        (Shown::On, Shown::On) => Shown::On,
    };
    (worse, format!("{}; {}", first.1, second.1))
}

/// That the first process has a filter, so that everything has it.
fn filter(seen: &Seen) -> Finding {
    let status = match &seen.first_process {
        Ok(status) => status,
        Err(why) => return unknown("/proc/1/status", why),
    };
    // SECCOMP_MODE_FILTER (include/uapi/linux/seccomp.h).
    match field(status, "Seccomp") {
        Some("2") => shown(true, "the first process has a filter of system calls"),
        Some(_) => shown(false, "the first process has no filter of system calls"),
        None => unknown("/proc/1/status", "it says nothing of filters"),
    }
}

fn device_mapper(seen: &Seen) -> Finding {
    let asked = match &seen.asked.device_mapper_refused {
        Ok(true) => shown(true, "loading a table is refused"),
        Ok(false) => shown(false, "loading a table is not refused"),
        Err(why) => unknown("loading a table", why),
    };
    both(filter(seen), asked)
}

fn foreign_abi(seen: &Seen) -> Finding {
    let asked = match &seen.asked.foreign_calls_refused {
        Ok(Some(true)) => shown(true, "calls by x32's numbers are refused"),
        Ok(Some(false)) => shown(false, "calls by x32's numbers are not refused"),
        Ok(None) => unknown("calls by other numbers", "this processor has none to ask by"),
        Err(why) => unknown("calls by x32's numbers", why),
    };
    both(filter(seen), asked)
}

fn written_mappings(seen: &Seen) -> Finding {
    match &seen.asked.written_code_refused {
        Ok(true) => shown(true, "PR_GET_MDWE: memory that was written is not made executable"),
        Ok(false) => shown(false, "PR_GET_MDWE: memory that was written can be made executable"),
        Err(why) => unknown("PR_GET_MDWE", why),
    }
}

fn kexec(seen: &Seen) -> Finding {
    match sysctl(&seen.kexec_load_disabled) {
        Ok("1") => shown(true, "kernel.kexec_load_disabled is 1"),
        Ok(value) => shown(false, format!("kernel.kexec_load_disabled is {value}")),
        Err(Unread::Absent) => shown(true, "the kernel has no kexec"),
        Err(why) => unknown("kernel.kexec_load_disabled", why),
    }
}

fn ptrace(seen: &Seen) -> Finding {
    let scope = match sysctl(&seen.ptrace_scope) {
        Ok("3") => shown(true, "kernel.yama.ptrace_scope is 3"),
        Ok(value) => shown(false, format!("kernel.yama.ptrace_scope is {value}")),
        Err(Unread::Absent) => shown(false, "Yama is not active in this kernel"),
        Err(why) => unknown("kernel.yama.ptrace_scope", why),
    };
    both(scope, without_capability(seen, SYS_PTRACE, "CAP_SYS_PTRACE"))
}

/// That nothing on the host can get a capability: it is not in the first process's bounding set.
fn without_capability(seen: &Seen, capability: u32, name: &str) -> Finding {
    let status = match &seen.first_process {
        Ok(status) => status,
        Err(why) => return unknown("/proc/1/status", why),
    };
    match Set::bounding(status) {
        Some(set) if set.has(capability) => {
            shown(false, format!("{name} is in the first process's bounding set"))
        }
        Some(_) => shown(true, format!("{name} is not in the first process's bounding set")),
        None => unknown("/proc/1/status", "its CapBnd cannot be read"),
    }
}

fn kernel_helpers(seen: &Seen) -> Finding {
    let set = |name: &str, text: &Result<String, Unread>| match text
        .as_ref()
        .map(|text| Set::of_helpers(text))
    {
        Ok(Some(set)) if set.beyond_helpers().is_empty() => {
            shown(true, format!("kernel.usermodehelper.{name} is {:#x}", set.bits()))
        }
        Ok(Some(set)) => {
            let beyond = set.beyond_helpers().bits();
            shown(
                false,
                format!("kernel.usermodehelper.{name} has capabilities that no helper needs ({beyond:#x})"),
            )
        }
        Ok(None) => unknown(&format!("kernel.usermodehelper.{name}"), "it is not two numbers"),
        Err(why) => unknown(&format!("kernel.usermodehelper.{name}"), why),
    };
    both(set("bset", &seen.helpers_bounding), set("inheritable", &seen.helpers_inheritable))
}

fn lockdown(seen: &Seen) -> Finding {
    let text = match &seen.lockdown {
        Ok(text) => text,
        Err(Unread::Absent) => return shown(false, "lockdown is not active in this kernel"),
        Err(why) => return unknown("lockdown", why),
    };
    // The level that counts is the one in brackets (security/lockdown/lockdown.c, `lockdown_read`).
    let level = text.split_once('[').and_then(|(_, rest)| rest.split_once(']')).map(|(level, _)| level);
    match level {
        Some("none") => shown(false, "lockdown is none"),
        Some(level) => shown(true, format!("lockdown is {level}")),
        None => unknown("lockdown", "no level is chosen"),
    }
}

fn sysctl(text: &Result<String, Unread>) -> Result<&str, Unread> {
    text.as_ref().map(|text| text.trim()).map_err(Unread::clone)
}
