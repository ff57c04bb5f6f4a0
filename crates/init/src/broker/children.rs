//! The processes that serve connections, one each. One more is kept ready, so that nobody waits for a process to be made.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Instant;

use rustix::process::{Pid, PidfdFlags, Signal};
use sealpack_format::broker::Refusal;
use sealpack_kernel::ipe::OpenPolicy;
use sealpack_kernel::packets::{Connection, Peer};
use sealpack_kernel::{Error, Forked, Kernel};

use super::connection;
use super::limits::{SERVED_FOR_MAX, Since};
use super::log::{Level, Log};
use super::work::OfKernel;

/// How a child ends that was to look for what others left, and had nothing to do with devices.
const NOT_SWEPT: i32 = 10;

/// A connection that is to be served.
pub(super) struct Task<'c> {
    pub(super) connection: &'c Connection,
    pub(super) peer: Peer,
    /// Whether its child may write a line to the log.
    pub(super) may_log: bool,
}

/// What children work with.
#[derive(Clone, Copy)]
pub(super) struct Tools<'k> {
    pub(super) kernel: &'k Kernel,
    pub(super) policy: Option<&'k OpenPolicy>,
    pub(super) log: &'k Log,
}

/// A process that serves a connection, or waits for one.
struct Child {
    pid: Pid,
    /// Can be read when it has ended.
    ended: OwnedFd,
}

impl Child {
    /// Ends it.
    fn end(&self) {
        // It may have ended just now.
        let _ = rustix::process::pidfd_send_signal(&self.ended, Signal::KILL);
    }
}

/// One that waits for a connection.
struct Spare {
    child: Child,
    /// Where it gets one.
    line: Connection,
}

/// All of them.
pub(super) struct Children<'k> {
    tools: Tools<'k>,
    serving: Vec<(Child, Since)>,
    spare: Option<Spare>,
    /// Whether there could be no process for it, or it ended by itself. After the next connection it is tried again.
    is_spare_refused: bool,
    /// Whether the next child looks for what others left: the first one does, and whichever follows one that was ended.
    sweeps: bool,
}

impl<'k> Children<'k> {
    pub(super) const fn new(tools: Tools<'k>) -> Self {
        Self { tools, serving: Vec::new(), spare: None, is_spare_refused: false, sweeps: true }
    }

    /// Of the connections that are served.
    pub(super) fn served(&self) -> Vec<Since> {
        self.serving.iter().map(|(_, since)| *since).collect()
    }

    /// What can be read when one of them has ended.
    pub(super) fn ended(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let spare = self.spare.iter().map(|spare| &spare.child);
        self.serving.iter().map(|(child, _)| child).chain(spare).map(|child| child.ended.as_fd())
    }

    /// Takes note of those that have ended.
    pub(super) fn reap(&mut self) {
        let kernel = self.tools.kernel;
        let sweeps = &mut self.sweeps;
        self.serving.retain(|(child, _)| match kernel.wait_for(child.pid, true) {
            Ok(None) => true,
            Ok(Some(status)) => {
                *sweeps |= status.exit_status() != Some(0);
                false
            }
            Err(_) => false,
        });
        if let Some(spare) = self.spare.take() {
            self.spare = matches!(kernel.wait_for(spare.child.pid, true), Ok(None)).then_some(spare);
            // Nobody asked it anything: the next would end as it did, and one after the other would be made.
            self.is_spare_refused |= self.spare.is_none();
        }
    }

    /// Ends those that have taken too long.
    pub(super) fn end_overdue(&self, now: Instant) {
        for (child, since) in &self.serving {
            if now.duration_since(since.instant) > SERVED_FOR_MAX {
                child.end();
            }
        }
    }

    /// Has a connection served. `leave` lets go of what is the parent's only; it is called in a child.
    ///
    /// # Errors
    /// When there can be no process for it.
    pub(super) fn serve(&mut self, task: &Task<'_>, since: Since, leave: impl FnOnce()) -> Result<(), Error> {
        let sweeps = std::mem::take(&mut self.sweeps);
        self.is_spare_refused = false;
        let message = Message { peer: task.peer, may_log: task.may_log, sweeps };
        if let Some(Spare { child, line }) = self.spare.take() {
            let handed = self.tools.kernel.send(&line, &message.to_bytes(), &[task.connection.as_fd()]);
            if handed.is_ok() {
                self.serving.push((child, since));
                return Ok(());
            }
            // It was ended by somebody, or there is no memory for the message: then it still waits, and nobody would ever
            // hear that it has ended.
            child.end();
            drop(line);
            let _ = self.tools.kernel.wait_for(child.pid, false);
        }
        let tools = self.tools;
        let child = self.fork(leave, || message.serve(tools, task.connection));
        self.sweeps |= sweeps && child.is_err();
        self.serving.push((child?, since));
        Ok(())
    }

    /// Whether none is ready that should be: one is made while there is nothing else to do.
    pub(super) const fn lack_spare(&self) -> bool {
        self.spare.is_none() && self.serving.is_empty() && !self.is_spare_refused
    }

    /// Sees to it that one is ready.
    pub(super) fn keep_spare(&mut self, leave: impl FnOnce()) {
        if !self.lack_spare() {
            return;
        }
        self.is_spare_refused = true;
        let Ok((line, end)) = self.tools.kernel.connected_pair() else { return };
        let (tools, mut line) = (self.tools, Some(line));
        let child = self.fork(leave, || {
            // So that it hears when the broker has ended.
            drop(line.take());
            wait_and_serve(tools, &end)
        });
        // Without one, a process is made when it is needed.
        self.spare = child.ok().zip(line).map(|(child, line)| Spare { child, line });
        self.is_spare_refused = self.spare.is_none();
    }

    /// Starts a process that does `work`, and ends with what it answers.
    fn fork(&mut self, leave: impl FnOnce(), work: impl FnOnce() -> i32) -> Result<Child, Error> {
        match self.tools.kernel.fork()? {
            Forked::Child => {
                leave();
                // What can end the others is not this one's.
                self.serving.clear();
                std::process::exit(work())
            }
            Forked::Parent { child: pid } => match rustix::process::pidfd_open(pid, PidfdFlags::empty()) {
                Ok(ended) => Ok(Child { pid, ended }),
                // Without it nobody would know when the child has ended.
                Err(errno) => {
                    let _ = rustix::process::kill_process(pid, Signal::KILL);
                    let _ = self.tools.kernel.wait_for(pid, false);
                    Err(Error::told("broker", "a process".to_owned(), errno, ""))
                }
            },
        }
    }
}

/// In a child: waits for a connection, and serves it.
fn wait_and_serve(tools: Tools<'_>, line: &Connection) -> i32 {
    // In the time that nobody waits for. Without it, it is only slower later.
    let _ = tools.kernel.touch_memory();
    let mut bytes = [0; MESSAGE_BYTES];
    let Ok(packet) = tools.kernel.receive(line, &mut bytes) else { return 1 };
    match (packet.length, packet.descriptors.into_iter().next()) {
        (MESSAGE_BYTES, Some(connection)) => Message::of(bytes).serve(tools, &Connection::from(connection)),
        // The broker has ended.
        (0, _) => 0,
        // There was no room for the connection's descriptor; what the message asked for is not done.
        _ => NOT_SWEPT,
    }
}

/// The length of what a child is told of its connection.
const MESSAGE_BYTES: usize = 10;

/// What a child is told of its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Message {
    peer: Peer,
    may_log: bool,
    sweeps: bool,
}

impl Message {
    fn to_bytes(self) -> [u8; MESSAGE_BYTES] {
        let Self { peer, may_log, sweeps } = self;
        let mut bytes = [0; MESSAGE_BYTES];
        let numbers = peer.pid.to_ne_bytes().into_iter().chain(peer.uid.to_ne_bytes());
        for (byte, value) in bytes.iter_mut().zip(numbers.chain([may_log.into(), sweeps.into()])) {
            *byte = value;
        }
        bytes
    }

    const fn of(bytes: [u8; MESSAGE_BYTES]) -> Self {
        let [p0, p1, p2, p3, u0, u1, u2, u3, may_log, sweeps] = bytes;
        let (pid, uid) = (i32::from_ne_bytes([p0, p1, p2, p3]), u32::from_ne_bytes([u0, u1, u2, u3]));
        Self { peer: Peer { pid, uid }, may_log: may_log != 0, sweeps: sweeps != 0 }
    }

    /// Serves the connection, and answers with the exit status.
    fn serve(self, tools: Tools<'_>, connection: &Connection) -> i32 {
        let Tools { kernel, policy, log } = tools;
        let Self { peer, mut may_log, sweeps } = self;
        let mut work = OfKernel::new(kernel, policy, peer.uid, sweeps);
        connection::serve(kernel, connection, peer, &mut work, |letter, result| {
            let is_nothing = letter == 'V' && result.is_ok();
            if !is_nothing && std::mem::take(&mut may_log) {
                let (level, what) = told(letter, result);
                log.say(level, &format!("process {}, user {}: {what}", peer.pid, peer.uid));
            }
        });
        if work.is_to_sweep() { NOT_SWEPT } else { 0 }
    }
}

/// A line for the log.
fn told(letter: char, result: Result<(), &Refusal>) -> (Level, String) {
    match result {
        Ok(()) => (Level::Info, format!("{letter} done")),
        Err(Refusal { errno, step, layer, text }) => {
            let layer = layer.map_or(String::new(), |layer| format!(" of layer {layer}"));
            let errno = std::io::Error::from_raw_os_error(*errno);
            (Level::Notice, format!("{letter} refused while {step}{layer}: {errno}: {text}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use sealpack_format::broker::Step;

    use super::*;

    #[test]
    fn the_log_says_what_was_refused_and_why() {
        assert_eq!(told('M', Ok(())), (Level::Info, "M done".to_owned()));
        let refusal = Refusal { errno: 126, step: Step::Table, layer: Some(2), text: "key".to_owned() };
        let (level, line) = told('O', Err(&refusal));
        assert_eq!(level, Level::Notice);
        assert!(
            line.starts_with("O refused while loading the table of a dm-verity device of layer 2: "),
            "{line}"
        );
    }

    #[test]
    fn a_child_that_got_no_connection_does_not_say_that_it_looked_for_what_others_left() {
        let (kernel, log) = (Kernel::new(), Log::new(tempfile::tempfile().unwrap()));
        let tools = Tools { kernel: &kernel, policy: None, log: &log };
        let status = |message: Option<&[u8]>| {
            let (line, end) = kernel.connected_pair().unwrap();
            if let Some(message) = message {
                kernel.send(&line, message, &[]).unwrap();
            }
            drop(line);
            wait_and_serve(tools, &end)
        };
        let message = Message { peer: Peer { pid: 1, uid: 0 }, may_log: false, sweeps: true };
        assert_eq!(status(Some(&message.to_bytes())), NOT_SWEPT);
        assert_eq!(status(Some(b"short")), NOT_SWEPT);
        assert_eq!(status(None), 0, "the broker has ended");
    }

    #[test]
    fn a_spare_that_ends_by_itself_is_not_made_again_before_the_next_connection() {
        let (kernel, log) = (Kernel::new(), Log::new(tempfile::tempfile().unwrap()));
        let mut children = Children::new(Tools { kernel: &kernel, policy: None, log: &log });
        assert!(children.lack_spare());
        let (line, _end) = kernel.connected_pair().unwrap();
        let mut process = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
        let pid = Pid::from_raw(i32::try_from(process.id()).unwrap()).unwrap();
        let ended = rustix::process::pidfd_open(pid, PidfdFlags::empty()).unwrap();
        children.spare = Some(Spare { child: Child { pid, ended }, line });
        children.reap();
        assert!(children.spare.is_some(), "it waits");
        children.spare.as_ref().unwrap().child.end();
        while children.spare.is_some() {
            std::thread::sleep(std::time::Duration::from_millis(1));
            children.reap();
        }
        assert!(!children.lack_spare());
        process.wait().expect_err("it was waited for");
    }

    #[test]
    fn a_child_is_told_whose_connection_it_is() {
        for (may_log, sweeps) in [(true, false), (false, true)] {
            let peer = Peer { pid: 123_456, uid: u32::MAX };
            let message = Message { peer, may_log, sweeps };
            assert_eq!(Message::of(message.to_bytes()), message);
        }
    }
}
