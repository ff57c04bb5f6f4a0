//! How long containers take to start and to end, where root may switch IPE off and on.

use crate::checks::containers::{arguments, mounted_enforced, pulled, sealed};
use crate::checks::{read, stdout};
use anyhow::{Context, Result, ensure};
use sealpack_guest::host::containers::{PROGRAM, UNSEALED};
use sealpack_guest::host::figures::STARTS;
use std::fs;
use std::time::{Duration, Instant};

/// Where IPE says whether it enforces, and is told.
const ENFORCE: &str = "/sys/kernel/security/ipe/enforce";

/// What says which images may be used.
const RULES: &str = "/etc/sealpack/trust.d/rules.toml";

/// Has `tell` hear how long `count` starts of each kind take, in turns. One of each before those is not told.
pub(crate) fn time(count: u32, mut tell: impl FnMut(&str, Duration) -> Result<()>) -> Result<()> {
    let (sealed, unsealed) = (sealed()?, pulled(UNSEALED)?);
    let demanding = fs::read_to_string(RULES).with_context(|| format!("cannot read {RULES}"))?;
    let [enforced, off, without] = STARTS;
    let kinds = [
        (enforced, &sealed, true, demanding.as_str()),
        (off, &sealed, false, demanding.as_str()),
        (without, &unsealed, false, "default = \"allow\"\n"),
    ];
    for round in 0..=count {
        for (kind, image, enforces, rules) in kinds {
            fs::write(RULES, rules).with_context(|| format!("cannot write {RULES}"))?;
            enforce(enforces)?;
            let took = start(image)?;
            if round > 0 {
                tell(kind, took)?;
            } else if enforces {
                mounted_enforced(image)?;
            }
        }
    }
    fs::write(RULES, demanding).with_context(|| format!("cannot write {RULES}"))?;
    enforce(true)
}

fn enforce(enforces: bool) -> Result<()> {
    let wanted = if enforces { "1" } else { "0" };
    fs::write(ENFORCE, wanted).with_context(|| format!("cannot write {ENFORCE}"))?;
    ensure!(read(ENFORCE)? == wanted, "IPE does not take {wanted}");
    Ok(())
}

/// A container's whole life, of a program with a shared library.
fn start(image: &str) -> Result<Duration> {
    // What others have left to write is not its.
    stdout("sync", &[])?;
    let began = Instant::now();
    stdout("ctr", &arguments(&["--rm"], image, "timed", &[PROGRAM, "0"]))?;
    Ok(began.elapsed())
}
