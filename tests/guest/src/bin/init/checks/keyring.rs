//! What the kernel trusts.

use super::{Verdict, device, ensure_refused};
use anyhow::{Context, Result, ensure};
use sealpack_guest::keys::KINDS;
use sealpack_kernel::keyring::{Keyring, TrustedKeyring};
use sealpack_kernel::{Errno, Kernel};
use std::fs;

pub(crate) fn platform() -> Result<Verdict> {
    let kernel = Kernel::new();
    for which in TrustedKeyring::ALL {
        match kernel.trusted_keyring(which)? {
            Some(keyring) => println!("{which}: {keyring:?}"),
            None => println!("{which}: not in this kernel"),
        }
    }
    let platform = keyring(&kernel, TrustedKeyring::Platform)?;
    ensure!(has(&platform, "sealpack test trusted"), "the certificate is not among {:?}", platform.keys);
    for kind in KINDS {
        ensure!(has(&platform, &format!("sealpack test {kind}")), "the {kind} certificate is not there");
    }
    ensure!(!has(&platform, "sealpack test unknown"), "a certificate is there that nobody enrolled");
    let builtin = keyring(&kernel, TrustedKeyring::Builtin)?;
    ensure!(!builtin.keys.is_empty(), "the kernel has no key of its own");
    let secondary = keyring(&kernel, TrustedKeyring::Secondary)?;
    let holds_builtin = secondary.keys.iter().any(|key| key.serial == builtin.serial);
    ensure!(holds_builtin, "{:?} do not include the keyring of what is built in", secondary.keys);
    keyring(&kernel, TrustedKeyring::FsVerity)?;
    Ok(Verdict::Shown)
}

pub(crate) fn dm_verity() -> Result<Verdict> {
    let kernel = Kernel::new();
    let Some(keyring) = kernel.trusted_keyring(TrustedKeyring::DmVerity)? else {
        return Ok(Verdict::Inapplicable("this kernel's dm-verity has no keyring of its own".into()));
    };
    let certificate = fs::read("/disk/keys/extra.der")?;
    kernel.add_certificate(keyring.serial, &certificate)?;
    kernel.add_certificate(keyring.serial, &fs::read("/disk/keys/next.der")?)?;
    let filled = self::keyring(&kernel, TrustedKeyring::DmVerity)?;
    ensure!(has(&filled, "sealpack test extra"), "the certificate is not among {:?}", filled.keys);
    device::refused("extra.p7s", Errno::NOKEY).context("before the keyring is restricted")?;
    kernel.restrict_keyring(keyring.serial)?;
    for signature in ["extra.p7s", "next.p7s"] {
        device::accepted(signature).context("once the keyring is restricted")?;
    }
    device::accepted("trusted.p7s").context("the other keyrings count as before")?;
    device::refused("other.p7s", Errno::NOKEY)?;
    let added = kernel.add_certificate(keyring.serial, &certificate);
    ensure_refused("a certificate after the restriction", added, Errno::PERM)?;
    Ok(Verdict::Shown)
}

fn keyring(kernel: &Kernel, which: TrustedKeyring) -> Result<Keyring> {
    kernel.trusted_keyring(which)?.with_context(|| format!("this kernel has no keyring {which}"))
}

fn has(keyring: &Keyring, subject: &str) -> bool {
    keyring.keys.iter().any(|key| key.key_type == "asymmetric" && key.description.contains(subject))
}
