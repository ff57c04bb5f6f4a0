//! Keys that are replaced: the old one and the new one side by side, then, after a boot, the new one alone.

use super::enforcement::{allowed, denied, execute_in};
use super::images::{Store, target};
use super::{Verdict, device};
use crate::system::SEALPACK;
use anyhow::{Context, Result, ensure};
use sealpack_guest::images::{OTHER_SCRIPT_SAYS, SCRIPT_SAYS};
use sealpack_kernel::keyring::TrustedKeyring;
use sealpack_kernel::{Errno, Kernel};
use sealpack_tests::command::attempt;
use std::fs;
use std::path::Path;

pub(crate) fn both_keys() -> Result<Verdict> {
    for (image, says) in [("one", SCRIPT_SAYS), ("two", OTHER_SCRIPT_SAYS)] {
        let mounted = Store::Rotation.mount(image, &target("rotation")?, "enforced")?;
        allowed(&format!("image {image}"), || execute_in(mounted.root(), &["/bin/script"], says))?;
    }
    Ok(Verdict::Shown)
}

pub(crate) fn old_key_gone() -> Result<Verdict> {
    let target = target("rotation")?;
    let two = Store::Rotation.mount("two", &target, "enforced")?;
    allowed("what the new key sealed too", || execute_in(two.root(), &["/bin/script"], OTHER_SCRIPT_SAYS))?;
    drop(two);
    refused("one", &target)?;
    let one = Store::Rotation.mount_unsigned("one", &target)?;
    denied("what the old key alone sealed", || execute_in(one.root(), &["/bin/script"], SCRIPT_SAYS))?;
    Ok(Verdict::Shown)
}

/// That an image is not mounted as a signed one, and that the message says which key the kernel misses.
fn refused(image: &str, target: &Path) -> Result<()> {
    let mut mount = Store::Rotation.sealpack(["mount", image, "--require", "signed"]);
    let output = attempt(mount.arg(target))?;
    let said = String::from_utf8_lossy(&output.stderr);
    println!("{said}");
    ensure!(output.status.code() == Some(3), "{SEALPACK} ended with {}", output.status);
    ensure!(said.contains("sealpack test retiring"), "it does not say whose certificate is missing: {said}");
    Ok(())
}

pub(crate) fn dm_verity() -> Result<Verdict> {
    let kernel = Kernel::new();
    let Some(keyring) = kernel.trusted_keyring(TrustedKeyring::DmVerity)? else {
        return Ok(Verdict::Inapplicable("this kernel's dm-verity has no keyring of its own".into()));
    };
    kernel.add_certificate(keyring.serial, &fs::read("/disk/keys/next.der")?)?;
    kernel.restrict_keyring(keyring.serial)?;
    device::accepted("next.p7s").context("the new key's signature")?;
    device::refused("extra.p7s", Errno::NOKEY).context("the old key's signature")?;
    Ok(Verdict::Shown)
}
