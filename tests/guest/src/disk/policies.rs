//! The IPE policies of the checks.

use crate::checks::Stage;
use crate::keys::Key;
use crate::programs::Programs;
use anyhow::{Context, Result};
use sealpack_format::digest::Algorithm;
use sealpack_format::verity::fsverity_digest;
use sealpack_tests::command::{run, stdout};
use sealpack_tests::images::Image;
use sealpack_tests::program::start;
use std::fs;
use std::path::Path;
use std::process::Command;

/// The numbers of digest rules of the policies `digests-N`, which show how decisions scale with them. The kernel's
/// parser of signatures ends at 64 KiB, which is some 600 rules.
pub const RULES: [usize; 4] = [1, 10, 100, 500];

/// More rules than the kernel takes.
pub const TOO_MANY_RULES: usize = 700;

/// Writes them, each as `NAME.txt` and signed as `NAME.p7b`.
///
/// `first` and `second` are two versions of one policy that allows everything, `older` is another such policy with
/// a lower version; `unknown.p7b` is `first`, signed by the unknown key. Those of the [stages](Stage) are what
/// `sealpack policy new` writes, with versions that rise, and so do those of `digests-N`; `final-next` is a higher version of that
/// of the final stage. That with digests also revokes the
/// pack of the upper layer of image `two`.
pub(super) fn write(programs: &Programs, work: &Path, image: &Image, target: &Path) -> Result<()> {
    let (trusted, unknown) = (Key::trusted()?, Key::unknown()?);
    for (file, name, version) in [
        ("first", "sealpack-test", "1.0.0"),
        ("second", "sealpack-test", "1.0.1"),
        ("older", "sealpack-older", "0.9.0"),
    ] {
        let (text, signed) = (target.join(format!("{file}.txt")), target.join(format!("{file}.p7b")));
        fs::write(&text, format!("policy_name={name} policy_version={version}\nDEFAULT action=ALLOW\n"))?;
        trusted.sign_embedded(&text, &signed)?;
    }
    unknown.sign_embedded(&target.join("first.txt"), &target.join("unknown.p7b"))?;
    let store = work.join("files-store");
    run(sealpack(programs, &store).args(["pull", &image.source(), "--name", "one"]))?;
    let revoked = top_pack(programs, &target.with_file_name("sealed").join("store"), "two")?;
    let new = |profile: &str, name: &str, version: &str, options: &[&str], file: &str| -> Result<()> {
        let mut new = sealpack(programs, &store);
        new.args(["policy", "new", profile, "--name", name, "--version", version]);
        run(new.args(options).arg("--output").arg(target.join(format!("{file}.txt"))))?;
        sign(programs, target, file)
    };
    for (major, stage) in (2..).zip(Stage::ALL) {
        let Some(name) = stage.policy() else { continue };
        let (profile, digests) = match stage {
            Stage::Digests => ("final", &["--digests", "one", "--revoke", &revoked][..]),
            _ => (name, &[][..]),
        };
        new(profile, name, &format!("{major}.0.0"), digests, name)?;
        if stage == Stage::Final {
            new(profile, name, &format!("{major}.0.1"), digests, "final-next")?;
        }
    }
    let program = fs::read(target.with_file_name("attacks").join("program"))?;
    for (minor, rules) in (0..).zip(RULES.into_iter().chain([TOO_MANY_RULES])) {
        let name = format!("digests-{rules}");
        let text = target.join(format!("{name}.txt"));
        fs::write(&text, with_digests(&name, minor, rules, &program))?;
        if rules == TOO_MANY_RULES {
            // Which sealpack does not sign.
            trusted.sign_embedded(&text, &target.join(format!("{name}.p7b")))?;
        } else {
            sign(programs, target, &name)?;
        }
    }
    Ok(())
}

/// The root hash of the pack of an image's upper layer of two.
fn top_pack(programs: &Programs, store: &Path, image: &str) -> Result<String> {
    let shown = stdout(sealpack(programs, store).args(["--json", "inspect", image]))?;
    let shown: serde_json::Value = serde_json::from_str(&shown)?;
    let root_hash = shown["layers"][1]["pack"]["root_hash"].as_str();
    Ok(root_hash.with_context(|| format!("image {image} has no second pack: {shown}"))?.to_owned())
}

fn sealpack(programs: &Programs, store: &Path) -> Command {
    let mut sealpack = start(&programs.sealpack);
    sealpack.arg("--store").arg(store);
    sealpack
}

fn sign(programs: &Programs, dir: &Path, name: &str) -> Result<()> {
    let key = Key::trusted()?;
    let mut sign = start(&programs.sealpack);
    sign.args(["policy", "sign"]).arg(dir.join(format!("{name}.txt")));
    sign.arg("--key").arg(key.key()).arg("--cert").arg(key.certificate());
    run(sign.arg("--output").arg(dir.join(format!("{name}.p7b")))).map(drop)
}

/// A policy with so many digest rules, of which the last one is about `program`.
fn with_digests(name: &str, minor: usize, rules: usize, program: &[u8]) -> String {
    let others = (1..rules).map(|number| fsverity_digest(Algorithm::Sha256, &number.to_le_bytes()));
    let all = others.chain([fsverity_digest(Algorithm::Sha256, program)]);
    let rules: String =
        all.map(|digest| format!("op=EXECUTE fsverity_digest=sha256:{digest} action=ALLOW\n")).collect();
    format!(
        "policy_name={name} policy_version=9.{minor}.0\nDEFAULT action=ALLOW\nDEFAULT op=EXECUTE action=DENY\n\
         {rules}op=EXECUTE dmverity_signature=TRUE action=ALLOW\n"
    )
}
