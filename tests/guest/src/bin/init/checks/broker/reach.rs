//! Ways into the broker.

use super::Broker;
use crate::checks::Verdict;
use crate::checks::images::{Mounted, busybox};
use crate::confined;
use crate::system::ATTACK;
use anyhow::{Result, ensure};
use sealpack_tests::command::attempt;
use std::path::Path;
use std::process::Command;

/// What the attack exits with that could not be made.
const IMPOSSIBLE: i32 = 200;

/// The attacks on a process, as `attacks/attack.c` knows them.
const WAYS: [&str; 8] =
    ["ptrace", "memory", "descriptor", "namespace", "uprobe", "root-link", "descriptor-link", "program-link"];

/// Where the kernel takes probes of programs.
const TRACING: &str = "/sys/kernel/tracing";

pub(crate) fn all() -> Result<Verdict> {
    busybox(["mount", "-t", "tracefs", "tracefs", TRACING].map(AsRef::as_ref))?;
    let _tracing = Mounted::at(Path::new(TRACING));
    let broker = Broker::service()?;
    let pid = broker.pid().to_string();
    for way in WAYS {
        let words = [ATTACK, way, &pid];
        let free = attempt(Command::new(ATTACK).args([way, &pid]))?;
        ensure!(free.status.code() == Some(0), "{way} does not even work with all rights: {free:?}");
        let confined = attempt(&mut confined::command(&words))?;
        let code = confined.status.code();
        let is_refused = code.is_some_and(|code| code != 0 && code != IMPOSSIBLE);
        ensure!(is_refused, "{way} without CAP_SYS_PTRACE: {confined:?}");
        println!("{way}: works with CAP_SYS_PTRACE, error {code:?} without");
    }
    ensure!(!broker.is_gone(), "the broker has ended");
    Ok(Verdict::Shown)
}
