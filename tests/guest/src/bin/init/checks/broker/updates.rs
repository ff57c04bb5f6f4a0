//! Updates of the active policy.

use super::{Broker, ask};
use crate::checks::Verdict;
use anyhow::{Context, Result, bail, ensure};
use sealpack_format::broker::{Answer, Request, Step};
use sealpack_kernel::ipe::PolicyVersion;
use sealpack_kernel::{Errno, Kernel};
use std::fs;
use std::process::Command;

/// Tells a process that runs this check that it is another user's.
const AS_USER: &str = "SEALPACK_CHECK_AS_USER";

fn version() -> Result<PolicyVersion> {
    let kernel = Kernel::new();
    let active = kernel.ipe().context("IPE is not active")?.active_policy()?;
    Ok(active.context("no policy is active")?.version)
}

fn update(file: &str) -> Result<Option<(Errno, Step)>> {
    let signed = fs::read(format!("/disk/policies/{file}"))?;
    match ask(&Request::Update { signed: &signed }.to_bytes()?, &[])?.0 {
        Answer::Done(_) => Ok(None),
        Answer::Refused(refusal) => Ok(Some((Errno::from_raw_os_error(refusal.errno), refusal.step))),
    }
}

fn refused(file: &str, errno: Errno) -> Result<()> {
    let before = version()?;
    let actual = update(file)?;
    ensure!(actual == Some((errno, Step::Policy)), "{file}: {actual:?}, not {errno:?}");
    ensure!(version()? == before, "{file} has changed the policy");
    println!("{file}: {errno:?}");
    Ok(())
}

pub(crate) fn all() -> Result<Verdict> {
    if std::env::var_os(AS_USER).is_some() {
        let refused = update("final-next.p7b")?;
        ensure!(refused == Some((Errno::PERM, Step::Request)), "a user's update: {refused:?}");
        return Ok(Verdict::Shown);
    }
    let _broker = Broker::service()?;
    let before = version()?;
    for (file, errno) in [
        ("final-next.txt", Errno::BADMSG),
        ("unknown.p7b", Errno::NOKEY),
        ("strict.p7b", Errno::INVAL),
        ("final.p7b", Errno::STALE),
    ] {
        refused(file, errno)?;
    }
    let mut user = Command::new(std::env::current_exe()?);
    use std::os::unix::process::CommandExt;
    let status = user.args(["check", "broker_updates"]).env(AS_USER, "1").uid(1000).gid(1000).status()?;
    ensure!(status.success(), "a user's update was not refused as it should be");
    // Another run of this check may have done it already.
    match update("final-next.p7b")? {
        None => ensure!(version()? > before, "the policy is not a higher version: {}", version()?),
        Some((Errno::STALE, Step::Policy)) => println!("it was updated before"),
        Some(other) => bail!("the update: {other:?}"),
    }
    refused("final-next.p7b", Errno::STALE)?;
    Ok(Verdict::Shown)
}
