//! IPE's policies. Those here allow everything: a policy stays, at least until the next boot.

use super::{Verdict, ensure_refused};
use anyhow::{Context, Result, ensure};
use sealpack_kernel::ipe::{Ipe, Policy};
use sealpack_kernel::{Errno, Kernel};
use std::fs;

const NAME: &str = "sealpack-test";
const OLDER: &str = "sealpack-older";

fn file(name: &str) -> Result<Vec<u8>> {
    let path = format!("/disk/policies/{name}");
    fs::read(&path).with_context(|| format!("cannot read {path}"))
}

fn policy(ipe: &Ipe<'_>, name: &str) -> Result<Option<Policy>> {
    Ok(ipe.policies()?.into_iter().find(|policy| policy.name == name))
}

fn ipe(kernel: &Kernel) -> Result<Ipe<'_>> {
    kernel.ipe().context("IPE is not active")
}

/// Loads the first version unless another check did.
fn load(ipe: &Ipe<'_>) -> Result<()> {
    if policy(ipe, NAME)?.is_none() {
        ipe.load(&file("first.p7b")?)?;
    }
    Ok(())
}

pub(crate) fn life() -> Result<Verdict> {
    let kernel = Kernel::new();
    let ipe = ipe(&kernel)?;
    ensure!(ipe.is_enforcing()?, "IPE does not enforce by default");
    ensure!(ipe.active_policy()?.is_none(), "a policy is active that nobody activated");
    ipe.load(&file("first.p7b")?)?;
    let loaded = policy(&ipe, NAME)?.context("the policy is not listed")?;
    ensure!(loaded.version.to_string() == "1.0.0" && !loaded.active, "{loaded:?}");
    let text = String::from_utf8(file("first.txt")?)?;
    ensure!(loaded.text.trim_end() == text.trim_end(), "{:?} is shown, not {text:?}", loaded.text);
    ensure!(ipe.signed_form(NAME)? == file("first.p7b")?, "another signed form is shown");
    ensure_refused("the same policy again", ipe.load(&file("first.p7b")?), Errno::EXIST)?;

    ipe.activate(NAME)?;
    ipe.update(NAME, &file("second.p7b")?)?;
    let active = ipe.active_policy()?.context("no policy is active")?;
    ensure!(active.name == NAME && active.version.to_string() == "1.0.1", "{active:?}");
    ensure_refused("deleting the active policy", ipe.delete(NAME), Errno::PERM)?;
    ipe.set_success_audit(true)?;
    ipe.set_success_audit(false)?;
    ipe.set_enforcing(false)?;
    let off = !ipe.is_enforcing()?;
    ipe.set_enforcing(true)?;
    ensure!(off && ipe.is_enforcing()?, "what was set is not shown");
    Ok(Verdict::Shown)
}

pub(crate) fn refused(name: &str, errno: Errno) -> Result<Verdict> {
    let kernel = Kernel::new();
    let ipe = ipe(&kernel)?;
    let before = ipe.policies()?;
    ensure_refused(name, ipe.load(&file(name)?), errno)?;
    ensure!(ipe.policies()? == before, "the policies are others now");
    Ok(Verdict::Shown)
}

pub(crate) fn rollback() -> Result<Verdict> {
    let kernel = Kernel::new();
    let ipe = ipe(&kernel)?;
    load(&ipe)?;
    ipe.activate(NAME)?;
    ensure_refused("a lower or equal version", ipe.update(NAME, &file("first.p7b")?), Errno::STALE)?;
    ensure_refused("a policy of another name", ipe.update(NAME, &file("older.p7b")?), Errno::INVAL)?;
    ipe.load(&file("older.p7b")?)?;
    ensure_refused("activating an older policy", ipe.activate(OLDER), Errno::INVAL)?;
    ipe.delete(OLDER)?;
    ensure!(policy(&ipe, OLDER)?.is_none(), "a deleted policy is listed");
    ensure_refused("activating a policy that is gone", ipe.activate(OLDER), Errno::NOENT)?;
    Ok(Verdict::Shown)
}
