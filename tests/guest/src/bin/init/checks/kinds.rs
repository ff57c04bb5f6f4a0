//! Signatures by all kinds of keys that `sealpack key new` makes.

use super::Verdict;
use super::images::busybox;
use crate::system::SEALPACK;
use anyhow::{Context, Result, ensure};
use sealpack_guest::keys::KINDS;
use sealpack_kernel::Kernel;
use sealpack_tests::command::{run, stdout};
use std::fs;
use std::process::Command;

pub(crate) fn all() -> Result<Verdict> {
    let (place, target) = ("/disk/kinds", "/disk/mnt/kinds");
    busybox(["cp", "-a", "/disk/unsealed", place].map(AsRef::as_ref))?;
    fs::create_dir_all(target)?;
    for kind in KINDS {
        let (key, certificate) = (format!("/disk/keys/{kind}.key"), format!("/disk/keys/{kind}.pem"));
        let sealpack = || {
            let mut command = Command::new(SEALPACK);
            command.args(["--store", &format!("{place}/store")]);
            command
        };
        run(sealpack().args(["seal", "one", "--replace", "--key", &key, "--cert", &certificate]))?;
        let mounted = stdout(sealpack().args(["mount", "one", target, "--require", "signed"]));
        println!("{kind}: {}", mounted.with_context(|| format!("an image sealed with {kind}"))?);
        run(sealpack().args(["umount", target]))?;
        policy(kind, &key, &certificate).with_context(|| format!("a policy signed with {kind}"))?;
    }
    Ok(Verdict::Shown)
}

/// Signs a policy, gives it to the kernel, and takes it back.
fn policy(kind: &str, key: &str, certificate: &str) -> Result<()> {
    let (text, signed) = (format!("/tmp/{kind}.txt"), format!("/tmp/{kind}.p7b"));
    fs::write(&text, format!("policy_name={kind} policy_version=0.0.1\nDEFAULT action=ALLOW\n"))?;
    let mut sign = Command::new(SEALPACK);
    run(sign.args(["policy", "sign", &text, "--key", key, "--cert", certificate, "--output", &signed]))?;
    let kernel = Kernel::new();
    let ipe = kernel.ipe().context("IPE is not active")?;
    ipe.load(&fs::read(&signed)?)?;
    ensure!(ipe.policies()?.iter().any(|policy| policy.name == kind), "the policy is not listed");
    Ok(ipe.delete(kind)?)
}
