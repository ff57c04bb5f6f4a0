//! One gate for all system calls: what was called, with which arguments, and how it failed.

use std::fmt;
use std::sync::Arc;

use rustix::io::Errno;

use crate::place::OwnPlace;

/// A system call that is about to be made: its name and its arguments as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// The call's name, for example `fsconfig`.
    pub name: &'static str,
    /// Its arguments as they appear between the parentheses of a message, for example
    /// `[5], SET_STRING, "source", "/dev/loop0"`. A number in brackets is a file descriptor.
    pub arguments: String,
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}({})", self.name, self.arguments)
    }
}

/// A system call that failed: the call with its arguments, the error, and the messages that
/// the kernel left in the filesystem context, if there was one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    call: Call,
    errno: Errno,
    messages: Vec<String>,
    is_logged: bool,
    meaning: Option<&'static str>,
    /// Whose the messages are.
    speaker: &'static str,
}

impl Error {
    pub(crate) const fn new(call: Call, errno: Errno) -> Self {
        Self { call, errno, messages: Vec::new(), is_logged: false, meaning: None, speaker: "kernel" }
    }

    /// Of what another process did, or refused to do, for this one: who that is, what it was asked, and what it had to
    /// say in words.
    #[must_use]
    pub fn told(speaker: &'static str, asked: String, errno: Errno, said: &str) -> Self {
        let messages = Some(said.to_owned()).filter(|said| !said.is_empty()).into_iter().collect();
        Self { messages, speaker, ..Self::new(Call { name: speaker, arguments: asked }, errno) }
    }

    /// With what the error number means when a table is loaded, where the kernel checks the signature.
    #[must_use]
    pub fn of_load(self) -> Self {
        self.meaning_of(crate::dm::meaning_of_load)
    }

    /// With what the error number means when a policy is updated.
    #[must_use]
    pub fn of_update(self) -> Self {
        self.meaning_of(crate::ipe::meaning_of_update)
    }

    /// The error number that the call returned.
    #[must_use]
    pub const fn errno(&self) -> Errno {
        self.errno
    }

    /// The call that failed.
    #[must_use]
    pub const fn call(&self) -> &Call {
        &self.call
    }

    /// The kernel's own messages, in its order; empty for calls that have none.
    #[must_use]
    pub fn messages(&self) -> &[String] {
        &self.messages
    }

    /// What the error number means for this call, where its usual words mislead.
    #[must_use]
    pub const fn meaning(&self) -> Option<&'static str> {
        self.meaning
    }

    /// With what the error number means for this call; `None` leaves the usual words to say it.
    pub(crate) fn meaning_of(mut self, meaning: impl Fn(Errno) -> Option<&'static str>) -> Self {
        self.meaning = meaning(self.errno);
        self
    }

    /// Of a call about which filesystems write to the kernel's log, not to the caller.
    pub(crate) fn logged(mut self) -> Self {
        self.is_logged = true;
        self
    }

    pub(crate) fn with_messages(mut self, messages: Vec<String>) -> Self {
        self.messages = messages;
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.call, Described(self.errno))?;
        if let Some(meaning) = self.meaning {
            write!(f, ": {meaning}")?;
        }
        if !self.messages.is_empty() {
            write!(f, ": {} says: {}", self.speaker, self.messages.join("; "))?;
        } else if self.is_logged {
            f.write_str(": the kernel log (dmesg) may say why")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}

impl From<Error> for std::io::Error {
    fn from(error: Error) -> Self {
        Self::new(Self::from(error.errno).kind(), error)
    }
}

type Hook = dyn Fn(&Call) -> Option<Errno> + Send + Sync;

/// The way to the kernel: all system calls of this crate are its methods.
///
/// A hook sees every call before it is made, and may make it fail without making it. That
/// serves two purposes: showing what is done, and trying what a machine with an older kernel
/// (`ENOSYS`, `ENOTBLK`) or with bad luck would do. Two calls can not be made to fail, because
/// they undo: closing a descriptor, and unmounting by dropping the last one.
#[derive(Clone, Default)]
pub struct Kernel {
    hook: Option<Arc<Hook>>,
    /// Where devices are found, if not in `/dev`.
    pub(crate) place: Option<OwnPlace>,
}

impl Kernel {
    /// The kernel as it is.
    #[must_use]
    pub const fn new() -> Self {
        Self { hook: None, place: None }
    }

    /// The kernel, with `hook` asked before each call; an error number makes the call fail
    /// with it.
    #[must_use]
    pub fn with_hook(hook: impl Fn(&Call) -> Option<Errno> + Send + Sync + 'static) -> Self {
        Self { hook: Some(Arc::new(hook)), place: None }
    }

    /// Makes the call `run`, again while a signal interrupts it, and describes it when it fails.
    pub(crate) fn call<T>(
        &self,
        name: &'static str,
        arguments: impl Fn() -> String,
        run: impl FnMut() -> Result<T, Errno>,
    ) -> Result<T, Error> {
        let describe = || Call { name, arguments: arguments() };
        if let Some(hook) = &self.hook {
            let call = describe();
            if let Some(errno) = hook(&call) {
                return Err(Error::new(call, errno));
            }
        }
        rustix::io::retry_on_intr(run).map_err(|errno| Error::new(describe(), errno))
    }
}

impl fmt::Debug for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kernel").field("hooked", &self.hook.is_some()).finish()
    }
}

/// An error number as `EINVAL (Invalid argument)`.
struct Described(Errno);

impl fmt::Display for Described {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = std::io::Error::from(self.0).to_string();
        let text = text.split(" (os error").next().unwrap_or_default();
        match errno_name(self.0) {
            Some(name) => write!(f, "{name} ({text})"),
            None => write!(f, "error {} ({text})", self.0.raw_os_error()),
        }
    }
}

/// The symbol of an error number that the calls of this crate are known to return.
fn errno_name(errno: Errno) -> Option<&'static str> {
    macro_rules! names {
        ($($constant:ident $name:literal),* $(,)?) => {
            match errno {
                $(Errno::$constant => Some($name),)*
                _ => None,
            }
        };
    }
    names! {
        PERM "EPERM", NOENT "ENOENT", IO "EIO", NXIO "ENXIO", BADF "EBADF", AGAIN "EAGAIN",
        NOMEM "ENOMEM", ACCESS "EACCES", FAULT "EFAULT", NOTBLK "ENOTBLK", BUSY "EBUSY",
        EXIST "EEXIST", XDEV "EXDEV", NODEV "ENODEV", NOTDIR "ENOTDIR", ISDIR "EISDIR",
        INVAL "EINVAL", NFILE "ENFILE", MFILE "EMFILE", NOTTY "ENOTTY", TXTBSY "ETXTBSY",
        FBIG "EFBIG", NOSPC "ENOSPC", ROFS "EROFS", NOSYS "ENOSYS", LOOP "ELOOP",
        NAMETOOLONG "ENAMETOOLONG", NODATA "ENODATA", OVERFLOW "EOVERFLOW", BADMSG "EBADMSG",
        OPNOTSUPP "EOPNOTSUPP", STALE "ESTALE", UCLEAN "EUCLEAN", DQUOT "EDQUOT",
        NOKEY "ENOKEY", KEYREJECTED "EKEYREJECTED", KEYREVOKED "EKEYREVOKED",
        KEYEXPIRED "EKEYEXPIRED", NOPKG "ENOPKG", USERS "EUSERS", TOOBIG "E2BIG",
        MSGSIZE "EMSGSIZE", NOTEMPTY "ENOTEMPTY", INTR "EINTR", SRCH "ESRCH", CHILD "ECHILD", CONNREFUSED "ECONNREFUSED", ADDRINUSE "EADDRINUSE", PIPE "EPIPE", PROTO "EPROTO", MEDIUMTYPE "EMEDIUMTYPE",
        NOEXEC "ENOEXEC",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_shows_the_call_its_arguments_and_the_kernels_words() {
        let call = Call { name: "fsconfig", arguments: "[5], SET_STRING, \"source\", \"x\"".into() };
        let error = Error::new(call, Errno::INVAL);
        assert_eq!(
            error.to_string(),
            "fsconfig([5], SET_STRING, \"source\", \"x\"): EINVAL (Invalid argument)"
        );
        let error = error.with_messages(vec!["erofs: no superblock".into(), "again".into()]);
        assert!(error.to_string().ends_with("): kernel says: erofs: no superblock; again"));
    }

    #[test]
    fn an_error_says_what_its_number_means_for_the_call() {
        let call = Call { name: "write", arguments: "\"new_policy\"".into() };
        let meaning = |errno| (errno == Errno::NOKEY).then_some("signed by nobody known");
        let error = Error::new(call.clone(), Errno::NOKEY).meaning_of(meaning);
        assert!(error.to_string().ends_with("(Required key not available): signed by nobody known"));
        assert_eq!(Error::new(call, Errno::IO).meaning_of(meaning).meaning(), None);
    }

    #[test]
    fn an_error_without_a_known_symbol_shows_its_number() {
        let errno = Errno::from_raw_os_error(95 + 38);
        assert!(Described(errno).to_string().starts_with("error 133 ("));
    }

    #[test]
    fn a_hook_sees_the_call_and_can_make_it_fail_without_it_being_made() {
        let kernel = Kernel::with_hook(|call| (call.to_string() == "a(1)").then_some(Errno::NOSYS));
        let made = std::cell::Cell::new(0);
        let run = || {
            made.set(made.get() + 1);
            Ok(7)
        };
        let error = kernel.call("a", || "1".into(), run).unwrap_err();
        assert_eq!((error.errno(), made.get()), (Errno::NOSYS, 0));
        assert_eq!(kernel.call("a", || "2".into(), run), Ok(7));
        assert_eq!(made.get(), 1);
    }

    #[test]
    fn an_interrupted_call_is_made_again() {
        let mut left = 2;
        let result = Kernel::new().call("a", String::new, || {
            left -= 1;
            if left > 0 { Err(Errno::INTR) } else { Ok(()) }
        });
        assert_eq!((result, left), (Ok(()), 0));
    }
}
