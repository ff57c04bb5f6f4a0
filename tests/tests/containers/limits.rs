//! What containers may use.

use std::path::Path;

use anyhow::{Result, ensure};
use sealpack_tests::skip;

use crate::support::{Desk, can_run};

#[test]
fn limits_are_those_of_the_kernel() -> Result<()> {
    if !can_run() {
        return Ok(());
    }
    let desk = Desk::new()?;
    let files: &[(&str, &str)] = if Path::new("/sys/fs/cgroup/cgroup.controllers").exists() {
        &[("memory.max", "67108864"), ("cpu.max", "50000 100000"), ("pids.max", "20")]
    } else if Path::new("/sys/fs/cgroup/memory/memory.limit_in_bytes").exists() {
        &[
            ("memory/memory.limit_in_bytes", "67108864"),
            ("cpu/cpu.cfs_quota_us", "50000"),
            ("pids/pids.max", "20"),
        ]
    } else {
        skip("this machine has no cgroups with controllers");
        return Ok(());
    };
    let limits = ["--memory", "64m", "--cpus", "0.5", "--pids", "20", "box", "--", "cat"];
    for (file, value) in files {
        let path = format!("/sys/fs/cgroup/{file}");
        let said = desk.says(&[&limits[..], &[&path]].concat())?;
        ensure!(said == *value, "{file}: {said}");
    }
    Ok(())
}

#[test]
fn a_container_that_takes_more_memory_than_it_may_is_ended() -> Result<()> {
    if !can_run() {
        return Ok(());
    }
    let desk = Desk::new()?;
    // dd takes its block from memory at once.
    let greedy = ["--memory", "16m", "box", "--", "dd", "if=/dev/zero", "of=/dev/null", "bs=256M", "count=1"];
    let output = desk.attempt(&greedy)?;
    ensure!(output.status.code() == Some(137), "{output:?}");
    desk.has_nothing_left()
}
