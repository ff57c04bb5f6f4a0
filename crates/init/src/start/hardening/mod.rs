//! What is taken away from root before the system starts, in an order in which each can still be done.
//!
//! Each is looked at again where the kernel shows it, and each failure ends the boot. What is left out is what the
//! signed command line names (`sealpack.off`).

mod capabilities;
mod filter;
mod helpers;
mod kexec;
mod lockdown;
mod written;
mod yama;

use std::collections::BTreeSet;

use sealpack_format::boot::Hardening;
use sealpack_kernel::Kernel;
use sealpack_kernel::capabilities::CapabilitySet;

use super::failure::Failure;
use super::progress::Progress;
use super::refusal::Refusal;
use super::step::Step;
use crate::filter::Rules;

/// What is done before this process makes another one that has to be out of reach; while `CAP_SYS_PTRACE` is there, which
/// it takes.
///
/// # Errors
/// The kernel does not have it.
pub(super) fn before_others(progress: &mut Progress, off: &BTreeSet<Hardening>) -> Result<(), Refusal> {
    unless(off, Hardening::Ptrace, progress, yama::restrict)
}

/// All that is left, for this process and for what it executes.
///
/// # Errors
/// The kernel does not have one of them.
pub(super) fn complete(
    progress: &mut Progress,
    kernel: &Kernel,
    off: &BTreeSet<Hardening>,
) -> Result<(), Refusal> {
    let give_up = |capability| capabilities::give_up(kernel, capability);
    unless(off, Hardening::Lockdown, progress, lockdown::raise)?;
    unless(off, Hardening::Kexec, progress, kexec::disable)?;
    unless(off, Hardening::KernelHelpers, progress, helpers::confine)?;
    unless(off, Hardening::MacAdmin, progress, || give_up(CapabilitySet::MAC_ADMIN))?;
    unless(off, Hardening::Ptrace, progress, || give_up(CapabilitySet::SYS_PTRACE))?;
    unless(off, Hardening::WrittenMappings, progress, || written::refuse(kernel))?;
    let rules = Rules {
        device_mapper: !off.contains(&Hardening::DeviceMapper),
        foreign_abi: !off.contains(&Hardening::ForeignAbi),
    };
    progress.step(Step::Filter, || filter::install(kernel, rules))
}

fn unless(
    off: &BTreeSet<Hardening>,
    hardening: Hardening,
    progress: &mut Progress,
    apply: impl FnOnce() -> Result<(), Failure>,
) -> Result<(), Refusal> {
    if off.contains(&hardening) {
        return Ok(());
    }
    progress.step(Step::Hardening(hardening), apply)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_off_is_not_done_and_everything_else_is() {
        let mut progress = Progress::new();
        let off = BTreeSet::from([Hardening::Kexec]);
        let failing = || Err(Failure::new("done"));
        assert_eq!(unless(&off, Hardening::Kexec, &mut progress, failing), Ok(()));
        let refusal = unless(&off, Hardening::Ptrace, &mut progress, failing).unwrap_err();
        assert_eq!(refusal.step, Step::Hardening(Hardening::Ptrace));
    }
}
