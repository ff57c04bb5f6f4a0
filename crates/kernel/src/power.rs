//! Starting the machine again (reboot(2)).

use std::convert::Infallible;

use rustix::system::RebootCommand;

use crate::{Error, Kernel};

impl Kernel {
    /// Starts the machine again, at once: nobody is asked, and what is not on the disk is lost. See
    /// [`sync`](Self::sync).
    ///
    /// # Errors
    /// `EPERM` without `CAP_SYS_BOOT`.
    pub fn reboot(&self) -> Result<Infallible, Error> {
        self.call(
            "reboot",
            || "LINUX_REBOOT_CMD_RESTART".into(),
            || rustix::system::reboot(RebootCommand::Restart),
        )?;
        // In the initial process namespace it does not return; in others it ends the first process instead.
        loop {
            std::thread::park();
        }
    }

    /// Has all filesystems write what they hold back, and waits for it.
    pub fn sync(&self) {
        rustix::fs::sync();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Errno;

    #[test]
    fn a_reboot_that_is_refused_is_an_error_with_the_call() {
        let error = Kernel::with_hook(|_| Some(Errno::PERM)).reboot().unwrap_err();
        assert!(error.to_string().starts_with("reboot(LINUX_REBOOT_CMD_RESTART): EPERM"), "{error}");
    }
}
