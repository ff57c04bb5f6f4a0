//! Why a command line is refused.

use super::{COMMAND_LINE_MAX_BYTES, DataLabelError, DeadlineError, FIXED_WORDS, UnknownHardening};
use crate::digest::DigestParseError;

/// What of a word an error quotes.
pub(super) fn shown(word: &str) -> String {
    word.chars().take(100).collect()
}

/// A command line that no sealed host takes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CommandLineError {
    /// A word without which nothing can start.
    #[error("the command line has no {0}")]
    Missing(&'static str),
    /// A word that would undo what a sealed host is for.
    #[error("{word:?} may not be on the command line of a sealed host: {why}")]
    Refused {
        /// The word.
        word: String,
        /// What it would do.
        why: &'static str,
    },
    /// A `sealpack.…` that this version does not know.
    #[error("{0:?} is no word of Sealpack's: it has sealpack.image, root, data, etc, off and deadline")]
    Unknown(String),
    /// A word of Sealpack's own among those that are added.
    #[error("{0:?} cannot be added: the words sealpack.… are made of the image and the options")]
    NotHere(String),
    /// A name that may be there once.
    #[error("{0:?} is on the command line twice")]
    Twice(String),
    /// A name of [`FIXED_WORDS`] with another value.
    #[error("{0:?} is not what a sealed host has: its command line begins with {fixed}", fixed = FIXED_WORDS.join(" "))]
    NotFixed(String),
    /// A character that the kernel and we might read differently.
    #[error("the word {0:?} is not printable ASCII without spaces and quotation marks")]
    Characters(String),
    /// Longer than the kernel keeps.
    #[error("the command line has {bytes} bytes, and the kernel keeps {COMMAND_LINE_MAX_BYTES}")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// No digest where one is due.
    #[error("{word}: {why}")]
    Digest {
        /// The word.
        word: &'static str,
        /// What is wrong with its value.
        why: DigestParseError,
    },
    /// No label.
    #[error("sealpack.data: {0}")]
    Label(#[from] DataLabelError),
    /// No number of seconds, or not one of those that can be.
    #[error("sealpack.deadline: {0}")]
    Deadline(#[from] DeadlineError),
    /// Neither of the two.
    #[error("sealpack.etc: {0:?} is neither tmpfs nor persistent")]
    Etc(String),
    /// No name of a hardening.
    #[error("sealpack.off: {0}")]
    Off(#[from] UnknownHardening),
    /// The same name again.
    #[error("sealpack.off: {0:?} is there twice")]
    OffTwice(String),
}
