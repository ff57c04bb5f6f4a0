//! What `sealpack report` says of a machine that enforces.

use super::Verdict;
use super::enforcement::{ATTACKED, PROGRAM, Went, execute};
use super::images::{self, Store};
use crate::kernel_log::KernelLog;
use anyhow::{Context, Result, bail, ensure};
use sealpack_kernel::Errno;
use sealpack_tests::command::stdout;
use std::fs;
use std::time::Duration;

const PAGE: &str = "/disk/report.html";
const REPORT: [&str; 8] = ["--trust", "/disk/trust", "report", "one", "--host", "--force", "-o", PAGE];

/// How often it is tried, and how long the log is left alone before.
const TRIES: usize = 5;
const PAUSE: Duration = Duration::from_secs(6);

pub(crate) fn tell() -> Result<Verdict> {
    let enforced = images::signed("one")?;
    logged_denial()?;
    println!("{}", stdout(&mut Store::Sealed.sealpack(REPORT))?);
    let page = fs::read_to_string(PAGE).context("there is no page")?;
    fs::remove_file(PAGE)?;
    let target = enforced.root().to_str().context("the target is no text")?.to_owned();
    for told in [
        // The chain to the kernel, whose keyring has the certificate of the test's trusted key.
        "</span> has the certificates",
        ".platform",
        // The machine.
        "</span> enforcing",
        "The policy that decides",
        "op=EXECUTE dmverity_signature=TRUE action=ALLOW",
        "</span> enforced",
        &target,
        // What was denied.
        "was kept from",
        PROGRAM,
    ] {
        ensure!(page.contains(told), "{told:?} is not on the page: {page}");
    }
    Ok(Verdict::Shown)
}

/// Has something denied that is in the kernel's log: of many records in a few seconds that has only some.
fn logged_denial() -> Result<()> {
    for _ in 0..TRIES {
        std::thread::sleep(PAUSE);
        let mut log = KernelLog::from_now_on()?;
        let went = execute(PROGRAM, ATTACKED)?;
        ensure!(went == Went::Refused(Errno::ACCESS), "the unsigned program: {went:?}");
        if !log.records("type=1420")?.is_empty() {
            return Ok(());
        }
    }
    bail!("nothing that was denied is in the kernel's log");
}
