//! The socket that containerd connects to.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use listenfd::ListenFd;

/// Why there is no socket.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Somebody answers on it.
    #[error("{} is in use: another program serves there", .0.display())]
    InUse(PathBuf),
    /// Something else has its name.
    #[error("{} is no socket and is left alone", .0.display())]
    NotASocket(PathBuf),
    /// A call of the system.
    #[error("cannot {doing} {}: {source}", path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// With what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// What whoever started this has passed on is no listening unix socket.
    #[error("the socket that this program was started with (LISTEN_FDS) cannot be used: {0}")]
    Passed(io::Error),
}

/// A listening socket.
#[derive(Debug)]
pub struct Listener {
    socket: UnixListener,
    place: Option<Place>,
}

/// The name of a socket that this made: it goes with this, unless somebody else has it by then.
#[derive(Debug)]
pub(super) struct Place {
    path: PathBuf,
    inode: (u64, u64),
}

impl Listener {
    /// The socket that this process was started with (sd_listen_fds(3)), if there is one; its name is whoever's made it.
    ///
    /// # Errors
    /// [`ListenError::Passed`].
    pub fn passed() -> Result<Option<Self>, ListenError> {
        let socket = ListenFd::from_env().take_unix_listener(0).map_err(ListenError::Passed)?;
        let Some(socket) = socket else { return Ok(None) };
        socket.set_nonblocking(true).map_err(ListenError::Passed)?;
        Ok(Some(Self { socket, place: None }))
    }

    /// A socket at `path`, for its owner only. One on which nobody answers any more is replaced.
    ///
    /// # Errors
    /// [`ListenError`].
    pub fn bind(path: &Path) -> Result<Self, ListenError> {
        let failed = |doing| move |source| ListenError::Io { doing, path: path.to_owned(), source };
        check_free(path)?;
        // Made under another name: nobody connects before the mode is right, and the name never has nothing.
        let mut new = path.as_os_str().to_owned();
        new.push(".new");
        let new = PathBuf::from(new);
        match fs::remove_file(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed("replace")(error)),
            _ => {}
        }
        let socket = UnixListener::bind(&new).map_err(failed("listen on"))?;
        fs::set_permissions(&new, Permissions::from_mode(0o600)).map_err(failed("protect"))?;
        socket.set_nonblocking(true).map_err(failed("listen on"))?;
        let status = fs::symlink_metadata(&new).map_err(failed("look at"))?;
        fs::rename(&new, path).map_err(failed("make"))?;
        let place = Place { path: path.to_owned(), inode: (status.dev(), status.ino()) };
        Ok(Self { socket, place: Some(place) })
    }

    pub(super) fn into_parts(self) -> (UnixListener, Option<Place>) {
        (self.socket, self.place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let is_ours =
            fs::symlink_metadata(&self.path).is_ok_and(|status| (status.dev(), status.ino()) == self.inode);
        if is_ours {
            // A name that stays is replaced by the next one.
            _ = fs::remove_file(&self.path);
        }
    }
}

fn check_free(path: &Path) -> Result<(), ListenError> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(source) => Err(ListenError::Io { doing: "look at", path: path.to_owned(), source }),
        Ok(status) if !status.file_type().is_socket() => Err(ListenError::NotASocket(path.to_owned())),
        Ok(_) => match UnixStream::connect(path) {
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(source) => Err(ListenError::Io { doing: "connect to", path: path.to_owned(), source }),
            Ok(_) => Err(ListenError::InUse(path.to_owned())),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_in_use_is_refused_and_one_that_was_left_is_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("s.sock");
        let first = Listener::bind(&path).unwrap();
        assert!(matches!(Listener::bind(&path), Err(ListenError::InUse(_))));
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        let (socket, place) = first.into_parts();
        drop(socket);
        let second = Listener::bind(&path).unwrap();
        drop(place);
        assert!(path.exists(), "the name is another's by now");
        drop(second.into_parts());
        assert!(!path.exists());
    }

    #[test]
    fn what_is_no_socket_stays() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("s.sock");
        fs::write(&path, "precious").unwrap();
        assert!(matches!(Listener::bind(&path), Err(ListenError::NotASocket(_))));
        assert_eq!(fs::read(&path).unwrap(), b"precious");
    }
}
