//! Messages with descriptors, between processes of one machine (unix(7), `SOCK_SEQPACKET`): each arrives whole, or not
//! at all.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::sockopt::{self, Timeout};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags, SocketType,
};

use crate::{Error, Kernel};

/// The most descriptors that come with a message (net/core/scm.h, `SCM_MAX_FD`).
pub const DESCRIPTORS_MAX: usize = 253;

/// Room for them.
const CONTROL_BYTES: usize = rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX));

/// A socket that waits for others to connect.
#[derive(Debug)]
pub struct Listener {
    fd: OwnedFd,
}

/// One end of a connection.
#[derive(Debug)]
pub struct Connection {
    fd: OwnedFd,
}

/// A message with what came with it.
#[derive(Debug)]
pub struct Packet {
    /// How many bytes it has; 0 when the other end was closed.
    pub length: usize,
    /// The descriptors.
    pub descriptors: Vec<OwnedFd>,
    /// Whether bytes or descriptors are missing, for want of room.
    pub is_cut: bool,
}

/// Who is at the other end: who connected, or listened, at the time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// The process.
    pub pid: i32,
    /// Its effective user, in the user namespace of the caller.
    pub uid: u32,
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Of one end that another process handed over.
impl From<OwnedFd> for Connection {
    fn from(fd: OwnedFd) -> Self {
        Self { fd }
    }
}

impl Kernel {
    /// Binds a socket to `path`, where nothing may be, and listens. Up to `backlog` connections wait to be accepted.
    /// Accepting does not wait.
    ///
    /// # Errors
    /// `EADDRINUSE` when something is there; `EINVAL` for a path that is too long (107 bytes).
    pub fn listen_at(&self, path: &Path, backlog: i32) -> Result<Listener, Error> {
        let fd = self.socket(SocketFlags::CLOEXEC | SocketFlags::NONBLOCK)?;
        self.call(
            "bind",
            || format!("[{}], {path:?}", fd.as_raw_fd()),
            || rustix::net::bind(&fd, &address(path)?),
        )?;
        self.call(
            "listen",
            || format!("[{}], {backlog}", fd.as_raw_fd()),
            || rustix::net::listen(&fd, backlog),
        )?;
        Ok(Listener { fd })
    }

    /// Connects to the socket at `path`.
    ///
    /// # Errors
    /// `ENOENT` when nothing is there, `ECONNREFUSED` when nobody listens (any more), `EACCES` when the caller may not,
    /// `EAGAIN` when too many wait.
    pub fn connect_to(&self, path: &Path) -> Result<Connection, Error> {
        let fd = self.socket(SocketFlags::CLOEXEC)?;
        let arguments = || format!("[{}], {path:?}", fd.as_raw_fd());
        self.call("connect", arguments, || rustix::net::connect(&fd, &address(path)?))?;
        Ok(Connection { fd })
    }

    /// Two ends of a connection.
    ///
    /// # Errors
    /// When there are no descriptors to be had.
    pub fn connected_pair(&self) -> Result<(Connection, Connection), Error> {
        let (one, other) = self.call(
            "socketpair",
            || "AF_UNIX, SOCK_SEQPACKET, 0".into(),
            || {
                let flags = SocketFlags::CLOEXEC;
                rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)
            },
        )?;
        Ok((Connection { fd: one }, Connection { fd: other }))
    }

    /// The next connection, `None` when there is none yet.
    ///
    /// # Errors
    /// `EMFILE`, `ENFILE`, `ENOMEM`; the connection waits then.
    pub fn accept(&self, listener: &Listener) -> Result<Option<Connection>, Error> {
        let accepted = self.call(
            "accept4",
            || format!("[{}], NULL, NULL, SOCK_CLOEXEC", listener.fd.as_raw_fd()),
            || match rustix::net::accept_with(&listener.fd, SocketFlags::CLOEXEC) {
                Ok(fd) => Ok(Some(fd)),
                // The other end may have gone before it was accepted.
                Err(Errno::AGAIN | Errno::CONNABORTED) => Ok(None),
                Err(errno) => Err(errno),
            },
        )?;
        Ok(accepted.map(|fd| Connection { fd }))
    }

    /// Who is at the other end.
    ///
    /// # Errors
    /// None that is known.
    pub fn peer(&self, connection: &Connection) -> Result<Peer, Error> {
        let peer = self.call(
            "getsockopt",
            || format!("[{}], SO_PEERCRED", connection.fd.as_raw_fd()),
            || sockopt::socket_peercred(&connection.fd),
        )?;
        Ok(Peer { pid: peer.pid.as_raw_nonzero().get(), uid: peer.uid.as_raw() })
    }

    /// Has sending and receiving fail with `EAGAIN` after `patience`.
    ///
    /// # Errors
    /// `EDOM` for more than the kernel counts.
    pub fn limit_waiting(&self, connection: &Connection, patience: Duration) -> Result<(), Error> {
        for (name, timeout) in [("SO_RCVTIMEO", Timeout::Recv), ("SO_SNDTIMEO", Timeout::Send)] {
            self.call(
                "setsockopt",
                || format!("[{}], {name}, {patience:?}", connection.fd.as_raw_fd()),
                || sockopt::set_socket_timeout(&connection.fd, timeout, Some(patience)),
            )?;
        }
        Ok(())
    }

    /// Makes room for messages of so many bytes, as far as the system lets this process.
    ///
    /// # Errors
    /// None that is known.
    pub fn make_room(&self, connection: &Connection, bytes: usize) -> Result<(), Error> {
        self.call(
            "setsockopt",
            || format!("[{}], SO_SNDBUF, {bytes}", connection.fd.as_raw_fd()),
            || sockopt::set_socket_send_buffer_size(&connection.fd, bytes),
        )
    }

    /// Sends a message, and descriptors with it.
    ///
    /// # Errors
    /// `EPIPE` when the other end is closed, `EMSGSIZE` for more bytes than the [room](Self::make_room) takes, `EAGAIN`
    /// when it [waited](Self::limit_waiting) too long, `EINVAL` for too many descriptors.
    pub fn send(
        &self,
        connection: &Connection,
        bytes: &[u8],
        descriptors: &[BorrowedFd<'_>],
    ) -> Result<(), Error> {
        let arguments = || {
            let (fd, length, count) = (connection.fd.as_raw_fd(), bytes.len(), descriptors.len());
            format!("[{fd}], {length} bytes, {count} descriptors, MSG_NOSIGNAL")
        };
        let send = || {
            let mut space = [MaybeUninit::uninit(); CONTROL_BYTES];
            let mut control = SendAncillaryBuffer::new(&mut space);
            if !descriptors.is_empty() && !control.push(SendAncillaryMessage::ScmRights(descriptors)) {
                return Err(Errno::INVAL);
            }
            let slices = [IoSlice::new(bytes)];
            rustix::net::sendmsg(&connection.fd, &slices, &mut control, SendFlags::NOSIGNAL)
        };
        match self.call("sendmsg", arguments, send)? {
            sent if sent == bytes.len() => Ok(()),
            _ => Err(Error::new(crate::Call { name: "sendmsg", arguments: arguments() }, Errno::MSGSIZE)),
        }
    }

    /// Receives a message into `buffer`, and the descriptors that came with it.
    ///
    /// # Errors
    /// `EAGAIN` when it [waited](Self::limit_waiting) too long, `ECONNRESET`.
    pub fn receive(&self, connection: &Connection, buffer: &mut [u8]) -> Result<Packet, Error> {
        let room = buffer.len();
        self.call(
            "recvmsg",
            || format!("[{}], {room} bytes, MSG_CMSG_CLOEXEC", connection.fd.as_raw_fd()),
            || {
                let mut space = [MaybeUninit::uninit(); CONTROL_BYTES];
                let mut control = RecvAncillaryBuffer::new(&mut space);
                let mut slices = [IoSliceMut::new(buffer)];
                let flags = RecvFlags::CMSG_CLOEXEC;
                let received = rustix::net::recvmsg(&connection.fd, &mut slices, &mut control, flags)?;
                let mut descriptors = Vec::new();
                for message in control.drain() {
                    if let RecvAncillaryMessage::ScmRights(rights) = message {
                        descriptors.extend(rights);
                    }
                }
                let is_cut = received.flags.intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC);
                Ok(Packet { length: received.bytes, descriptors, is_cut })
            },
        )
    }

    fn socket(&self, flags: SocketFlags) -> Result<OwnedFd, Error> {
        self.call(
            "socket",
            || "AF_UNIX, SOCK_SEQPACKET, 0".into(),
            || rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None),
        )
    }
}

fn address(path: &Path) -> Result<SocketAddrUnix, Errno> {
    SocketAddrUnix::new(path)
}

#[cfg(test)]
mod tests;
