//! What a filter refuses, found out by asking for it where it does no harm.

use std::os::fd::AsFd;

use rustix::fs::{Mode, OFlags};

use crate::{Errno, Error, Kernel};

impl Kernel {
    /// Whether the calling thread is refused to load tables into device-mapper. It is asked of /dev/null, which takes no
    /// such thing (`ENOTTY`): only a filter, which sees numbers and no files, answers `EPERM`.
    ///
    /// # Errors
    /// If /dev/null cannot be opened, or another answer comes.
    pub fn is_refused_device_mapper(&self) -> Result<bool, Error> {
        let null = self.call(
            "open",
            || "\"/dev/null\", O_RDONLY".into(),
            || rustix::fs::open("/dev/null", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()),
        )?;
        let asked = self.call(
            "ioctl",
            || "[/dev/null], DM_TABLE_LOAD, NULL".into(),
            || crate::raw::table_load_of_nothing(null.as_fd()),
        );
        is_refused(asked, Errno::NOTTY)
    }

    /// Whether the calling thread is refused system calls by another processor's numbers, x32's on x86-64. A kernel that
    /// has none of these says `ENOSYS`, so that it is not known what became of others, such as 32-bit ones. `None` where
    /// the processor has no x32.
    ///
    /// # Errors
    /// If another answer comes.
    pub fn is_refused_foreign_calls(&self) -> Result<Option<bool>, Error> {
        #[cfg(target_arch = "x86_64")]
        {
            let asked = self.call("getpid", || "by x32's number".into(), crate::raw::x32_getpid);
            is_refused(asked, Errno::NOSYS).map(Some)
        }
        #[cfg(not(target_arch = "x86_64"))]
        Ok(None)
    }
}

/// Whether the answer is a filter's, where without one it is `otherwise`, or success.
fn is_refused(asked: Result<(), Error>, otherwise: Errno) -> Result<bool, Error> {
    match asked {
        Ok(()) => Ok(false),
        Err(error) if error.errno() == Errno::PERM => Ok(true),
        Err(error) if error.errno() == otherwise => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seccomp::{Assembler, Verdict, Word};

    #[test]
    fn only_a_filter_refuses_what_is_asked_of_nothing() {
        crate::alone::run("seccomp::asked::tests::only_a_filter_refuses_what_is_asked_of_nothing", || {
            let kernel = Kernel::new();
            let foreign = kernel.is_refused_foreign_calls().unwrap();
            if kernel.is_refused_device_mapper().unwrap() || foreign == Some(true) {
                eprintln!("skipped: a filter is in force already, as on a sealed host");
                return;
            }
            let mut assembler = Assembler::default();
            let refuse = assembler.label();
            assembler.load(Word::Number);
            assembler.jump_if_at_least(0x4000_0000, refuse);
            assembler.load(Word::ArgumentLow(1));
            assembler.mask(0xffff);
            assembler.jump_if_equal(0xfd09, refuse);
            assembler.end(Verdict::Allow);
            assembler.place(refuse);
            assembler.end(Verdict::Refuse(Errno::PERM));
            kernel.refuse_new_rights().unwrap();
            kernel.filter_system_calls(&assembler.finish().unwrap()).unwrap();
            assert!(kernel.is_refused_device_mapper().unwrap());
            assert_ne!(kernel.is_refused_foreign_calls().unwrap(), Some(false));
        });
    }

    #[test]
    fn another_answer_is_no_answer() {
        let answering = |errno| Kernel::with_hook(move |call| (call.name != "open").then_some(errno));
        let error = answering(Errno::IO).is_refused_device_mapper().unwrap_err().to_string();
        assert!(error.starts_with("ioctl([/dev/null], DM_TABLE_LOAD, NULL): EIO"), "{error}");
        assert!(answering(Errno::PERM).is_refused_device_mapper().unwrap());
        assert!(!answering(Errno::NOTTY).is_refused_device_mapper().unwrap());
        if cfg!(target_arch = "x86_64") {
            assert!(answering(Errno::NOTTY).is_refused_foreign_calls().is_err());
        }
    }
}
