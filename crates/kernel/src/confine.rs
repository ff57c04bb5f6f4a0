//! What a process forbids itself, and those that it starts (prctl(2)).

use std::convert::Infallible;
use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::process::DumpableBehavior;

use crate::{Error, Kernel};

impl Kernel {
    /// Has no memory of this process become executable that was not so when it was mapped, nor be both writable and
    /// executable; nor of any that it starts. Nothing takes that back.
    ///
    /// # Errors
    /// `EINVAL` before Linux 6.3, and where the processor cannot tell code from data.
    pub fn refuse_written_code(&self) -> Result<(), Error> {
        self.call("prctl", || "PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN".into(), crate::raw::refuse_written_code)
    }

    /// Whether [`refuse_written_code`](Self::refuse_written_code) holds for this process.
    ///
    /// # Errors
    /// `EINVAL` before Linux 6.3.
    pub fn refuses_written_code(&self) -> Result<bool, Error> {
        self.call("prctl", || "PR_GET_MDWE".into(), crate::raw::refuses_written_code)
    }

    /// Has nothing that the calling thread executes get more rights than it has. Nothing takes that back.
    ///
    /// # Errors
    /// None that is known.
    pub fn refuse_new_rights(&self) -> Result<(), Error> {
        self.call("prctl", || "PR_SET_NO_NEW_PRIVS, 1".into(), || rustix::thread::set_no_new_privs(true))
    }

    /// Keeps this process's memory from other processes of its user, and from core dumps. Executing a program takes that
    /// back.
    ///
    /// # Errors
    /// None that is known.
    pub fn refuse_dumps(&self) -> Result<(), Error> {
        self.call(
            "prctl",
            || "PR_SET_DUMPABLE, 0".into(),
            || rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable),
        )
    }
}

/// What a process goes on with, and which descriptors that needs.
pub trait KeptOpen {
    /// The descriptors.
    fn kept_open(&self) -> Vec<BorrowedFd<'_>>;
}

impl Kernel {
    /// Closes every descriptor of this process that `kept` does not need, goes on with `work`, and ends the process with
    /// what that returns. For the copy of a process that is to share nothing with it any more.
    ///
    /// # Errors
    /// `ENOSYS` before Linux 5.9. Nothing is closed then, and `work` is not called.
    pub fn go_on_with<T: KeptOpen>(&self, kept: T, work: impl FnOnce(T) -> i32) -> Result<Infallible, Error> {
        let descriptors = kept.kept_open();
        let mut numbers: Vec<u32> = descriptors.iter().map(|fd| fd.as_raw_fd().cast_unsigned()).collect();
        numbers.sort_unstable();
        let mut first = 0;
        for number in numbers.into_iter().chain([u32::MAX]) {
            if let Some(last) = number.checked_sub(1).filter(|last| first <= *last) {
                let arguments = || format!("{first}, {last}, 0");
                self.call("close_range", arguments, || crate::raw::close_range(first, last))?;
            }
            first = number.saturating_add(1);
        }
        // Never by returning: what owns a descriptor that was closed must not close another one of its number.
        std::process::exit(work(kept))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Errno, alone};

    #[test]
    fn what_a_process_forbids_itself_holds() {
        alone::run("confine::tests::what_a_process_forbids_itself_holds", || {
            let kernel = Kernel::new();
            kernel.refuse_dumps().unwrap();
            assert_eq!(rustix::process::dumpable_behavior(), Ok(DumpableBehavior::NotDumpable));
            kernel.refuse_new_rights().unwrap();
            assert_eq!(rustix::thread::no_new_privs(), Ok(true));
            match kernel.refuse_written_code() {
                Ok(()) => assert_eq!(kernel.refuses_written_code(), Ok(true)),
                Err(error) => {
                    assert_eq!(error.errno(), Errno::INVAL, "{error}");
                    eprintln!("skipped: {error}");
                }
            }
        });
    }

    impl KeptOpen for std::fs::File {
        fn kept_open(&self) -> Vec<BorrowedFd<'_>> {
            vec![std::os::fd::AsFd::as_fd(self)]
        }
    }

    #[test]
    fn a_process_goes_on_with_what_it_keeps_and_nothing_else() {
        const WORD: &str = "SEALPACK_TEST_GOES_ON";
        if std::env::var_os(WORD).is_some() {
            let proc = std::fs::File::open("/proc/self/fd").unwrap();
            let others: Vec<_> = (0..5).map(|_| std::fs::File::open("/dev/null").unwrap()).collect();
            let ended = Kernel::new().go_on_with(proc, |proc| {
                let open = rustix::fs::Dir::new(proc).unwrap().filter_map(Result::ok).count();
                // Itself, and the two entries for the directory and the one above.
                i32::try_from(open).unwrap()
            });
            panic!("{ended:?}, with {others:?}");
        }
        let mut again = std::process::Command::new(std::env::current_exe().unwrap());
        again.args(["--exact", "confine::tests::a_process_goes_on_with_what_it_keeps_and_nothing_else"]);
        let status = again.env(WORD, "1").status().unwrap();
        assert_eq!(status.code(), Some(3), "{status}");
    }

    #[test]
    fn what_cannot_be_forbidden_is_an_error_with_the_call() {
        let kernel = Kernel::with_hook(|_| Some(Errno::INVAL));
        let shown = |result: Result<(), Error>| result.unwrap_err().to_string();
        let refused = shown(kernel.refuse_written_code());
        assert!(refused.starts_with("prctl(PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN): EINVAL"), "{refused}");
        assert!(shown(kernel.refuse_new_rights()).starts_with("prctl(PR_SET_NO_NEW_PRIVS, 1): EINVAL"));
        assert!(shown(kernel.refuse_dumps()).starts_with("prctl(PR_SET_DUMPABLE, 0): EINVAL"));
    }
}
