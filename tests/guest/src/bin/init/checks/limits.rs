//! What the kernel allows nevertheless, and what closes it where something does.

use super::enforcement::{ATTACKED, PROGRAM, Went, allowed, attack, denied, execute, execute_in};
use super::{Verdict, images};
use crate::stages;
use crate::system::BUSYBOX;
use anyhow::{Context, Result, bail, ensure};
use rustix::system::{delete_module, finit_module};
use rustix::thread::{CapabilitySet, capabilities, remove_capability_from_bounding_set, set_capabilities};
use sealpack_guest::checks::Stage;
use sealpack_guest::images::{INLINE_SAYS, SCRIPT_SAYS};
use sealpack_kernel::{Errno, Kernel};
use sealpack_tests::command::attempt;
use std::fs::{self, File};
use std::process::Command;

pub(crate) fn initramfs_write() -> Result<Verdict> {
    // The root directory of the checks is the initramfs.
    let copy = "/bin/written-later";
    fs::copy(PROGRAM, copy)?;
    denied("under the early policy, the program on ext4", || execute(PROGRAM, ATTACKED))?;
    allowed("under the early policy, its copy in the initramfs", || execute(copy, ATTACKED))?;
    stages::enter(Stage::Final)?;
    denied("under the final policy, its copy in the initramfs", || execute(copy, ATTACKED))?;
    fs::remove_file(copy)?;
    Ok(Verdict::Shown)
}

pub(crate) fn renamed_program() -> Result<Verdict> {
    let image = images::signed("one")?;
    let run = |says: &'static str| execute_in(image.root(), &["/bin/inline"], says);
    allowed("a signed script", || run(INLINE_SAYS))?;
    let _over = images::bind(image.path("bin/script"), image.path("bin/inline"))?;
    allowed("another signed script bound over it", || run(SCRIPT_SAYS))?;
    Ok(Verdict::Shown)
}

pub(crate) fn private_mapping() -> Result<Verdict> {
    let image = images::signed("one")?;
    let signed = image.path("bin/program").to_string_lossy().into_owned();
    allowed("code written into a private mapping of a signed file", || attack(&["overwrite", &signed]))?;
    denied("the same of an unsigned file", || attack(&["overwrite", PROGRAM]))?;
    let went = attack(&["overwrite-with-mdwe", &signed])?;
    ensure!(went == Went::Refused(Errno::ACCESS), "with PR_SET_MDWE: {went:?}, not EACCES");
    println!("the same in a process with PR_SET_MDWE: EACCES");
    Ok(Verdict::Shown)
}

pub(crate) fn enforce_off() -> Result<Verdict> {
    denied("the unsigned program", || execute(PROGRAM, ATTACKED)).context("root switches IPE off for it")?;
    // For this process and all that it starts from here on, set-user-ID programs included.
    remove_capability_from_bounding_set(CapabilitySet::MAC_ADMIN).context("the bounding set")?;
    let mut sets = capabilities(None)?;
    for set in [&mut sets.effective, &mut sets.permitted, &mut sets.inheritable] {
        set.remove(CapabilitySet::MAC_ADMIN);
    }
    set_capabilities(None, sets).context("cannot drop CAP_MAC_ADMIN")?;
    let kernel = Kernel::new();
    let ipe = kernel.ipe().context("IPE is not active")?;
    super::ensure_refused("switching IPE off without CAP_MAC_ADMIN", ipe.set_enforcing(false), Errno::PERM)?;
    let mut shell = Command::new(BUSYBOX);
    let output = attempt(shell.args(["sh", "-c", "echo 0 > /sys/kernel/security/ipe/enforce"]))?;
    ensure!(!output.status.success(), "a program started without CAP_MAC_ADMIN switched IPE off");
    ensure!(ipe.is_enforcing()?, "IPE does not enforce any more");
    let went = execute(PROGRAM, ATTACKED)?;
    ensure!(went == Went::Refused(Errno::ACCESS), "the unsigned program: {went:?}");
    println!("the unsigned program: EACCES, whatever root without CAP_MAC_ADMIN does to IPE");
    Ok(Verdict::Shown)
}

pub(crate) fn module() -> Result<Verdict> {
    allowed("under the final policy, an unsigned module", insert)?;
    stages::enter(Stage::Strict)?;
    denied("under the strict policy, an unsigned module", insert)?;
    Ok(Verdict::Shown)
}

/// Loads the module that nobody signed, and unloads it if that works.
fn insert() -> Result<Went> {
    const PATH: &str = "/disk/attacks/module.ko";
    let loaded = || -> Result<Vec<String>> {
        let modules = fs::read_to_string("/proc/modules")?;
        Ok(modules.lines().filter_map(|line| Some(line.split(' ').next()?.to_owned())).collect())
    };
    let before = loaded()?;
    match finit_module(File::open(PATH)?, c"", 0) {
        Err(errno) => Ok(Went::Refused(errno)),
        Ok(()) => {
            let after = loaded()?;
            let Some(name) = after.iter().find(|name| !before.contains(name)) else {
                bail!("{PATH} was loaded, and is not among {after:?}");
            };
            delete_module(&std::ffi::CString::new(name.as_str())?, 0).context("cannot unload it")?;
            Ok(Went::Through)
        }
    }
}
