//! Terminals: those that this process was started on, and those that container runtimes hand over.

use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SocketAddrUnix, SocketFlags,
    SocketType,
};
use rustix::termios::{OptionalActions, Termios, Winsize};

use crate::{Call, Error, Kernel};

/// A socket on which a container runtime hands over the terminal of a container that it makes (`--console-socket` of
/// runc and crun: one message with one descriptor, the terminal's master).
#[derive(Debug)]
pub struct TerminalSocket {
    fd: OwnedFd,
}

/// The settings that a terminal had, to be given back to it.
#[derive(Debug)]
pub struct Settings(Termios);

impl Kernel {
    /// Binds a socket to `path`, where nothing may be, for one terminal.
    ///
    /// # Errors
    /// `EADDRINUSE` when something is there; `EINVAL` for a path that is too long (107 bytes).
    pub fn await_terminal_at(&self, path: &Path) -> Result<TerminalSocket, Error> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let fd = self.call(
            "socket",
            || "AF_UNIX, SOCK_STREAM, 0".into(),
            || rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None),
        )?;
        let arguments = || format!("[{}], {path:?}", fd.as_raw_fd());
        self.call("bind", arguments, || rustix::net::bind(&fd, &SocketAddrUnix::new(path)?))?;
        self.call("listen", || format!("[{}], 1", fd.as_raw_fd()), || rustix::net::listen(&fd, 1))?;
        Ok(TerminalSocket { fd })
    }

    /// The terminal that was handed over. Whoever was to send it has done so: nothing is waited for.
    ///
    /// # Errors
    /// `EAGAIN` when nobody sent one; `EBADMSG` when what came has no descriptor with it.
    pub fn take_terminal(&self, socket: &TerminalSocket) -> Result<OwnedFd, Error> {
        let connection = self.call(
            "accept4",
            || format!("[{}], NULL, NULL, SOCK_CLOEXEC|SOCK_NONBLOCK", socket.fd.as_raw_fd()),
            || rustix::net::accept_with(&socket.fd, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK),
        )?;
        let arguments = || format!("[{}], MSG_CMSG_CLOEXEC", connection.as_raw_fd());
        let received = self.call("recvmsg", arguments, || {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
            let mut control = RecvAncillaryBuffer::new(&mut space);
            // runc sends the terminal's name, which nobody needs.
            let mut name = [0; 4096];
            let mut slices = [IoSliceMut::new(&mut name)];
            rustix::net::recvmsg(&connection, &mut slices, &mut control, RecvFlags::CMSG_CLOEXEC)?;
            let rights = control.drain().find_map(|message| match message {
                RecvAncillaryMessage::ScmRights(mut rights) => rights.next(),
                _ => None,
            });
            Ok(rights)
        })?;
        received.ok_or_else(|| Error::new(Call { name: "recvmsg", arguments: arguments() }, Errno::BADMSG))
    }

    /// Has a terminal pass on every byte as it is typed, and answers with the settings that it had (cfmakeraw(3)).
    ///
    /// # Errors
    /// `ENOTTY` for what is no terminal.
    pub fn make_raw(&self, terminal: impl AsFd) -> Result<Settings, Error> {
        let fd = terminal.as_fd();
        let before =
            self.call("tcgetattr", || format!("[{}]", fd.as_raw_fd()), || rustix::termios::tcgetattr(fd))?;
        let mut raw = before.clone();
        raw.make_raw();
        self.set_terminal(fd, &raw)?;
        Ok(Settings(before))
    }

    /// Gives a terminal the settings back that it had.
    ///
    /// # Errors
    /// `EIO` where it is gone.
    pub fn restore(&self, terminal: impl AsFd, settings: &Settings) -> Result<(), Error> {
        self.set_terminal(terminal, &settings.0)
    }

    fn set_terminal(&self, terminal: impl AsFd, settings: &Termios) -> Result<(), Error> {
        let fd = terminal.as_fd();
        self.call(
            "tcsetattr",
            || format!("[{}], TCSADRAIN", fd.as_raw_fd()),
            || rustix::termios::tcsetattr(fd, OptionalActions::Drain, settings),
        )
    }

    /// Gives `to` the size of the terminal `from`.
    ///
    /// # Errors
    /// `ENOTTY` for what is no terminal.
    pub fn copy_size(&self, from: impl AsFd, to: impl AsFd) -> Result<(), Error> {
        let (from, to) = (from.as_fd(), to.as_fd());
        let arguments = || format!("[{}], TIOCGWINSZ", from.as_raw_fd());
        let size: Winsize = self.call("ioctl", arguments, || rustix::termios::tcgetwinsize(from))?;
        let arguments =
            || format!("[{}], TIOCSWINSZ, {} rows, {} columns", to.as_raw_fd(), size.ws_row, size.ws_col);
        self.call("ioctl", arguments, || rustix::termios::tcsetwinsize(to, size))
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::unix::net::UnixStream;

    use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags};

    use super::*;

    /// A terminal's two ends.
    fn terminal() -> (OwnedFd, File) {
        let master = File::options().read(true).write(true).open("/dev/ptmx").unwrap();
        let master = OwnedFd::from(master);
        rustix::pty::unlockpt(&master).unwrap();
        let name = rustix::pty::ptsname(&master, Vec::new()).unwrap();
        let slave = File::options().read(true).write(true).open(name.to_str().unwrap()).unwrap();
        (master, slave)
    }

    #[test]
    fn a_terminal_that_was_sent_is_taken_and_what_has_none_with_it_is_refused() {
        let kernel = Kernel::new();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket");
        let socket = kernel.await_terminal_at(&path).unwrap();
        assert_eq!(kernel.take_terminal(&socket).unwrap_err().errno(), Errno::AGAIN);

        let (master, slave) = terminal();
        let connection = UnixStream::connect(&path).unwrap();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let fds = [master.as_fd()];
        assert!(control.push(SendAncillaryMessage::ScmRights(&fds)));
        let name = [std::io::IoSlice::new(b"/dev/ptmx")];
        rustix::net::sendmsg(&connection, &name, &mut control, SendFlags::empty()).unwrap();
        let taken = kernel.take_terminal(&socket).unwrap();
        let size = Winsize { ws_row: 33, ws_col: 77, ws_xpixel: 0, ws_ypixel: 0 };
        rustix::termios::tcsetwinsize(&slave, size).unwrap();
        assert_eq!(rustix::termios::tcgetwinsize(&taken).unwrap().ws_col, 77);

        let mut connection = UnixStream::connect(&path).unwrap();
        std::io::Write::write_all(&mut connection, b"nothing").unwrap();
        assert_eq!(kernel.take_terminal(&socket).unwrap_err().errno(), Errno::BADMSG);
    }

    #[test]
    fn a_terminal_is_as_before_when_its_settings_are_given_back() {
        let kernel = Kernel::new();
        let (_master, slave) = terminal();
        let echoes = || {
            let modes = rustix::termios::tcgetattr(&slave).unwrap().local_modes;
            modes.contains(rustix::termios::LocalModes::ECHO)
        };
        assert!(echoes());
        let settings = kernel.make_raw(&slave).unwrap();
        assert!(!echoes());
        kernel.restore(&slave, &settings).unwrap();
        assert!(echoes());
        let none = File::open("/dev/null").unwrap();
        assert_eq!(kernel.make_raw(&none).unwrap_err().errno(), Errno::NOTTY);
        assert_eq!(kernel.copy_size(&none, &slave).unwrap_err().errno(), Errno::NOTTY);
    }
}
