//! Connections: they wait until they have something to ask for, and are then served in a process of their own, some at
//! once and none for long.

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use sealpack_format::broker::{Answer, Refusal, Step};
use sealpack_kernel::ipe::OpenPolicy;
use sealpack_kernel::packets::{Connection, Listener, Peer};
use sealpack_kernel::{Errno, Kernel};

use super::answer::refused;
use super::children::{Children, Task, Tools};
use super::limits::{Admission, PATIENCE, Since, admit, may_serve};
use super::log::{Allowance, Level, Log};

/// How often time is looked at, whatever happens.
const INTERVAL: Duration = Duration::from_millis(500);

/// How long nothing happens until a process is made that is to be ready for what comes: whoever was served is to go on first.
const REST: Duration = Duration::from_millis(20);

/// How long nothing is accepted after it failed, for want of memory or descriptors.
const PAUSE: Duration = Duration::from_millis(100);

/// How many connections are accepted before those that wait are looked at again.
const ACCEPTED_AT_ONCE: usize = 16;

struct Waiting {
    connection: Connection,
    peer: Peer,
    since: Since,
}

/// What the broker knows while it serves.
struct Server<'k> {
    kernel: &'k Kernel,
    listener: &'k Listener,
    log: &'k Log,
    allowance: Allowance,
    waiting: Vec<Waiting>,
    children: Children<'k>,
}

/// What there is to do.
struct Events {
    /// Nothing at all, for a while.
    is_at_rest: bool,
    can_accept: bool,
    /// Which of those that wait have something to ask for, or are closed.
    ready: Vec<usize>,
}

/// Serves for as long as the process lives. The answer is its exit status where it cannot.
pub(super) fn serve(kernel: &Kernel, listener: &Listener, policy: Option<&OpenPolicy>, log: &Log) -> i32 {
    let children = Children::new(Tools { kernel, policy, log });
    let (allowance, waiting) = (Allowance::new(Instant::now()), Vec::new());
    let mut server = Server { kernel, listener, log, allowance, waiting, children };
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
        let served = self.children.served();
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
            .chain(self.children.ended())
            .map(watch)
            .collect();
        let patience = if self.children.lack_spare() { REST } else { INTERVAL };
        let timeout = Timespec::try_from(patience).map_err(|_| Errno::INVAL)?;
        let is_at_rest = poll(&mut polled, Some(&timeout))? == 0;
        let has_event = |polled: &PollFd<'_>| !polled.revents().is_empty();
        let ready = polled.iter().skip(1).zip(&watched).filter(|(polled, _)| has_event(polled));
        Ok(Events {
            is_at_rest,
            can_accept: polled.first().is_some_and(has_event),
            ready: ready.map(|(_, number)| *number).collect(),
        })
    }

    fn step(&mut self, events: &Events) {
        let now = Instant::now();
        self.children.reap();
        self.children.end_overdue(now);
        self.start(&events.ready, now);
        self.drop_idle(now);
        if events.can_accept {
            self.accept(now);
        }
        if events.is_at_rest {
            let waiting = &mut self.waiting;
            self.children.keep_spare(|| waiting.clear());
        }
    }

    /// Has each connection served that has something to ask for, as far as there may be.
    fn start(&mut self, ready: &[usize], now: Instant) {
        let mut removed = 0;
        for number in ready.iter().copied() {
            let index = number.saturating_sub(removed);
            let user = self.waiting.get(index).map(|waiting| waiting.since.user);
            if !user.is_some_and(|user| may_serve(user, &self.children.served())) {
                continue;
            }
            let Waiting { connection, peer, .. } = self.waiting.remove(index);
            removed += 1;
            let lines = self.allowance.take(now);
            if let Some(left_out @ 1..) = lines {
                self.log.say(Level::Notice, &format!("{left_out} connections were left out of the log"));
            }
            let task = Task { connection: &connection, peer, may_log: lines.is_some() };
            let since = Since { user: peer.uid, instant: now };
            let others = &mut self.waiting;
            if let Err(error) = self.children.serve(&task, since, || others.clear()) {
                let refusal = refused(error.errno(), Step::Limit, "there can be no more processes");
                refuse(self.kernel, &connection, refusal);
            }
        }
    }

    /// Closes connections that have waited long enough for their own request. Those that wait for their turn stay.
    fn drop_idle(&mut self, now: Instant) {
        let served = self.children.served();
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
                    refuse(
                        self.kernel,
                        &connection,
                        refused(Errno::USERS, Step::Limit, "too many connections of this user"),
                    );
                    continue;
                }
            }
            self.waiting.push(Waiting { connection, peer, since });
        }
    }
}

fn refuse(kernel: &Kernel, connection: &Connection, refusal: Refusal) {
    // There is room for an answer in a connection that never had one; and whoever has gone needs none.
    let _ = kernel.send(connection, &Answer::Refused(refusal).to_bytes(), &[]);
}
