//! What `sealpack policy check` predicts, and what the kernel decides.

use super::Verdict;
use super::images::{self, Mounted, Store, target};
use crate::system::ATTACK;
use anyhow::{Context, Result, ensure};
use sealpack_kernel::Kernel;
use sealpack_tests::command::attempt;
use serde_json::Value;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::process::Command;

/// EACCES.
const DENIED: i32 = 13;

/// More would be too much for one command line.
const PATHS_MAX: usize = 1000;

pub(crate) fn agree() -> Result<Verdict> {
    Store::Files.fill()?;
    let mut judged = 0;
    for image in ["one", "two"] {
        judged += compare(Store::Sealed, image, &images::signed(image)?)?;
        judged += compare(
            Store::Unsealed,
            image,
            &Store::Unsealed.mount(image, &target("unsealed")?, "verified")?,
        )?;
        judged += compare(Store::Files, image, &Store::Files.mount(image, &target("files")?, "verified")?)?;
    }
    if images::why_no_python().is_none() {
        judged += compare(Store::Sealed, "python", &images::signed("python")?)?;
    }
    println!("{judged} predictions, and as many decisions of the kernel that are the same");
    Ok(Verdict::Shown)
}

/// That the kernel decides about everything executable in a mounted image as is predicted for the active policy.
/// Returns of how many files.
pub(crate) fn compare(store: Store, image: &str, mounted: &Mounted) -> Result<usize> {
    let kernel = Kernel::new();
    let policy =
        kernel.ipe().context("IPE is not active")?.active_policy()?.context("no policy is active")?;
    let mut check = store.sealpack(["--json", "policy", "check", &policy.name, image]);
    let output = attempt(&mut check)?;
    // The one says that something would be denied.
    let is_good = matches!(output.status.code(), Some(0 | 3));
    ensure!(is_good, "policy check: {}", String::from_utf8_lossy(&output.stderr));
    let predicted: Value = serde_json::from_slice(&output.stdout).context("what policy check prints")?;
    let files = predicted["decisions"].as_array().context("policy check lists no files")?;
    let (mut paths, mut expected) = (Vec::new(), Vec::new());
    for file in files.iter().filter(|file| file["op"] == "EXECUTE") {
        paths.push(mounted.path_of(&path(file)?));
        expected.push(file["decision"] == "allow");
    }
    ensure!(paths.len() > 5, "policy check found {} executables in {image}", paths.len());
    let mut decided = Vec::new();
    for some in paths.chunks(PATHS_MAX) {
        let output = attempt(Command::new(ATTACK).arg("map").args(some))?;
        for line in String::from_utf8_lossy(&output.stdout).lines() {
            decided.push(line.split(' ').next().unwrap_or_default().parse::<i32>()?);
        }
    }
    ensure!(decided.len() == paths.len(), "{} decisions about {} files", decided.len(), paths.len());
    for ((path, expected), decided) in paths.iter().zip(&expected).zip(&decided) {
        let as_predicted = *decided == if *expected { 0 } else { DENIED };
        ensure!(
            as_predicted,
            "{path:?}: predicted {}, decided {decided}",
            if *expected { 0 } else { DENIED }
        );
    }
    let allowed = expected.iter().filter(|allowed| **allowed).count();
    println!(
        "{image} of {store:?} under {}: {allowed} allowed, {} denied",
        policy.name,
        paths.len() - allowed
    );
    Ok(paths.len())
}

fn path(file: &Value) -> Result<OsString> {
    if let Some(hex) = file["path_hex"].as_str() {
        let byte =
            |index: usize| hex.get(index..index + 2).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        let bytes: Option<Vec<u8>> = (0..hex.len()).step_by(2).map(byte).collect();
        return Ok(OsString::from_vec(bytes.with_context(|| format!("{hex} is not hex"))?));
    }
    Ok(file["path"].as_str().context("a file has no path")?.into())
}
