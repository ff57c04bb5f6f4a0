//! What does not end the broker, and what its end does not end.

use super::mounts::sealpack;
use super::{Broker, connect, none_is_there, signal, version};
use crate::checks::Verdict;
use crate::checks::enforcement::{ATTACKED, allowed, execute};
use crate::checks::images::{Mounted, Store, busybox, target};
use crate::checks::leftovers::{ensure_none, settled, wait_for};
use anyhow::{Context, Result, ensure};
use rustix::process::Signal;
use sealpack_format::broker::Request;
use sealpack_kernel::Kernel;
use sealpack_kernel::mountinfo;
use sealpack_tests::command::{attempt, run};
use std::process::Stdio;
use std::time::{Duration, Instant};

/// How many connections are opened that ask for nothing, by root, who may have most.
const IDLE: usize = 100;

/// How long a request may take beside them.
const NOT_DELAYED: Duration = Duration::from_secs(2);

/// At how many moments a mount is killed.
const MOMENTS: u32 = 12;

/// What a process is sent when the first process ends all others, and what else there is.
const SIGNALS: [Signal; 8] = [
    Signal::TERM,
    Signal::HUP,
    Signal::INT,
    Signal::QUIT,
    Signal::USR1,
    Signal::PIPE,
    Signal::ALARM,
    Signal::SEGV,
];

pub(crate) fn all() -> Result<Verdict> {
    let before = settled()?;
    let mut broker = Broker::that_stays()?;
    for sent in SIGNALS {
        signal(broker.pid(), sent)?;
    }
    version().context("after the signals")?;
    let command_line = std::fs::read(format!("/proc/{}/cmdline", broker.pid()))?;
    ensure!(command_line.first() == Some(&b'@'), "systemd would end it: {command_line:?}");
    let spared = std::fs::read_to_string(format!("/proc/{}/oom_score_adj", broker.pid()))?;
    ensure!(spared.trim_end() == "-1000", "its oom_score_adj is {spared}");
    idle_connections()?;
    clients_that_die(&broker)?;
    ensure_none(&before).context("after clients have died")?;
    outlived(&mut broker)?;
    ensure_none(&before)?;
    Ok(Verdict::Shown)
}

fn idle_connections() -> Result<()> {
    let kernel = Kernel::new();
    let idle: Vec<_> = (0..IDLE).filter_map(|_| connect(&kernel).ok()).collect();
    let started = Instant::now();
    version().context("beside idle connections")?;
    ensure!(
        started.elapsed() < NOT_DELAYED,
        "{} idle connections delay others by {:?}",
        idle.len(),
        started.elapsed()
    );
    println!("beside {} idle connections an answer takes {:?}", idle.len(), started.elapsed());
    Ok(())
}

fn clients_that_die(broker: &Broker) -> Result<()> {
    let kernel = Kernel::new();
    let version = Request::Version.to_bytes()?;
    for message in [&b""[..], b"SPB", &version] {
        let connection = connect(&kernel)?;
        if !message.is_empty() {
            kernel.send(&connection, message, &[])?;
        }
        // Without waiting for an answer.
        drop(connection);
    }
    let at = target("died")?;
    let path = at.to_string_lossy().into_owned();
    let started = Instant::now();
    run(&mut sealpack(&["mount", "one", &path]))?;
    let duration = started.elapsed();
    busybox(["umount".as_ref(), at.as_os_str()])?;
    for moment in 0..MOMENTS {
        let mut command = sealpack(&["mount", "one", &path]);
        let mut mount = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        std::thread::sleep(duration * moment / (MOMENTS - 1));
        mount.kill()?;
        mount.wait()?;
        if mountinfo::read_own()?.iter().any(|mount| mount.mount_point == at) {
            busybox(["umount".as_ref(), at.as_os_str()])?;
        }
    }
    wait_for("the broker's children to end", || broker.is_at_rest())?;
    super::version().context("after clients have died").map(drop)
}

/// Mounts live on without it; there are no new ones until another one is there.
fn outlived(broker: &mut Broker) -> Result<()> {
    let (at, other) = (target("outlives")?, target("outlives-other")?);
    run(&mut sealpack(&["mount", "one", &at.to_string_lossy()]))?;
    let mounted = Mounted::at(&at);
    broker.end()?;
    wait_for("what the broker has started to end with it", none_is_there)?;
    allowed("a program, the broker being dead", || execute(mounted.path("bin/program"), ATTACKED))?;
    let refused = attempt(&mut sealpack(&["mount", "two", &other.to_string_lossy()]))?;
    let said = String::from_utf8_lossy(&refused.stderr);
    ensure!(!refused.status.success() && said.contains("needs root"), "without a broker: {said}");
    let next = Broker::service()?;
    run(&mut sealpack(&["mount", "one", &other.to_string_lossy()]))?;
    drop(Mounted::at(&other));
    drop(next);
    // Whoever may make devices needs none.
    drop(Store::Sealed.mount("one", &other, "enforced")?);
    Ok(())
}
