//! Why there is no bundle.

use crate::accounts::AccountError;
use crate::capabilities::CapabilityError;
use crate::seccomp::ProfileError;
use crate::signals::SignalError;

/// Why no `config.json` can be made of an image and what is wanted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The image's config is none.
    #[error("the image has no config that a container can be made of: {0}")]
    NotAConfig(String),
    /// Neither the image nor anybody else says what to start.
    #[error("the image says neither an entrypoint nor a command, and none was given")]
    NoCommand,
    /// What is to be started is an empty word, or has a NUL in it.
    #[error("{0:?} is no program that could be started")]
    BadProgram(String),
    /// A variable without a name, or with a NUL in it.
    #[error("{0:?} is no environment variable: it has to be NAME=VALUE")]
    BadVariable(String),
    /// The working directory is not absolute.
    #[error("the working directory {0:?} is not an absolute path")]
    RelativeDirectory(String),
    /// Two mounts at one place.
    #[error("two mounts are wanted at {0}")]
    MountedTwice(String),
    /// A mount over the image's root.
    #[error("nothing can be mounted over the container's root directory")]
    MountOverRoot,
    /// A volume that the image's config names is no path in it.
    #[error("the image's config names a volume {0:?}, which is no absolute path")]
    BadVolume(String),
    /// What the image has in memory would lie on what shows the machine, or on all of the image.
    #[error(
        "the image's config, or a link in the image, puts a filesystem in memory at {0:?}: that is in /proc, /sys or /dev, or the \
         root itself"
    )]
    InMachine(String),
    /// The image's config names more volumes than an image has.
    #[error("the image's config names {0} volumes, and no image has more than {max}", max = crate::mounts::VOLUMES_MAX)]
    TooManyVolumes(usize),
    /// A user or group.
    #[error(transparent)]
    Account(#[from] AccountError),
    /// A capability.
    #[error(transparent)]
    Capability(#[from] CapabilityError),
    /// The image's stop signal.
    #[error("the image's stop signal: {0}")]
    StopSignal(SignalError),
    /// The seccomp profile.
    #[error(transparent)]
    Profile(#[from] ProfileError),
}
