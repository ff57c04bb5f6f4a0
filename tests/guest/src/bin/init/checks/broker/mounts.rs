//! Mounts of root's, who may not make devices.

use super::Broker;
use crate::checks::Verdict;
use crate::checks::enforcement::{ATTACKED, allowed, denied, execute, execute_in};
use crate::checks::images::{Mounted, Store, busybox, target};
use crate::checks::leftovers::{devices, ensure_none, loops, settled, wait_for};
use crate::confined;
use crate::system::SEALPACK;
use anyhow::{Context, Result, ensure};
use sealpack_guest::images::SCRIPT_SAYS;
use sealpack_kernel::mountinfo;
use sealpack_tests::command::{attempt, run, stdout};
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// More than the broker may have of memory of its own.
const MEMORY_MAX_KIB: u64 = 2048;

/// How often each mount is measured.
const RUNS: usize = 21;

/// `sealpack` for the store with signed images, by root as on a sealed host.
pub(super) fn sealpack(words: &[&str]) -> Command {
    let store = Store::Sealed.path().to_string_lossy().into_owned();
    confined::command(&[&[SEALPACK, "--store", &store], words].concat())
}

fn path(target: &Path) -> String {
    target.to_string_lossy().into_owned()
}

pub(crate) fn all() -> Result<Verdict> {
    let before = settled()?;
    let at = target("brokered")?;
    let without = attempt(&mut sealpack(&["mount", "one", &path(&at)]))?;
    let said = String::from_utf8_lossy(&without.stderr).into_owned();
    ensure!(!without.status.success() && said.contains("DM_DEV_CREATE"), "without a broker: {said}");
    println!("without a broker: {said}");

    let broker = Broker::service()?;
    read_only(&at)?;
    writable()?;
    ensure_none(&before).context("after the mounts")?;
    shared_with_a_direct_mount(&at)?;
    ensure_none(&before).context("after the shared mount")?;
    let memory = broker.status("RssAnon")?;
    let kib: u64 = memory.trim_end_matches(" kB").parse().with_context(|| memory.clone())?;
    ensure!(kib < MEMORY_MAX_KIB, "the broker has {memory} of memory of its own");
    println!("the broker has {memory} of memory of its own");
    wait_for("the broker's children to end", || broker.is_at_rest())?;
    Ok(Verdict::Shown)
}

fn read_only(at: &Path) -> Result<()> {
    let said = stdout(&mut sealpack(&["mount", "one", &path(at), "--require", "enforced"]))?;
    ensure!(said.contains("read-only, enforced"), "{said}");
    let mounted = Mounted::at(at);
    allowed("a program", || execute(mounted.path("bin/program"), ATTACKED))?;
    allowed("a script", || execute_in(mounted.root(), &["/bin/script"], SCRIPT_SAYS))?;
    let mounts = mountinfo::read_own()?;
    let mount = mounts.iter().find(|mount| mount.mount_point == at).context("it is not mounted")?;
    ensure!(mount.source.to_string_lossy().starts_with("sealpack:"), "its source is {:?}", mount.source);
    // What was signed may have set-user-ID programs, as with a direct mount.
    ensure!(
        mount.has_attribute("ro") && mount.has_attribute("nodev") && !mount.has_attribute("nosuid"),
        "{mount:?}"
    );
    // The store knows what is mounted.
    let collected = stdout(&mut sealpack(&["gc", "--dry-run"]))?;
    println!("{collected}");
    run(&mut sealpack(&["umount", &path(at)]))?;
    std::mem::forget(mounted);
    Ok(())
}

fn writable() -> Result<()> {
    let at = target("brokered-writable")?;
    let layers = Path::new("/disk/upper/brokered");
    if layers.exists() {
        fs::remove_dir_all(layers)?;
    }
    let (upper, work) = (layers.join("upper"), layers.join("work"));
    fs::create_dir_all(&upper)?;
    fs::create_dir_all(&work)?;
    let words = ["mount", "one", &path(&at), "--upper", &path(&upper), "--work", &path(&work)];
    let said = stdout(&mut sealpack(&words))?;
    ensure!(said.contains("read-write, enforced"), "{said}");
    let mounted = Mounted::at(&at);
    fs::copy(mounted.path("bin/program"), mounted.path("bin/copy"))?;
    allowed("the program on the lower layer", || execute(mounted.path("bin/program"), ATTACKED))?;
    denied("a copy of it on the upper layer", || execute(mounted.path("bin/copy"), ATTACKED))?;
    Ok(())
}

/// Devices of the same files are the same, whoever mounts them.
fn shared_with_a_direct_mount(at: &Path) -> Result<()> {
    let direct = Store::Sealed.mount("one", &target("direct")?, "enforced")?;
    let before = devices()?;
    run(&mut sealpack(&["mount", "one", &path(at)]))?;
    let _brokered = Mounted::at(at);
    ensure!(devices()? == before, "it has other devices: {before:?}, {:?}", devices()?);
    drop(direct);
    Ok(())
}

fn median(mut durations: Vec<Duration>) -> Duration {
    durations.sort();
    durations.get(durations.len() / 2).copied().unwrap_or_default()
}

/// How long a mount takes, its unmounting left out, with no device there before.
fn duration_of(at: &Path, mount: impl Fn() -> Command) -> Result<Duration> {
    let before = (devices()?, loops()?);
    let mut command = mount();
    let started = Instant::now();
    run(&mut command)?;
    let duration = started.elapsed();
    busybox(["umount".as_ref(), at.as_os_str()])?;
    wait_for("the devices", || Ok((devices()?, loops()?) == before))?;
    Ok(duration)
}

pub(crate) fn figure() -> Result<Verdict> {
    let broker = Broker::service()?;
    let at = target("figure-broker")?;
    let words = ["mount", "one", &path(&at), "--require", "enforced"];
    let store = path(Store::Sealed.path());
    let direct = || confined::free_command(&[&[SEALPACK, "--store", &store], &words[..]].concat());
    let (mut directly, mut brokered) = (Vec::new(), Vec::new());
    for run in 0..RUNS {
        // Whatever the first of two leaves to be done is not always the same one's.
        for is_direct in if run % 2 == 0 { [true, false] } else { [false, true] } {
            match is_direct {
                true => directly.push(duration_of(&at, direct)?),
                false => brokered.push(duration_of(&at, || sealpack(&words))?),
            }
        }
    }
    let (directly, brokered) = (median(directly), median(brokered));
    println!(
        "FIGURE an enforced mount through the broker: {:.2} times one without ({} ms, {} ms; medians of {RUNS}); the \
         broker's RssAnon: {}",
        brokered.as_secs_f64() / directly.as_secs_f64(),
        brokered.as_millis(),
        directly.as_millis(),
        broker.status("RssAnon")?
    );
    Ok(Verdict::Shown)
}
