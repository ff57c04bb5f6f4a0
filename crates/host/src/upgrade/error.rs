//! Why a host stays with what it has.

use std::io;
use std::path::PathBuf;

use super::choose::Unfit;
use crate::esp::{EspError, FirmwareError};

/// Why none of an image's UKIs is taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NoChoice {
    /// There is none.
    #[error("no UKI is published beside {image}, and without one it cannot be started")]
    None {
        /// The image.
        image: String,
    },
    /// There is none of that name.
    #[error("no UKI {label} is published beside {image}")]
    NoSuch {
        /// The image.
        image: String,
        /// What was asked for.
        label: String,
    },
    /// None that is there will do.
    #[error("no UKI that is published beside {image} can be taken: {}", reasons(unfit))]
    Unfit {
        /// The image.
        image: String,
        /// Each, and why not.
        unfit: Vec<(String, Unfit)>,
    },
    /// Nothing says which one.
    #[error("{} UKIs are published beside {image}, and nothing says which one this host takes: {}", ukis.len(), ukis.join(", "))]
    Several {
        /// The image.
        image: String,
        /// Each, with who signed it.
        ukis: Vec<String>,
    },
}

fn reasons(unfit: &[(String, Unfit)]) -> String {
    unfit.iter().map(|(label, why)| format!("{label}: {why}")).collect::<Vec<_>>().join("; ")
}

impl NoChoice {
    /// Whether something is not what it was signed as, or more than it may be.
    #[must_use]
    pub const fn is_verification(&self) -> bool {
        matches!(self, Self::Unfit { .. })
    }
}

/// Why a host does not go to another version.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UpgradeError {
    /// Another command is about to change what is started.
    #[error("another upgrade of this host is under way (it has {} locked)", path.display())]
    UnderWay {
        /// The file that it holds.
        path: PathBuf,
    },
    /// An administrator says no.
    #[error("{} keeps this host as it is{}", path.display(), reason.as_ref().map(|text| format!(": {text}")).unwrap_or_default())]
    Forbidden {
        /// The file.
        path: PathBuf,
        /// What it says.
        reason: Option<String>,
    },
    /// The clock is behind.
    #[error(
        "the clock says {now}, and what runs was sealed at {sealed}: certificates cannot be judged by it"
    )]
    ClockBehind {
        /// The time by the clock.
        now: String,
        /// When the seal was made.
        sealed: String,
    },
    /// It was tried, and did not come up.
    #[error("{file} on the ESP is this image's, and did not come up in all its tries")]
    Failed {
        /// The file.
        file: String,
    },
    /// It runs, and has not come up for good in its last try.
    #[error("{file} on the ESP is this image's, and runs in its last try: it is not good yet")]
    LastTry {
        /// The file.
        file: String,
    },
    /// Somebody went back from it.
    #[error("{file} on the ESP is this image's, and somebody went back from it")]
    PutBack {
        /// The file.
        file: String,
    },
    /// There is nothing to go back to.
    #[error("the ESP has no UKI to go back to besides {next}")]
    NoFallback {
        /// What comes next, or `none`.
        next: String,
    },
    /// What would be gone back to is not there whole.
    #[error("{file} would be gone back to, and its image {image} is not in the store")]
    FallbackMissing {
        /// The file.
        file: String,
        /// Its metadata image.
        image: String,
    },
    /// A name with characters that systemd-boot's patterns are made of.
    #[error("the boot loader cannot be told to start {file}: its name has one of * ? [ ] and \\ in it")]
    Unnameable {
        /// The file.
        file: String,
    },
    /// A name whose pattern finds another one first.
    #[error(
        "the boot loader cannot be told to start {file}: what it finds by that name is another UKI on the ESP"
    )]
    Ambiguous {
        /// The file.
        file: String,
    },
    /// Nothing was staged.
    #[error("no upgrade was brought before")]
    NotStaged,
    /// What was staged is not whole.
    #[error("what was brought before, {}, {why}", path.display())]
    StagedDamaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// None of the image's UKIs is taken.
    #[error(transparent)]
    NoChoice(#[from] NoChoice),
    /// Of the ESP.
    #[error(transparent)]
    Esp(#[from] EspError),
    /// Of the firmware.
    #[error(transparent)]
    Firmware(#[from] FirmwareError),
    /// Of the store.
    #[error(transparent)]
    Store(#[from] sealpack_store::Error),
    /// What the system says.
    #[error("cannot {doing} {}: {source}", path.display())]
    Io {
        /// What was to be done.
        doing: &'static str,
        /// With which file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

impl UpgradeError {
    pub(super) fn io(doing: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { doing, path, source }
    }

    /// Whether something is not what it was signed as, or more than it may be.
    #[must_use]
    pub fn is_verification(&self) -> bool {
        match self {
            Self::NoChoice(error) => error.is_verification(),
            Self::Store(error) => error.is_verification(),
            _ => false,
        }
    }
}
