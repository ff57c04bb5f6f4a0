//! Connections: they wait until they have something to ask for, and are then served in a process of their own, some at
//! once and none for long.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal};
use sealpack_format::broker::{Answer, Refusal, Step};
use sealpack_kernel::ipe::OpenPolicy;
use sealpack_kernel::packets::{Connection, Listener, Peer};
use sealpack_kernel::{Errno, Forked, Kernel};

use super::answer::refused;
use super::connection;
use super::limits::{Admission, PATIENCE, SERVED_FOR_MAX, Since, admit, may_serve};
use super::log::{Allowance, Level, Log};
use super::work::OfKernel;

/// How often time is looked at, whatever happens.
const INTERVAL: Duration = Duration::from_millis(500);

/// How long nothing is accepted after it failed, for want of memory or descriptors.
const PAUSE: Duration = Duration::from_millis(100);

/// How many connections are accepted before those that wait are looked at again.
const ACCEPTED_AT_ONCE: usize = 16;

/// How a child ends that was to look for what others left, and had nothing to do with devices.
const NOT_SWEPT: i32 = 10;

struct Waiting {
    connection: Connection,
    peer: Peer,
    since: Since,
}

struct Serving {
    child: Pid,
    /// Can be read when the child has ended.
    ended: OwnedFd,
    since: Since,
}

/// What the broker knows while it serves.
struct Server<'k> {
    kernel: &'k Kernel,
    listener: &'k Listener,
    policy: Option<&'k OpenPolicy>,
    log: Log,
    allowance: Allowance,
    waiting: Vec<Waiting>,
    serving: Vec<Serving>,
    /// Whether the next child looks for what others left: the first one does, and whichever follows one that was ended.
    sweeps: bool,
}

/// What there is to do.
struct Events {
    can_accept: bool,
    /// Which of those that wait have something to ask for, or are closed.
    ready: Vec<usize>,
}

/// Serves for as long as the process lives. The answer is its exit status where it cannot.
pub(super) fn serve(kernel: &Kernel, listener: &Listener, policy: Option<&OpenPolicy>, log: Log) -> i32 {
    let allowance = Allowance::new(Instant::now());
    let (waiting, serving) = (Vec::new(), Vec::new());
    let mut server = Server { kernel, listener, policy, log, allowance, waiting, serving, sweeps: true };
    server.log.say(Level::Notice, "serving");
    loop {
        match server.wait() {
            Ok(events) => server.step(&events),
            Err(Errno::INTR) => {}
            Err(errno) => {
                server.log.say(Level::Error, &format!("poll: {errno}"));
                std::thread::sleep(PAUSE);
            }
        }
    }
}

impl Server<'_> {
    /// Waits until something happens, or some time has gone by.
    fn wait(&self) -> Result<Events, Errno> {
        let served = self.served();
        // One that may not be served yet would be ready all the time.
        let watched: Vec<usize> = (0..self.waiting.len())
            .filter(|number| {
                self.waiting.get(*number).is_some_and(|waiting| may_serve(waiting.since.user, &served))
            })
            .collect();
        let connections = watched.iter().filter_map(|number| self.waiting.get(*number));
        let watch = |fd| PollFd::from_borrowed_fd(fd, PollFlags::IN);
        let mut polled: Vec<PollFd<'_>> = std::iter::once(self.listener.as_fd())
            .chain(connections.map(|waiting| waiting.connection.as_fd()))
            .chain(self.serving.iter().map(|serving| serving.ended.as_fd()))
            .map(watch)
            .collect();
        let timeout = Timespec::try_from(INTERVAL).map_err(|_| Errno::INVAL)?;
        poll(&mut polled, Some(&timeout))?;
        let has_event = |polled: &PollFd<'_>| !polled.revents().is_empty();
        let ready = polled.iter().skip(1).zip(&watched).filter(|(polled, _)| has_event(polled));
        Ok(Events {
            can_accept: polled.first().is_some_and(has_event),
            ready: ready.map(|(_, number)| *number).collect(),
        })
    }

    fn step(&mut self, events: &Events) {
        let now = Instant::now();
        self.reap();
        self.end_overdue(now);
        self.start(&events.ready, now);
        self.drop_idle(now);
        if events.can_accept {
            self.accept(now);
        }
    }

    fn served(&self) -> Vec<Since> {
        self.serving.iter().map(|serving| serving.since).collect()
    }

    /// Takes note of children that have ended.
    fn reap(&mut self) {
        let (kernel, sweeps) = (self.kernel, &mut self.sweeps);
        self.serving.retain(|serving| match kernel.wait_for(serving.child, true) {
            Ok(None) => true,
            Ok(Some(status)) => {
                *sweeps |= status.exit_status() != Some(0);
                false
            }
            Err(_) => false,
        });
    }

    /// Ends children that have taken too long.
    fn end_overdue(&mut self, now: Instant) {
        for serving in &self.serving {
            if now.duration_since(serving.since.instant) > SERVED_FOR_MAX {
                // It may have ended just now.
                let _ = rustix::process::pidfd_send_signal(&serving.ended, Signal::KILL);
            }
        }
    }

    /// Starts a child for each connection that has something to ask for, as far as there may be.
    fn start(&mut self, ready: &[usize], now: Instant) {
        let mut started = Vec::new();
        for number in ready.iter().copied() {
            let Some(waiting) = self.waiting.get(number) else { continue };
            if !may_serve(waiting.since.user, &self.served()) {
                continue;
            }
            let since = Since { user: waiting.since.user, instant: now };
            let lines = self.allowance.take(now);
            if let Some(left_out @ 1..) = lines {
                self.log.say(Level::Notice, &format!("{left_out} connections were left out of the log"));
            }
            match self.kernel.fork() {
                Ok(Forked::Child) => std::process::exit(self.serve_one(number, lines.is_some())),
                Ok(Forked::Parent { child }) => match rustix::process::pidfd_open(child, PidfdFlags::empty())
                {
                    Ok(ended) => {
                        self.serving.push(Serving { child, ended, since });
                        self.sweeps = false;
                    }
                    // Without it nobody would know when the child has ended.
                    Err(_) => {
                        let _ = rustix::process::kill_process(child, Signal::KILL);
                        let _ = self.kernel.wait_for(child, false);
                    }
                },
                Err(error) => {
                    let refusal = refused(error.errno(), Step::Limit, "there can be no more processes");
                    self.refuse(&waiting.connection, refusal);
                }
            }
            started.push(number);
        }
        let mut number = 0;
        self.waiting.retain(|_| {
            number += 1;
            !started.contains(&(number - 1))
        });
    }

    /// In the child: serves the connection with that number, and answers with its exit status.
    fn serve_one(&mut self, number: usize, mut may_log: bool) -> i32 {
        let Waiting { connection, peer, .. } = self.waiting.swap_remove(number);
        // The others are the parent's.
        self.waiting.clear();
        self.serving.clear();
        let mut work = OfKernel::new(self.kernel, self.policy, peer.uid, self.sweeps);
        let log = &self.log;
        connection::serve(self.kernel, &connection, peer, &mut work, |letter, result| {
            let is_nothing = letter == 'V' && result.is_ok();
            if !is_nothing && std::mem::take(&mut may_log) {
                let (level, what) = told(letter, result);
                log.say(level, &format!("process {}, user {}: {what}", peer.pid, peer.uid));
            }
        });
        if work.is_to_sweep() { NOT_SWEPT } else { 0 }
    }

    /// Closes connections that have waited long enough for their own request. Those that wait for their turn stay.
    fn drop_idle(&mut self, now: Instant) {
        let served = self.served();
        self.waiting.retain(|waiting| {
            now.duration_since(waiting.since.instant) <= PATIENCE || !may_serve(waiting.since.user, &served)
        });
    }

    fn accept(&mut self, now: Instant) {
        for _ in 0..ACCEPTED_AT_ONCE {
            let connection = match self.kernel.accept(self.listener) {
                Ok(Some(connection)) => connection,
                Ok(None) => return,
                Err(_) => return std::thread::sleep(PAUSE),
            };
            let Ok(peer) = self.kernel.peer(&connection) else { continue };
            let since = Since { user: peer.uid, instant: now };
            let waiting: Vec<Since> = self.waiting.iter().map(|waiting| waiting.since).collect();
            match admit(peer.uid, &waiting) {
                Admission::Wait => {}
                Admission::InPlaceOf(number) => drop(self.waiting.remove(number)),
                Admission::Refuse => {
                    self.refuse(
                        &connection,
                        refused(Errno::USERS, Step::Limit, "too many connections of this user"),
                    );
                    continue;
                }
            }
            self.waiting.push(Waiting { connection, peer, since });
        }
    }

    fn refuse(&self, connection: &Connection, refusal: Refusal) {
        // There is room for an answer in a connection that never had one; and whoever has gone needs none.
        let _ = self.kernel.send(connection, &Answer::Refused(refusal).to_bytes(), &[] as &[BorrowedFd<'_>]);
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
}
