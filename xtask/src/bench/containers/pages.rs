//! What containers of one image add to the page cache. Whoever touches a page first has it on the account of its cgroup.

use super::super::figures::{Interval, median};
use super::super::goal::Goal;
use super::super::setting::{Scale, Setting};
use super::super::table::mib;
use super::side::Side;
use anyhow::{Context, Result, ensure};
use std::fs;
use std::rc::Rc;

/// How many containers.
const CONTAINERS: usize = 10;

/// What each writes.
const WRITTEN_BYTES: u32 = 4 << 20;

/// How much more than it writes a container may add: directories and the like.
const MORE_MAX: f64 = 1.05;

/// Ten containers of `image`, each of which reads all files of it and writes one.
///
/// # Errors
/// If containerd fails, or the kernel does not count.
pub(super) fn measure(
    setting: &Setting,
    [stock, ours, _]: &[Rc<Side>; 3],
    image: &str,
) -> Result<(Goal, String)> {
    let (theirs, ours) = (added(setting, stock, image)?, added(setting, ours, image)?);
    let part = |bytes: &u64| *bytes as f64 / f64::from(WRITTEN_BYTES);
    let parts = |added: &[u64]| -> Vec<f64> { added.iter().skip(1).map(part).collect() };
    let what = format!(
        "{CONTAINERS} containers that read all of an image: what each but the first adds to the page cache, to what it writes"
    );
    let note = format!(
        "The first of {CONTAINERS} containers brings {} into the page cache, the first on overlayfs {}; each other one there adds {:.2} \
         times what it writes.",
        mib(ours[0]),
        mib(theirs[0]),
        median(parts(&theirs))
    );
    let goal = Goal { measured: Interval::of(parts(&ours)), ..Goal::bound(what, Vec::new(), MORE_MAX, "") };
    Ok((goal, note))
}

/// The bytes that each container has added, in the order of their starts.
fn added(setting: &Setting, side: &Side, image: &str) -> Result<Vec<u64>> {
    let containerd = side.containerd();
    let busybox = setting.choose("", "/bin/busybox ");
    let script = format!(
        "{busybox}find / -xdev -type f -exec {busybox}cat {{}} + >/dev/null; \
         {busybox}head -c {WRITTEN_BYTES} /dev/zero >/written"
    );
    if setting.scale == Scale::Full {
        // What is in memory since the image came is on nobody's account.
        sealpack_tests::command::run(&mut std::process::Command::new("sync"))?;
        fs::write("/proc/sys/vm/drop_caches", "1").context("cannot drop the page cache")?;
    }
    let names: Vec<String> = (0..CONTAINERS).map(|number| format!("reads-{number}")).collect();
    for name in &names {
        containerd.said(containerd.run_arguments(&["--detach"], image, name, &["/bin/sleep", "3600"]))?;
        containerd.said(["tasks", "exec", "--exec-id", "reads", name, "/bin/sh", "-c", &script])?;
    }
    let added = names.iter().map(|name| containerd.page_cache_bytes(name)).collect::<Result<Vec<u64>>>()?;
    for name in &names {
        containerd.said(["tasks", "delete", "--force", name])?;
        containerd.said(["containers", "delete", name])?;
    }
    let is_counted = setting.scale == Scale::Smoke || added[0] > 10 * u64::from(WRITTEN_BYTES);
    ensure!(is_counted, "the first container has read the image, and has only {} bytes", added[0]);
    Ok(added)
}
