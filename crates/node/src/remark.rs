//! What is worth saying about something that went well.

use std::fmt;
use std::path::PathBuf;

use sealpack_trust::key::KeyError;

/// Where remarks go while something is done.
pub type Remarks<'a> = &'a mut dyn FnMut(Remark);

/// Something that whoever asked should know, and that is no error. Its text is a whole sentence for people.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Remark {
    /// A file among the certificates of the trust store that does not count, for its name.
    NoCertificate {
        /// The file.
        path: PathBuf,
        /// What the names of files there end with.
        ending: &'static str,
    },
    /// A certificate whose validity has not begun, or has ended.
    NotValidNow {
        /// Its file.
        path: PathBuf,
    },
    /// A certificate that signs, but that no trust store takes.
    NoPurpose {
        /// Its file.
        path: PathBuf,
        /// What it does not say.
        problem: KeyError,
    },
    /// A private key that others than its owner may use.
    KeyIsShared {
        /// Its file.
        path: PathBuf,
        /// The file's permission bits.
        mode: u32,
    },
    /// What can be executed of an image, but is inside its metadata image, where no digest allows it.
    ExecutablesInside {
        /// What the image was called.
        image: String,
        /// How many files.
        count: u64,
    },
    /// An image whose devices a policy names, but that has no seal.
    NotSealed {
        /// What the image was called.
        image: String,
    },
    /// A record in a log that cannot be read.
    RecordUnreadable {
        /// Its line, from 1.
        line: usize,
        /// What is wrong with it.
        why: String,
    },
    /// Devices that nobody uses any more could not be removed.
    LeftoversStay {
        /// Why.
        why: String,
    },
    /// The mounts of processes of other users, of which only root sees all; but then only root mounts.
    HiddenMounts {
        /// Of how many processes.
        processes: usize,
    },
    /// The contents of an image are put into packs first.
    IntoPacks {
        /// The image.
        name: String,
    },
    /// All of a seal was signed by somebody whose signatures count, so that nothing is computed again.
    SignedBefore {
        /// The image.
        name: String,
    },
}

impl Remark {
    /// Whether only those want to know who asked for more than usual.
    #[must_use]
    pub const fn is_detail(&self) -> bool {
        matches!(self, Self::SignedBefore { .. } | Self::HiddenMounts { .. })
    }
}

impl fmt::Display for Remark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoCertificate { path, ending } => write!(
                f,
                "warning: {} is not looked at: what counts there is in files NAME{ending}",
                path.display()
            ),
            Self::NotValidNow { path } => write!(
                f,
                "warning: the certificate {} is not valid at this time; the kernel does not look at that, others may",
                path.display()
            ),
            Self::NoPurpose { path, problem } => {
                write!(f, "warning: {}: {problem}; no trust store takes it", path.display())
            }
            Self::KeyIsShared { path, mode } => write!(
                f,
                "warning: others than its owner may use the private key {} (mode {mode:04o}); `chmod 600` stops that",
                path.display()
            ),
            Self::ExecutablesInside { image, count } => write!(
                f,
                "note: {count} executable file{} of {image} have at most 64 bytes and are inside its metadata image, \
                 where no digest allows them: they will not be executed",
                if *count == 1 { "" } else { "s" }
            ),
            Self::NotSealed { image } => {
                write!(f, "note: {image} is not sealed: nothing of it will be executed before it is")
            }
            Self::RecordUnreadable { line, why } => write!(f, "line {line}: {why}"),
            Self::LeftoversStay { why } => write!(f, "warning: {why}"),
            Self::HiddenMounts { processes } => {
                write!(f, "the mounts of {processes} processes of other users could not be read")
            }
            Self::IntoPacks { name } => write!(f, "{name}: converting files into packs"),
            Self::SignedBefore { name } => write!(f, "{name}: signed before by somebody trusted"),
        }
    }
}
