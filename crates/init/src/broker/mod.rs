//! The broker: the process that alone activates devices for others, from descriptors that they hand over, and mounts what
//! is on them; and that alone updates the policy.
//!
//! On a sealed host the first process [forks](fork) it before the rights for that are given up, and it lives as long as
//! the machine. On other hosts it is a [service]. It has a place of its own with nothing of the machine's in it
//! ([`rights`]), reads nothing but messages of bounded size ([`sealpack_format::broker`]), and serves each connection in a
//! process of its own ([`listen`]).

mod answer;
mod children;
mod connection;
mod files;
mod filter;
mod limits;
mod listen;
mod log;
mod rights;
pub(crate) mod service;
mod work;

use std::convert::Infallible;
use std::fs::File;
use std::io::{PipeWriter, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

use sealpack_kernel::ipe::OpenPolicy;
use sealpack_kernel::packets::Listener;
use sealpack_kernel::{Forked, KeptOpen, Kernel};

use self::log::{Level, Log};
use self::rights::Life;

/// How many connections the kernel keeps until they are accepted.
const BACKLOG: i32 = 128;

/// What the broker says when it serves. Whatever else it says is why it does not.
const READY: &str = "ready";

/// More than any reason for not starting.
const REASON_MAX_BYTES: u64 = 4096;

/// Why there is no broker.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BrokerError {
    /// A system call failed.
    #[error("{doing}: {error}")]
    Call {
        /// What it was for.
        doing: &'static str,
        /// The call.
        #[source]
        error: sealpack_kernel::Error,
    },
    /// A file cannot be opened, made or changed.
    #[error("{what} {}: {error}", path.display())]
    Io {
        /// What it is for.
        what: &'static str,
        /// Its path.
        path: PathBuf,
        /// What happened.
        #[source]
        error: std::io::Error,
    },
    /// The kernel cannot do what the broker is there for.
    #[error("{0}")]
    Lacks(String),
    /// Another one is there.
    #[error("another broker listens at {}", .0.display())]
    IsThere(PathBuf),
    /// It was started, and gave up.
    #[error("the broker did not start: {0}")]
    Child(String),
}

impl BrokerError {
    fn call(doing: &'static str) -> impl Fn(sealpack_kernel::Error) -> Self {
        move |error| Self::Call { doing, error }
    }
}

/// What the broker needs of the machine, opened while it is there.
pub(crate) struct Opened {
    listener: Listener,
    log: File,
    policy: Option<OpenPolicy>,
}

impl Opened {
    /// Binds the socket, to which anybody may connect, and opens the policy of that name for updates. Lines for the log
    /// go to `log`.
    pub(crate) fn new(
        kernel: &Kernel,
        socket: &Path,
        policy: Option<&str>,
        log: File,
    ) -> Result<Self, BrokerError> {
        let listener = listen_at(kernel, socket)?;
        let policy = policy.map(|name| match kernel.ipe() {
            Some(ipe) => {
                ipe.open_for_updates(name).map_err(BrokerError::call("opening the policy for updates"))
            }
            None => Err(BrokerError::Lacks("IPE is not active, so that no policy can be updated".to_owned())),
        });
        Ok(Self { listener, log, policy: policy.transpose()? })
    }
}

/// Binds a socket under another name, lets everybody connect, and gives it its name: nobody finds it before it is ready,
/// and what a dead broker left there is replaced.
fn listen_at(kernel: &Kernel, socket: &Path) -> Result<Listener, BrokerError> {
    let failed = |what, path: &Path| {
        let path = path.to_owned();
        move |error| BrokerError::Io { what, path, error }
    };
    if let Some(directory) = socket.parent() {
        std::fs::create_dir_all(directory).map_err(failed("the socket's directory", directory))?;
    }
    if kernel.connect_to(socket).is_ok() {
        return Err(BrokerError::IsThere(socket.to_owned()));
    }
    let mut name = socket.as_os_str().to_owned();
    name.push(".new");
    let new = PathBuf::from(name);
    match std::fs::remove_file(&new) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(failed("the socket", &new)(error));
        }
        _ => {}
    }
    let listener = kernel.listen_at(&new, BACKLOG).map_err(BrokerError::call("making the socket"))?;
    let everybody = std::os::unix::fs::PermissionsExt::from_mode(0o666);
    std::fs::set_permissions(&new, everybody).map_err(failed("the socket", &new))?;
    std::fs::rename(&new, socket).map_err(failed("the socket", socket))?;
    Ok(listener)
}

/// What a broker serves with.
struct Server {
    opened: Opened,
    /// Who waits to hear that it serves.
    says: Option<PipeWriter>,
}

impl KeptOpen for Server {
    fn kept_open(&self) -> Vec<BorrowedFd<'_>> {
        let Opened { listener, log, policy } = &self.opened;
        let needed = [Some(listener.as_fd()), Some(log.as_fd()), policy.as_ref().map(AsFd::as_fd)];
        needed.into_iter().flatten().chain(self.says.as_ref().map(AsFd::as_fd)).collect()
    }
}

/// Starts the broker as a process of its own, which lives as long as the machine, and waits until it serves. Nothing of
/// `opened` stays open in this process.
///
/// # Errors
/// Why there is none: no process of it stays.
pub(crate) fn fork(kernel: &Kernel, opened: Opened) -> Result<(), BrokerError> {
    let failed = |error| BrokerError::Io { what: "a pipe to", path: "the broker".into(), error };
    let (mut said, mut says) = std::io::pipe().map_err(failed)?;
    let server = Server { opened, says: Some(says.try_clone().map_err(failed)?) };
    let child = match kernel.fork().map_err(BrokerError::call("starting the broker"))? {
        Forked::Child => {
            drop(said);
            let Err(error) = become_broker(kernel, server, Life::OfTheMachine);
            // Nobody waits if that fails.
            let _ = write!(says, "{error}");
            std::process::exit(1)
        }
        Forked::Parent { child } => child,
    };
    drop((server, says));
    let mut text = String::new();
    let read = said.by_ref().take(REASON_MAX_BYTES).read_to_string(&mut text);
    if read.is_ok() && text == READY {
        return Ok(());
    }
    // It has ended, or is about to.
    let status = kernel.wait_for(child, false).map_err(BrokerError::call("waiting for the broker"))?;
    Err(BrokerError::Child(match text.as_str() {
        "" => format!("it ended without a word ({status:?})"),
        reason => reason.to_owned(),
    }))
}

/// Gives up everything but what the broker needs, and serves until the process ends. Returns only where it does not come to
/// that.
fn become_broker(kernel: &Kernel, server: Server, life: Life) -> Result<Infallible, BrokerError> {
    let inside = rights::enter(kernel, life)?;
    let alone = inside.go_on_with(server, |server| {
        let Server { opened: Opened { listener, log, policy }, mut says } = server;
        let log = Log::new(log);
        let begun = rights::give_up(&inside, life);
        if let Some(says) = &mut says {
            let _ = match &begun {
                Ok(()) => says.write_all(READY.as_bytes()),
                Err(error) => write!(says, "{error}"),
            };
        }
        drop(says);
        match begun {
            Ok(()) => listen::serve(&inside, &listener, policy.as_ref(), &log),
            Err(error) => {
                log.say(Level::Error, &error.to_string());
                1
            }
        }
    });
    alone.map_err(BrokerError::call("closing what is not needed"))
}
