//! The end of a start that does not come to one: another process waits beside it, and starts the machine again.
//!
//! It has to be another process, since a device that does not answer holds whoever asked it, and no signal gets through; and
//! one that touches no disk before it has said why.
//!
//! Both agree on who was first. The first process says each step, the last time just before it executes the system's: what
//! it says before the deadline counts, and where it is told that the deadline is over, it waits for the end. Only an execution
//! that was begun in time can still come to its end, until the kernel is asked to start the machine again; from then on
//! there is no way back, since devices are shut down.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::Pid;
use sealpack_format::boot::{Deadline, RefusedBoot, Started, data};
use sealpack_kernel::capabilities::CapabilitySet;
use sealpack_kernel::directory::Directory;
use sealpack_kernel::{Errno, Forked, Kernel};

use super::failure::Failure;
use super::refusal::{self, SHOWN_FOR};
use super::step::Step;
use crate::kernel_log::{self, Matters};

/// How lists of processes call it.
const NAME: &str = "sealpack-watch";
/// How its command line begins: as that of any other program.
const FIRST_BYTE: u8 = b'/';
/// How long the kernel may take to shut devices down before it starts the machine again without.
const SHUTDOWN: Duration = Duration::from_secs(10);
/// Has the kernel start the machine again at once (Documentation/admin-guide/sysrq.rst).
const AT_ONCE: (&str, &[u8]) = ("/proc/sysrq-trigger", b"b");
/// More than the names of all steps.
const HEARD_MAX_BYTES: usize = 1024;
const ADVICE: &str =
    "look for a device that does not answer; give it more time, if it needs that (host build --deadline)";

/// The deadline of this process, which holds until it executes another program.
#[derive(Debug)]
pub(super) struct Watched {
    line: UnixStream,
}

impl Watched {
    /// Has the machine start again unless this process has executed another program by the deadline. `started` is what that
    /// is, for the record.
    ///
    /// # Errors
    /// There can be no process for it.
    pub(super) fn start(kernel: &Kernel, deadline: Deadline, started: &Started) -> Result<Self, Failure> {
        let end = Instant::now() + deadline.duration();
        let pair = UnixStream::pair().map_err(|error| Failure::new(format!("a pair of sockets: {error}")))?;
        let (heard, line) = pair;
        let kept = Kept::open();
        match kernel.fork()? {
            Forked::Child => {
                drop(line);
                std::process::exit(watch(kernel, &kept, heard, end, deadline, started))
            }
            Forked::Parent { .. } => Ok(Self { line }),
        }
    }

    /// From now on `step` is what takes its time. After the deadline it does not return: the machine is about to start again.
    ///
    /// # Errors
    /// The deadline is over, and nobody is there any more to start the machine again.
    pub(super) fn at(&mut self, step: Step) -> Result<(), Failure> {
        match self.line.write_all(format!("{step}\n").as_bytes()) {
            Err(error) if error.kind() == ErrorKind::BrokenPipe && !is_closed(&self.line) => {}
            // If nobody hears it, there is no deadline any more, and the start is as good as it was without one.
            _ => return Ok(()),
        }
        while let Ok(0) | Err(Errno::INTR) = poll(&mut [PollFd::new(&self.line, PollFlags::empty())], None) {}
        Err(Failure::new(
            "the deadline is over, and the process that starts the machine again then has ended",
        ))
    }
}

/// What is opened as long as it has names: in the last step they go, with the initramfs.
#[derive(Debug)]
struct Kept {
    log: Option<File>,
    at_once: Option<File>,
}

impl Kept {
    fn open() -> Self {
        let (path, _) = AT_ONCE;
        let at_once = File::options().write(true).open(path).inspect_err(|error| {
            let text =
                format!("{path}: {error}: a device that cannot be shut down can hold a start for ever");
            kernel_log::write(Matters::Warning, &text);
        });
        Self { log: kernel_log::open().ok(), at_once: at_once.ok() }
    }

    fn say(&self, matters: Matters, text: &str) {
        kernel_log::write_to(self.log.as_ref(), matters, text);
    }
}

/// In the process that waits. It ends with what it waits for.
fn watch(
    kernel: &Kernel,
    kept: &Kept,
    heard: UnixStream,
    end: Instant,
    deadline: Deadline,
    started: &Started,
) -> i32 {
    if let Err(error) = give_up(kernel) {
        kept.say(Matters::Warning, &format!("the deadline's process keeps its rights: {error}"));
    }
    let Some(step) = overdue(&heard, end) else { return 0 };
    let why = format!("all steps may take {deadline} s together, and this one is not done");
    let refused =
        RefusedBoot { step: step.clone(), why, advice: ADVICE.to_owned(), started: Some(started.clone()) };
    kept.say(Matters::Alert, &format!("{refused}. Starting again"));
    // What touches disks may never come back: it is another process that does it. In the last step the data partition has
    // no name any more.
    if step != Step::Switch.name()
        && let Ok(Forked::Child) = kernel.fork()
    {
        drop(heard);
        record(kernel, &refused);
        return 0;
    }
    std::thread::sleep(SHOWN_FOR);
    restart(&heard, SHUTDOWN, &mut OfKernel { kernel, kept, asked: None });
    kept.say(Matters::Notice, "the start has come to its end after all");
    0
}

/// Leaves it with the one right that it is there for.
fn give_up(kernel: &Kernel) -> Result<(), sealpack_kernel::Error> {
    kernel.rename_process(NAME, FIRST_BYTE)?;
    kernel.refuse_dumps()?;
    kernel.refuse_new_rights()?;
    kernel.keep_capabilities(CapabilitySet::SYS_BOOT)
}

/// The step that was heard of last by `end`, from which on nothing more can be said; `None` when the other side was closed
/// before.
fn overdue(heard: &UnixStream, end: Instant) -> Option<String> {
    let mut step = Step::Modules.to_string();
    loop {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break;
        }
        // It is less than an hour.
        let left = Timespec::try_from(left).unwrap_or_default();
        match poll(&mut [PollFd::new(heard, PollFlags::IN)], Some(&left)) {
            Ok(0) | Err(Errno::INTR) => continue,
            Ok(_) => {}
            Err(_) => return None,
        }
        if !hear(heard, &mut step) {
            return None;
        }
    }
    // Whatever is said after this is an error there; what was said before can still be read.
    let _ = heard.shutdown(Shutdown::Read);
    while hear(heard, &mut step) {}
    (!is_closed(heard)).then_some(step)
}

/// Reads which step it is. Answers `false` where nothing more can come.
fn hear(mut heard: &UnixStream, step: &mut String) -> bool {
    let mut bytes = [0; HEARD_MAX_BYTES];
    let length = heard.read(&mut bytes).unwrap_or_default();
    let text = String::from_utf8_lossy(bytes.get(..length).unwrap_or_default());
    if let Some(last) = text.lines().last() {
        last.clone_into(step);
    }
    length != 0
}

/// Whether nobody has the other end any more (net/unix/af_unix.c: `POLLHUP`, which an end that only is not read has not).
fn is_closed(end: &UnixStream) -> bool {
    let mut polled = [PollFd::new(end, PollFlags::empty())];
    poll(&mut polled, Some(&Timespec::default())).is_ok_and(|ready| ready != 0)
}

/// Records it where the data partition is mounted by now.
fn record(kernel: &Kernel, refused: &RefusedBoot) {
    if let Ok(data) = Directory::open(Path::new(data::MOUNTED_AT)) {
        refusal::record(&data, refused);
    }
    kernel.sync();
}

/// How the machine starts again. Tests do something else.
trait Ways {
    /// Whether the kernel has been asked, and has neither done it nor refused.
    fn is_under_way(&mut self) -> bool;

    /// Has the kernel shut everything down, and start the machine again.
    fn ask(&mut self);

    /// Has the kernel start the machine again without shutting anything down.
    fn at_once(&mut self);
}

/// Starts the machine again, by one way after the other until one succeeds. Returns only if the other end is closed while
/// nothing is under way: by the program that was to be executed.
fn restart(heard: &UnixStream, pause: Duration, ways: &mut impl Ways) {
    loop {
        if !ways.is_under_way() {
            if is_closed(heard) {
                return;
            }
            ways.ask();
        }
        std::thread::sleep(pause);
        if !ways.is_under_way() && is_closed(heard) {
            return;
        }
        ways.at_once();
    }
}

struct OfKernel<'k> {
    kernel: &'k Kernel,
    kept: &'k Kept,
    /// The process that asked.
    asked: Option<Pid>,
}

impl Ways for OfKernel<'_> {
    fn is_under_way(&mut self) -> bool {
        self.asked = self.asked.filter(|asked| matches!(self.kernel.wait_for(*asked, true), Ok(None)));
        self.asked.is_some()
    }

    fn ask(&mut self) {
        // A device that does not answer can hold whoever asks.
        match self.kernel.fork() {
            Ok(Forked::Child) => {
                let Err(error) = self.kernel.reboot();
                self.kept.say(Matters::Alert, &error.to_string());
                std::process::exit(1)
            }
            Ok(Forked::Parent { child }) => self.asked = Some(child),
            Err(error) => self.kept.say(Matters::Alert, &error.to_string()),
        }
    }

    fn at_once(&mut self) {
        let (path, word) = AT_ONCE;
        let Some(mut at_once) = self.kept.at_once.as_ref() else { return };
        if let Err(error) = at_once.write_all(word) {
            self.kept.say(Matters::Alert, &format!("{path}: {error}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(milliseconds: u64) -> Instant {
        Instant::now() + Duration::from_millis(milliseconds)
    }

    fn pair() -> (UnixStream, Watched) {
        let (heard, line) = UnixStream::pair().unwrap();
        (heard, Watched { line })
    }

    #[test]
    fn the_last_step_that_was_begun_is_the_one_that_is_not_done() {
        let (heard, mut watched) = pair();
        let waits = std::thread::spawn(move || overdue(&heard, after(300)));
        watched.at(Step::Modules).unwrap();
        watched.at(Step::Keyring).unwrap();
        std::thread::sleep(Duration::from_millis(50));
        watched.at(Step::Data).unwrap();
        assert_eq!(waits.join().unwrap().as_deref(), Some("data-partition"));
    }

    #[test]
    fn a_start_that_has_come_to_its_end_has_no_deadline() {
        let (heard, mut watched) = pair();
        watched.at(Step::Switch).unwrap();
        drop(watched);
        let begun = Instant::now();
        assert_eq!(overdue(&heard, after(60_000)), None);
        assert!(begun.elapsed() < Duration::from_secs(30));
    }

    #[test]
    fn what_was_said_or_done_before_the_deadline_counts_though_it_is_heard_later() {
        let (heard, watched) = pair();
        assert_eq!(overdue(&heard, Instant::now()).as_deref(), Some("modules"), "nothing was said");
        drop(watched);
        let (heard, mut watched) = pair();
        watched.at(Step::Policy).unwrap();
        watched.at(Step::Etc).unwrap();
        assert_eq!(overdue(&heard, Instant::now()).as_deref(), Some("etc"));
        let (heard, mut watched) = pair();
        watched.at(Step::Switch).unwrap();
        drop(watched);
        assert_eq!(overdue(&heard, Instant::now()), None);
    }

    #[test]
    fn whoever_is_told_that_the_deadline_is_over_stops_until_nobody_is_there_to_end_it() {
        let (heard, mut watched) = pair();
        assert!(overdue(&heard, Instant::now()).is_some());
        assert!(!is_closed(&heard), "it is still there");
        let stops = std::thread::spawn(move || watched.at(Step::Switch));
        std::thread::sleep(Duration::from_millis(100));
        assert!(!stops.is_finished());
        drop(heard);
        assert!(stops.join().unwrap().unwrap_err().why.starts_with("the deadline is over"));
    }

    #[test]
    fn without_a_process_that_waits_a_start_goes_on() {
        let (heard, mut watched) = pair();
        watched.at(Step::Modules).unwrap();
        drop(heard);
        watched.at(Step::Keyring).unwrap();
        watched.at(Step::Policy).unwrap();
    }

    /// Which of the ways were gone; each is refused, and the first one after so many questions whether it is under way.
    struct Played {
        gone: Vec<&'static str>,
        is_held: bool,
        closes_after: usize,
        watched: Option<Watched>,
    }

    impl Played {
        fn goes(&mut self, way: &'static str) {
            self.gone.push(way);
            if self.gone.len() == self.closes_after {
                self.watched = None;
            }
        }
    }

    impl Ways for Played {
        fn is_under_way(&mut self) -> bool {
            // In the end it is refused, so that a test ends.
            self.is_held && self.gone.contains(&"ask") && self.gone.len() < 5
        }

        fn ask(&mut self) {
            self.goes("ask");
        }

        fn at_once(&mut self) {
            self.goes("at once");
        }
    }

    #[track_caller]
    fn ways_gone(is_held: bool, closes_after: usize) -> Vec<&'static str> {
        let (heard, watched) = pair();
        assert!(overdue(&heard, Instant::now()).is_some());
        let watched = (closes_after != 0).then_some(watched);
        let mut played = Played { gone: Vec::new(), is_held, closes_after, watched };
        restart(&heard, Duration::from_millis(1), &mut played);
        played.gone
    }

    #[test]
    fn a_program_that_was_executed_late_is_left_alone_until_the_kernel_shuts_down() {
        assert_eq!(ways_gone(false, 0), [""; 0]);
        assert_eq!(ways_gone(false, 1), ["ask"], "it was refused");
        let held = ways_gone(true, 1);
        assert_eq!(held, ["ask", "at once", "at once", "at once", "at once"], "there is no way back");
    }

    #[test]
    fn ways_that_are_refused_are_tried_again() {
        assert_eq!(ways_gone(false, 4), ["ask", "at once", "ask", "at once"]);
    }

    #[test]
    fn the_kernel_is_asked_by_what_was_kept_and_nothing_is_made_in_its_place() {
        let place = tempfile::tempdir().unwrap();
        let path = |name: &str| place.path().join(name);
        let open = |name: &str| Some(File::create(path(name)).unwrap());
        let kept = Kept { log: open("log"), at_once: open("sysrq") };
        for name in ["log", "sysrq"] {
            std::fs::rename(path(name), path(&format!("{name}.moved"))).unwrap();
        }
        let kernel = Kernel::with_hook(|_| Some(Errno::AGAIN));
        let mut ways = OfKernel { kernel: &kernel, kept: &kept, asked: None };
        ways.ask();
        assert!(!ways.is_under_way());
        ways.at_once();
        let text = |name: &str| std::fs::read_to_string(path(name)).unwrap();
        assert_eq!(text("sysrq.moved"), "b");
        assert!(text("log.moved").starts_with("<1>sealpack: ") && text("log.moved").contains("EAGAIN"));
        assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 2);
    }
}
