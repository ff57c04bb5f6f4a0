//! The words of a policy that are the author's own: names, and what digests are called.

use std::fmt;
use std::str::FromStr;

use sealpack_format::Algorithm;

/// The longest name of a file in the kernel's securityfs, in bytes (`NAME_MAX`).
const NAME_MAX_BYTES: usize = 255;

/// Some bytes without blanks, `#`, NUL and line ends: what the kernel takes where a policy's author
/// is free. Seldom anything but ASCII.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Word(Box<[u8]>);

impl Word {
    /// The word made of `bytes`, `None` if something in them would end it.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Option<Self> {
        let ends = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | b'#' | 0);
        (!bytes.iter().any(ends)).then(|| Self(bytes.into()))
    }

    /// Its bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    pub(super) fn of_algorithm(algorithm: Algorithm) -> Self {
        Self(algorithm.name().as_bytes().into())
    }
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.0))
    }
}

impl fmt::Debug for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.escape_ascii())
    }
}

/// The name of a policy, which is also that of its directory in securityfs.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PolicyName(Word);

/// A name that no policy can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyNameError {
    /// There is nothing.
    #[error("the policy has no name")]
    Empty,
    /// It is longer than the name of a file can be.
    #[error("the policy's name is longer than 255 bytes, which no directory of securityfs can be called")]
    TooLong,
    /// It cannot be the name of a file.
    #[error(
        "the policy's name is '.', '..' or has a slash in it, which no directory of securityfs can be called"
    )]
    NotAFileName,
    /// It would end too early.
    #[error("the policy's name has a blank, a line end, a NUL or '#' in it")]
    NotAWord,
}

impl PolicyName {
    /// The name made of `bytes`.
    ///
    /// # Errors
    /// What the kernel's parser would not take as one word, or what securityfs would refuse
    /// (`lookup_one_common` in fs/namei.c).
    pub fn new(bytes: &[u8]) -> Result<Self, PolicyNameError> {
        match bytes {
            b"" => Err(PolicyNameError::Empty),
            b"." | b".." => Err(PolicyNameError::NotAFileName),
            _ if bytes.contains(&b'/') => Err(PolicyNameError::NotAFileName),
            _ if bytes.len() > NAME_MAX_BYTES => Err(PolicyNameError::TooLong),
            _ => Word::new(bytes).map(Self).ok_or(PolicyNameError::NotAWord),
        }
    }

    /// Its bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl FromStr for PolicyName {
    type Err = PolicyNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::new(text.as_bytes())
    }
}

impl fmt::Display for PolicyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for PolicyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
