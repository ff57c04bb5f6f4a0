//! What a process forbids itself, and those that it starts (prctl(2)).

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
