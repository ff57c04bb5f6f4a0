//! What the kernel allows nevertheless, and what closes it where something does.

use super::enforcement::{ATTACKED, Lenient, PROGRAM, Went, allowed, attack, denied, execute, execute_in};
use super::images::Store;
use super::{Verdict, images};
use crate::system::BUSYBOX;
use crate::{device, stages};
use anyhow::{Context, Result, bail, ensure};
use rustix::system::{delete_module, finit_module};
use rustix::thread::{CapabilitySet, capabilities, remove_capability_from_bounding_set, set_capabilities};
use sealpack_guest::checks::Stage;
use sealpack_guest::images::{INLINE_SAYS, SCRIPT_SAYS};
use sealpack_kernel::{Errno, Kernel};
use sealpack_tests::command::{attempt, stdout};
use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
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

/// Mounts every signed device, finds out which are packs, and puts an unsigned metadata image over them with the
/// kernel's own means.
pub(crate) fn unsigned_metadata() -> Result<Verdict> {
    let sealed = images::signed("one")?;
    let raw = RawMount::new("one")?;
    let program = raw.root.join("bin/program");
    allowed("a program of a signed pack, named by an unsigned metadata image", || {
        execute(&program, ATTACKED)
    })?;
    denied("a script inside the unsigned metadata image", || {
        execute_in(&raw.root, &["/bin/inline"], INLINE_SAYS)
    })?;
    // Nobody, from a set-user-ID program of root's.
    let effective = |program: &Path| stdout(Command::new(program).arg("effective-user").uid(65534));
    ensure!(effective(&program)? == "0", "the set-user-ID bit counts on the raw mount");
    println!("mounted by hand, its set-user-ID bit counts");
    ensure!(effective(&sealed.path("bin/program"))? == "0", "it counts on the sealed mount");
    println!("mounted by sealpack with a signature, it counts");
    let unsealed = Store::Unsealed.mount("one", &images::target("unsealed")?, "verified")?;
    let kernel = Kernel::new();
    let lenient = Lenient::new(&kernel)?;
    ensure!(effective(&unsealed.path("bin/program"))? == "65534", "it counts on the unsigned mount");
    drop(lenient);
    println!("mounted by sealpack without a signature, it does not");
    Ok(Verdict::Shown)
}

/// A metadata image from a loop device, over the signed packs that are active.
struct RawMount {
    root: PathBuf,
    mounted: Vec<images::Mounted>,
}

impl RawMount {
    fn new(image: &str) -> Result<Self> {
        let kernel = Kernel::new();
        let mapper = kernel.device_mapper()?;
        let mut raw = Self { root: images::target("raw")?, mounted: Vec::new() };
        let mut packs = Vec::new();
        for (name, _) in mapper.devices()? {
            let Some(root_hash) = name.strip_prefix("sealpack-s-") else {
                continue;
            };
            if !Store::Sealed.path().join(format!("packs/sha256/{root_hash}.pack")).exists() {
                continue;
            }
            let target = images::target(&format!("raw-pack-{}", packs.len()))?;
            let mount = device::mount(&kernel, &mapper.open(&name.parse()?)?)?;
            kernel.attach(&mount, File::open(&target)?)?;
            raw.mounted.push(images::Mounted::at(&target));
            packs.push(target.display().to_string());
        }
        ensure!(packs.len() == 2, "an image of two layers has {} signed packs", packs.len());
        let identity = stdout(&mut Store::Unsealed.sealpack(["--json", "inspect", image]))?;
        let identity: serde_json::Value = serde_json::from_str(&identity)?;
        let digest = identity["metadata_image"]["fsverity_digest"].as_str().context("it has no digest")?;
        let metadata = Store::Unsealed.path().join(format!("images/{digest}.erofs"));
        let target = images::target("raw-metadata")?;
        let mount = ["mount", "-t", "erofs", "-o", "loop,ro"].map(OsStr::new);
        images::busybox(mount.into_iter().chain([metadata.as_os_str(), target.as_os_str()]))?;
        raw.mounted.push(images::Mounted::at(&target));
        let layers =
            format!("lowerdir={}::{},metacopy=on,redirect_dir=on", target.display(), packs.join("::"));
        let mount = ["mount", "-t", "overlay", "overlay", "-o", &layers].map(OsStr::new);
        images::busybox(mount.into_iter().chain([raw.root.as_os_str()]))?;
        raw.mounted.push(images::Mounted::at(&raw.root));
        Ok(raw)
    }
}

impl Drop for RawMount {
    fn drop(&mut self) {
        // The last one is over all others.
        while self.mounted.pop().is_some() {}
    }
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
