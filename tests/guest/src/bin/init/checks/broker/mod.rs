//! The broker: started as the service that it is on ordinary hosts, or to stay, as on a sealed one. Who asks it is root
//! without the rights that a sealed host takes from everybody, or an ordinary user.

pub(super) mod mounts;
pub(super) mod reach;
pub(super) mod refuses;
pub(super) mod survives;
pub(super) mod updates;
pub(super) mod users;

use super::leftovers::wait_for;
use crate::system::HOST_INIT;
use anyhow::{Context, Result, ensure};
use sealpack_format::broker::{Answer, REQUEST_MAX_BYTES, Request, SOCKET};
use sealpack_guest::processes;
use sealpack_kernel::Kernel;
use sealpack_kernel::packets::{Connection, Packet};
use std::fs;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A broker, until this is dropped.
pub(crate) struct Broker {
    pid: u32,
    /// The service's process; of one that stays, there is none to wait for.
    child: Option<Child>,
}

impl Broker {
    /// Starts it as a service.
    pub(crate) fn service() -> Result<Self> {
        let mut command = Command::new(HOST_INIT);
        let child = command.args(["broker", "--socket", SOCKET]).stdin(Stdio::null()).spawn()?;
        let broker = Self { pid: child.id(), child: Some(child) };
        wait_for("the broker to listen", || Ok(version().is_ok()))?;
        Ok(broker)
    }

    /// Starts one that stays.
    pub(crate) fn that_stays() -> Result<Self> {
        let status = Command::new(HOST_INIT).args(["broker", "--socket", SOCKET, "--stay"]).status()?;
        ensure!(status.success(), "the broker was not started: {status}");
        version()?;
        Ok(Self { pid: pid()?.context("there is no process of the broker's")?, child: None })
    }

    /// Its process.
    pub(crate) const fn pid(&self) -> u32 {
        self.pid
    }

    /// A line of its status in proc.
    pub(crate) fn status(&self, name: &str) -> Result<String> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid))?;
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        Ok(line.with_context(|| format!("its status has no {name}: {status}"))?.trim().to_owned())
    }

    /// Whether it has at most the one process that it keeps ready, and none that has ended and nobody waited for.
    pub(crate) fn is_at_rest(&self) -> Result<bool> {
        let path = format!("/proc/{0}/task/{0}/children", self.pid);
        let children = fs::read_to_string(path)?;
        let children: Vec<_> = children.split_whitespace().collect();
        let status = |child: &str| fs::read_to_string(format!("/proc/{child}/status")).unwrap_or_default();
        Ok(children.len() <= 1 && !children.iter().any(|child| status(child).contains("State:\tZ")))
    }

    /// Ends it, as by the only signal that it cannot ignore, and waits until it is gone.
    pub(crate) fn end(&mut self) -> Result<()> {
        match &mut self.child {
            Some(child) => {
                child.kill()?;
                child.wait()?;
            }
            None => {
                signal(self.pid, rustix::process::Signal::KILL)?;
            }
        }
        wait_for("the broker to go", || Ok(self.is_gone()))?;
        let _ = fs::remove_file(SOCKET);
        Ok(())
    }

    pub(crate) fn is_gone(&self) -> bool {
        // One that stays is the first process's child, which waits for none.
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid)).unwrap_or_default();
        stat.is_empty() || stat.rsplit(')').next().is_some_and(|rest| rest.starts_with(" Z"))
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        if !self.is_gone()
            && let Err(error) = self.end()
        {
            println!("{error:#}");
        }
    }
}

pub(crate) fn signal(pid: u32, signal: rustix::process::Signal) -> Result<()> {
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid)?).context("no process has the number 0")?;
    rustix::process::kill_process(pid, signal).with_context(|| format!("sending {signal:?} to {pid:?}"))
}

/// Whether no process of any broker's is there.
pub(crate) fn none_is_there() -> Result<bool> {
    Ok(alive()?.is_empty())
}

/// The process that is called so and is no child of another that is.
fn pid() -> Result<Option<u32>> {
    // One that stays belongs to nobody but the first process.
    let is_first = |status: &str| status.lines().any(|line| line == "PPid:\t1");
    let first = alive()?.into_iter().find(|(_, status)| is_first(status));
    Ok(first.and_then(|(process, _)| process.file_name()?.to_str()?.parse().ok()))
}

/// The processes of brokers that have not ended, each with its status.
fn alive() -> Result<Vec<(PathBuf, String)>> {
    let with_status = |process: PathBuf| {
        let status = fs::read_to_string(process.join("status")).unwrap_or_default();
        (process, status)
    };
    let all = processes::named("sealpack-broker")?.into_iter().map(with_status);
    Ok(all.filter(|(_, status)| !status.contains("State:\tZ")).collect())
}

/// What the broker says of itself.
pub(crate) fn version() -> Result<String> {
    match ask(&Request::Version.to_bytes()?, &[])? {
        (Answer::Done(text), _) => Ok(text),
        (answer, _) => anyhow::bail!("{answer:?}"),
    }
}

/// A connection to the broker.
pub(crate) fn connect(kernel: &Kernel) -> Result<Connection> {
    let connection = kernel.connect_to(Path::new(SOCKET))?;
    kernel.limit_waiting(&connection, Duration::from_secs(60))?;
    kernel.make_room(&connection, REQUEST_MAX_BYTES)?;
    Ok(connection)
}

/// Sends a message over a connection of its own, and what came back.
pub(crate) fn ask(message: &[u8], descriptors: &[BorrowedFd<'_>]) -> Result<(Answer, Packet)> {
    let kernel = Kernel::new();
    ask_over(&kernel, &connect(&kernel)?, message, descriptors)
}

/// Sends a message, and what came back.
pub(crate) fn ask_over(
    kernel: &Kernel,
    connection: &Connection,
    message: &[u8],
    descriptors: &[BorrowedFd<'_>],
) -> Result<(Answer, Packet)> {
    kernel.send(connection, message, descriptors)?;
    let mut buffer = [0; 100];
    let packet = kernel.receive(connection, &mut buffer)?;
    let answer = Answer::parse(buffer.get(..packet.length).unwrap_or_default())?;
    Ok((answer, packet))
}
