//! The end of a start that does not come to one: another process waits beside it, and starts the machine again.
//!
//! It has to be another process, since a device that does not answer holds whoever asked it, and no signal gets through; and
//! one that touches no disk before it has said why.

use std::fs;
use std::io::{PipeReader, PipeWriter, Read, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use sealpack_format::boot::{Deadline, data};
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
const AT_ONCE: (&str, &str) = ("/proc/sysrq-trigger", "b");
/// More than the names of all steps.
const HEARD_MAX_BYTES: usize = 1024;
const ADVICE: &str =
    "look for a device that does not answer; give it more time, if it needs that (host build --deadline)";

/// The deadline of this process, which holds until it executes another program.
#[derive(Debug)]
pub(super) struct Watched {
    line: PipeWriter,
}

impl Watched {
    /// Has the machine start again unless this process has executed another program by the deadline. `subject` is what is
    /// started, for the record.
    ///
    /// # Errors
    /// There can be no process for it.
    pub(super) fn start(kernel: &Kernel, deadline: Deadline, subject: &str) -> Result<Self, Failure> {
        let end = Instant::now() + deadline.duration();
        let pipe = std::io::pipe().map_err(|error| Failure::new(format!("a pipe: {error}")))?;
        let (heard, line) = pipe;
        match kernel.fork()? {
            Forked::Child => {
                drop(line);
                std::process::exit(watch(kernel, heard, end, deadline, subject))
            }
            Forked::Parent { .. } => Ok(Self { line }),
        }
    }

    /// From now on `step` is what takes its time.
    pub(super) fn at(&mut self, step: Step) {
        // If nobody hears it, there is no deadline any more, and the start is as good as it was without one.
        let _ = writeln!(self.line, "{step}");
    }
}

/// In the process that waits. It ends with what it waits for.
fn watch(kernel: &Kernel, heard: PipeReader, end: Instant, deadline: Deadline, subject: &str) -> i32 {
    if let Err(error) = give_up(kernel) {
        kernel_log::write(Matters::Warning, &format!("the deadline's process keeps its rights: {error}"));
    }
    let Some(step) = overdue(heard, end) else { return 0 };
    let why = format!("all steps may take {deadline} s together, and this one is not done");
    let line = refusal::line(&step, &why, ADVICE);
    kernel_log::write(Matters::Alert, &format!("{line}. Starting again"));
    // What touches disks may never come back: it is another process that does it.
    if let Ok(Forked::Child) = kernel.fork() {
        record(kernel, &line, subject);
        return 0;
    }
    std::thread::sleep(SHOWN_FOR);
    if let Ok(Forked::Child) = kernel.fork() {
        let Err(error) = kernel.reboot();
        kernel_log::write(Matters::Alert, &error.to_string());
        return 1;
    }
    std::thread::sleep(SHUTDOWN);
    let (file, word) = AT_ONCE;
    if let Err(error) = fs::write(file, word) {
        kernel_log::write(Matters::Alert, &format!("{file}: {error}"));
    }
    1
}

/// Leaves it with the one right that it is there for.
fn give_up(kernel: &Kernel) -> Result<(), sealpack_kernel::Error> {
    kernel.rename_process(NAME, FIRST_BYTE)?;
    kernel.refuse_dumps()?;
    kernel.refuse_new_rights()?;
    kernel.keep_capabilities(CapabilitySet::SYS_BOOT)
}

/// The step that was heard of last by `end`; `None` when the other side was closed before.
fn overdue(mut heard: PipeReader, end: Instant) -> Option<String> {
    let mut step = Step::Modules.to_string();
    loop {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Some(step);
        }
        // It is less than an hour.
        let left = Timespec::try_from(left).unwrap_or_default();
        match poll(&mut [PollFd::new(&heard, PollFlags::IN)], Some(&left)) {
            Ok(0) | Err(Errno::INTR) => continue,
            Ok(_) => {}
            Err(_) => return None,
        }
        let mut bytes = [0; HEARD_MAX_BYTES];
        let length = heard.read(&mut bytes).unwrap_or_default();
        if length == 0 {
            return None;
        }
        let text = String::from_utf8_lossy(&bytes[..length]);
        if let Some(last) = text.lines().last() {
            last.clone_into(&mut step);
        }
    }
}

/// Records it where the data partition is mounted by now.
fn record(kernel: &Kernel, line: &str, subject: &str) {
    if let Ok(data) = Directory::open(Path::new(data::MOUNTED_AT)) {
        refusal::record(&data, line, subject);
    }
    kernel.sync();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(milliseconds: u64) -> Instant {
        Instant::now() + Duration::from_millis(milliseconds)
    }

    #[test]
    fn the_last_step_that_was_begun_is_the_one_that_is_not_done() {
        let (heard, line) = std::io::pipe().unwrap();
        let mut watched = Watched { line };
        let waits = std::thread::spawn(move || overdue(heard, after(300)));
        watched.at(Step::Modules);
        watched.at(Step::Keyring);
        std::thread::sleep(Duration::from_millis(50));
        watched.at(Step::Data);
        assert_eq!(waits.join().unwrap().as_deref(), Some("data-partition"));
        // What is said after the deadline is heard by nobody, and that is no fault.
        watched.at(Step::Image);
    }

    #[test]
    fn a_start_that_has_come_to_its_end_has_no_deadline() {
        let (heard, line) = std::io::pipe().unwrap();
        let mut watched = Watched { line };
        watched.at(Step::Switch);
        drop(watched);
        let begun = Instant::now();
        assert_eq!(overdue(heard, after(60_000)), None);
        assert!(begun.elapsed() < Duration::from_secs(30));
    }

    #[test]
    fn a_deadline_that_is_over_before_anything_was_heard_names_the_first_step() {
        let (heard, _line) = std::io::pipe().unwrap();
        assert_eq!(overdue(heard, Instant::now()).as_deref(), Some("modules"));
    }
}
