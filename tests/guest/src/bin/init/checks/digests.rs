//! A store of files under digest rules: no device is signed, each file is allowed by its fs-verity digest.

use super::enforcement::{ATTACKED, PROGRAM, allowed, denied, execute, execute_in};
use super::images::{Store, target};
use super::{Verdict, predictions};
use crate::system::ATTACK;
use anyhow::{Context, Result, ensure};
use sealpack_format::digest::Algorithm;
use sealpack_guest::disk::{RULES, TOO_MANY_RULES};
use sealpack_guest::images::{INLINE_SAYS, OTHER_SCRIPT_SAYS, SCRIPT_SAYS};
use sealpack_kernel::Kernel;
use sealpack_tests::command::stdout;
use std::fs::{self, File};
use std::process::Command;

pub(crate) fn allow() -> Result<Verdict> {
    Store::Files.fill()?;
    let image = Store::Files.mount("one", &target("files")?, "verified")?;
    allowed("a program that the policy names", || execute(image.path("bin/program"), ATTACKED))?;
    allowed("a program with its libraries", || {
        execute_in(image.root(), &["/bin/busybox", "echo", "it runs"], "it runs")
    })?;
    allowed("a script", || execute_in(image.root(), &["/bin/script"], SCRIPT_SAYS))?;
    let other = Store::Files.mount("two", &target("files-two")?, "verified")?;
    allowed("what another image shares with it", || {
        execute_in(other.root(), &["/bin/busybox", "echo", "it runs"], "it runs")
    })?;
    predictions::compare(Store::Files, "one", &image)?;
    predictions::compare(Store::Files, "two", &other)?;
    Ok(Verdict::Shown)
}

pub(crate) fn deny() -> Result<Verdict> {
    Store::Files.fill()?;
    let image = Store::Files.mount("one", &target("files")?, "verified")?;
    let other = Store::Files.mount("two", &target("files-two")?, "verified")?;
    denied("a script that the policy does not name", || {
        execute_in(other.root(), &["/bin/script"], OTHER_SCRIPT_SAYS)
    })?;
    denied("an inline script, which has no digest", || {
        execute_in(image.root(), &["/bin/inline"], INLINE_SAYS)
    })?;
    ensure!(fs::read(PROGRAM)? == fs::read(image.path("bin/program"))?, "the two programs are not the same");
    denied("the same contents without fs-verity", || execute(PROGRAM, ATTACKED))?;
    let changed = "/disk/attacks/changed";
    let mut bytes = fs::read(PROGRAM)?;
    bytes.push(0);
    fs::write(changed, bytes)?;
    rustix::fs::chmod(changed, rustix::fs::Mode::from_raw_mode(0o755))?;
    Kernel::new().enable_verity(File::open(changed)?, Algorithm::Sha256)?;
    denied("other contents with fs-verity", || execute(changed, ATTACKED))?;
    Ok(Verdict::Shown)
}

/// Each of the policies allows the program by its last digest rule. No policy that comes later can be activated.
pub(crate) fn figure() -> Result<Verdict> {
    let copy = "/disk/attacks/with-verity";
    fs::copy(PROGRAM, copy)?;
    let kernel = Kernel::new();
    kernel.enable_verity(File::open(copy)?, Algorithm::Sha256)?;
    let ipe = kernel.ipe().context("IPE is not active")?;
    let file =
        |rules: usize| fs::read(format!("/disk/policies/digests-{rules}.p7b")).context("no such policy");
    let mut first = None;
    for rules in RULES {
        ipe.load(&file(rules)?)?;
        ipe.activate(&format!("digests-{rules}"))?;
        let nanoseconds: u32 = stdout(Command::new(ATTACK).args(["time-map", copy]))?.parse()?;
        let ratio = f64::from(nanoseconds) / f64::from(*first.get_or_insert(nanoseconds));
        println!(
            "FIGURE mapping a program that rule {rules} allows: {ratio:.2} times rule 1 ({nanoseconds} ns)"
        );
    }
    let refused = ipe.load(&file(TOO_MANY_RULES)?);
    let error = refused.err().with_context(|| format!("the kernel takes {TOO_MANY_RULES} rules"))?;
    println!("a policy with {TOO_MANY_RULES} digest rules: {error}");
    Ok(Verdict::Shown)
}
