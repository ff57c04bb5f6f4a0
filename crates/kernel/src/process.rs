//! Processes made of this one (fork(2), wait(2)).

use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, WaitOptions, WaitStatus};

use crate::{Error, Kernel};

/// In which of the two processes a [`fork`](Kernel::fork) returned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forked {
    /// In the new one.
    Child,
    /// In the one that called it.
    Parent {
        /// The new one's number.
        child: Pid,
    },
}

impl Kernel {
    /// Makes a copy of this process, which goes on from here as well.
    ///
    /// Only a process with one thread can be copied whole: of several, the copy has the calling one, and whatever the
    /// others held, the allocator's locks among them, would stay held in it for ever. So the kernel is asked first, by
    /// unshare(2) with `CLONE_THREAD`, which does nothing else and needs neither a right nor `/proc`.
    ///
    /// # Errors
    /// `EINVAL` in a process with several threads, `EAGAIN` when there may be no more processes, `ENOMEM`.
    pub fn fork(&self) -> Result<Forked, Error> {
        let single = self.call("unshare", || "CLONE_THREAD".into(), crate::raw::require_single_thread);
        single.map_err(|error| {
            error.meaning_of(|errno| match errno {
                Errno::INVAL => Some("this process has several threads, and cannot be copied"),
                _ => None,
            })
        })?;
        let child = self.call("fork", String::new, crate::raw::fork_single_threaded)?;
        Ok(child.map_or(Forked::Child, |child| Forked::Parent { child }))
    }

    /// Has all memory of this process mapped, its program's too: what a copy of a process touches for the first time, it
    /// waits for each page of.
    ///
    /// # Errors
    /// `ENOMEM` or `EPERM` for more than a process may lock, which this asks for a moment.
    pub fn touch_memory(&self) -> Result<(), Error> {
        self.call("mlockall", || "MCL_CURRENT".into(), crate::raw::touch_memory)
    }

    /// Waits for a child's end. With `at_once`, answers `None` while it goes on.
    ///
    /// # Errors
    /// `ECHILD` when it is not this process's, or was waited for before.
    pub fn wait_for(&self, child: Pid, at_once: bool) -> Result<Option<WaitStatus>, Error> {
        let mut options = WaitOptions::empty();
        options.set(WaitOptions::NOHANG, at_once);
        let waited = self.call(
            "waitpid",
            || format!("{}, {}", child.as_raw_nonzero(), if at_once { "WNOHANG" } else { "0" }),
            || rustix::process::waitpid(Some(child), options),
        )?;
        Ok(waited.map(|(_, status)| status))
    }

    /// Has this process become the parent of its children's children whose own parent ends, so that it can wait for them
    /// (prctl(2), `PR_SET_CHILD_SUBREAPER`). What it starts itself does not inherit that.
    ///
    /// # Errors
    /// None that is known.
    pub fn adopt_orphans(&self) -> Result<(), Error> {
        let own = Some(rustix::process::getpid());
        let adopt = || rustix::process::set_child_subreaper(own);
        self.call("prctl", || "PR_SET_CHILD_SUBREAPER, 1".into(), adopt)
    }

    /// Opens a process, which is then meant even when another one gets its number (pidfd_open(2)).
    ///
    /// # Errors
    /// `ESRCH` when there is none.
    pub fn open_process(&self, process: Pid) -> Result<OwnedFd, Error> {
        let arguments = || format!("{}, 0", process.as_raw_nonzero());
        self.call("pidfd_open", arguments, || rustix::process::pidfd_open(process, PidfdFlags::empty()))
    }

    /// Sends a signal, by its number, to a process that is [open](Self::open_process).
    ///
    /// # Errors
    /// `ESRCH` when it has ended, `EINVAL` for what is no signal.
    pub fn signal_process(&self, process: impl AsFd, signal: i32) -> Result<(), Error> {
        let fd = process.as_fd();
        self.call(
            "pidfd_send_signal",
            || format!("[{}], {signal}, NULL, 0", fd.as_raw_fd()),
            || crate::raw::pidfd_send_signal(fd, signal),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_with_several_threads_is_not_copied() {
        // The harness runs each test in a thread beside its own.
        let (stop, stopped) = std::sync::mpsc::channel::<()>();
        let other = std::thread::spawn(move || stopped.recv());
        let error = Kernel::new().fork().unwrap_err();
        drop(stop);
        _ = other.join();
        assert_eq!(error.call().name, "unshare");
        assert!(error.to_string().ends_with("several threads, and cannot be copied"), "{error}");
    }

    #[test]
    fn memory_is_mapped_or_the_limit_is_told() {
        if let Err(error) = Kernel::new().touch_memory() {
            assert!([Errno::NOMEM, Errno::PERM].contains(&error.errno()), "{error}");
        }
    }

    #[test]
    fn a_process_that_is_open_can_be_sent_any_signal_until_it_has_ended() {
        let kernel = Kernel::new();
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let pid = Pid::from_raw(child.id().try_into().unwrap()).unwrap();
        let process = kernel.open_process(pid).unwrap();
        assert_eq!(kernel.signal_process(&process, 999).unwrap_err().errno(), Errno::INVAL);
        kernel.signal_process(&process, libc::SIGRTMIN() + 3).unwrap();
        let status = child.wait().unwrap();
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(libc::SIGRTMIN() + 3));
        let error = kernel.signal_process(&process, 15).unwrap_err();
        assert!(error.to_string().starts_with("pidfd_send_signal(["), "{error}");
        assert_eq!(error.errno(), Errno::SRCH);
    }

    #[test]
    fn a_fork_that_fails_shows_the_call() {
        let kernel = Kernel::with_hook(|call| match call.name {
            "unshare" => None,
            _ => Some(Errno::AGAIN),
        });
        let error = kernel.fork().unwrap_err();
        assert!(error.call().name == "fork" || error.errno() == Errno::INVAL, "{error}");
        let child = Pid::from_raw(0x3fff_fff0).unwrap();
        let error = Kernel::new().wait_for(child, true).unwrap_err();
        assert!(error.to_string().starts_with("waitpid(1073741808, WNOHANG): ECHILD"), "{error}");
    }
}
