//! What can be wrong with a trust store.

use std::time::SystemTime;

use super::{AnchorName, Use};
use crate::key::KeyError;

/// A text cannot be the name of a certificate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} cannot name a certificate: it takes 1 to 64 of A-Z a-z 0-9 . _ - and begins with a letter or digit"
)]
pub struct AnchorNameError(pub(super) String);

/// A certificate cannot be in the trust store.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AnchorError {
    /// Two certificates under one name.
    #[error("there are two different certificates called {name} for {of}")]
    Conflict {
        /// What both are for.
        of: Use,
        /// Their name.
        name: AnchorName,
    },
    /// Two keys under one name.
    #[error("there are two different keys called {name} for artifacts")]
    KeyConflict {
        /// Their name.
        name: AnchorName,
    },
}

/// Why signatures by a known certificate do not count.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateProblem {
    /// It was revoked, or its key was.
    #[error("revoked{}{}", by_key(.with.as_ref()), because(.reason.as_ref()))]
    Revoked {
        /// The other certificate of its key that was revoked.
        with: Option<String>,
        /// The reason given then.
        reason: Option<String>,
    },
    /// Its validity begins later.
    #[error("not valid before {0}")]
    NotYet(String),
    /// Its validity ended.
    #[error("expired since {0}")]
    Expired(String),
    /// It is not for signing code.
    #[error("not usable: {0}")]
    Usage(KeyError),
}

/// By way of which other certificate, or nothing.
fn by_key(with: Option<&String>) -> String {
    with.map(|with| format!(" with its key, which is that of {with}")).unwrap_or_default()
}

/// `: REASON`, or nothing.
pub(crate) fn because(reason: Option<&String>) -> String {
    reason.map(|reason| format!(": {reason}")).unwrap_or_default()
}

/// The second as RFC 3339 has it.
pub(super) fn day(time: SystemTime) -> String {
    der::DateTime::from_system_time(time)
        .map_or_else(|_| "a time out of range".to_owned(), |time| time.to_string())
}

/// A file of the trust store is not what it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TomlError {
    /// More bytes than such a file may have.
    #[error("{size_bytes} bytes are too many; {limit_bytes} are the most")]
    TooLarge {
        /// How many there are.
        size_bytes: usize,
        /// How many there may be.
        limit_bytes: usize,
    },
    /// Not UTF-8.
    #[error("it is not UTF-8 text")]
    Text,
    /// Something in a line.
    #[error("line {line}: {problem}")]
    Line {
        /// The line, from 1.
        line: usize,
        /// What is wrong there.
        problem: String,
    },
    /// Two entries for the same thing.
    #[error("there are two {what} for {name:?}")]
    Twice {
        /// Such as `rules`.
        what: &'static str,
        /// What both are about.
        name: String,
    },
    /// A rule wants artifacts of images that need no seal.
    #[error(
        "the rule for {prefix} has require_artifacts, which is for sealed images: it needs require = \"sealed\""
    )]
    ArtifactsUnsealed {
        /// The rule's prefix.
        prefix: String,
    },
    /// A rule says whose artifacts count and wants none.
    #[error("the rule for {prefix} has artifacts_by and no require_artifacts: say which types must be there")]
    ArtifactsByNobody {
        /// The rule's prefix.
        prefix: String,
    },
    /// A rule wants more types than anybody needs.
    #[error("the rule for {prefix} has {number} types in require_artifacts; {limit} are the most")]
    ArtifactTypes {
        /// The rule's prefix.
        prefix: String,
        /// How many there are.
        number: usize,
        /// How many there may be.
        limit: usize,
    },
}

/// The largest file of rules or revocations, in bytes.
const FILE_MAX_BYTES: usize = 4 * 1024 * 1024;

/// Reads TOML into what says itself that it takes nothing unknown.
///
/// # Errors
/// [`TomlError`].
pub fn read_toml<T: serde::de::DeserializeOwned>(bytes: &[u8]) -> Result<T, TomlError> {
    if bytes.len() > FILE_MAX_BYTES {
        return Err(TomlError::TooLarge { size_bytes: bytes.len(), limit_bytes: FILE_MAX_BYTES });
    }
    let text = std::str::from_utf8(bytes).map_err(|_| TomlError::Text)?;
    toml::from_str(text).map_err(|error| {
        let start = error.span().map_or(0, |span| span.start);
        let line = 1 + text.bytes().take(start).filter(|byte| *byte == b'\n').count();
        let problem =
            error.message().replace('\n', "; ").chars().filter(|c| !c.is_control()).take(400).collect();
        TomlError::Line { line, problem }
    })
}
