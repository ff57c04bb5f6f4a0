//! Processes made of this one (fork(2), wait(2)).

use rustix::io::Errno;
use rustix::process::{Pid, WaitOptions, WaitStatus};

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
