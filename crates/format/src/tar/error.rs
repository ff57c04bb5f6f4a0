use std::fmt;

/// How many bytes of a name an error quotes.
const QUOTED_BYTES: usize = 255;

/// A stream that is not the tar it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    member: Option<String>,
    offset: u64,
    kind: ErrorKind,
}

impl Error {
    pub(super) fn new(name: Option<&[u8]>, offset: u64, kind: ErrorKind) -> Self {
        Self { member: name.map(quoted), offset, kind }
    }

    /// The member's path, odd bytes escaped, cut after 255 bytes; of an extended header the path that
    /// is written in it. `None` when there is not even a header to take a name from.
    #[must_use]
    pub fn member(&self) -> Option<&str> {
        self.member.as_deref()
    }

    /// Where the member's first header, or what should be one, starts in the stream, in bytes.
    #[must_use]
    pub const fn offset(&self) -> u64 {
        self.offset
    }

    /// What is wrong.
    #[must_use]
    pub const fn kind(&self) -> &ErrorKind {
        &self.kind
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.member {
            Some(member) => write!(f, "tar member \"{member}\" at byte {}: {}", self.offset, self.kind),
            None => write!(f, "tar stream at byte {}: {}", self.offset, self.kind),
        }
    }
}

impl std::error::Error for Error {}

/// Something from the stream, fit for a message.
pub(super) fn quoted(name: &[u8]) -> String {
    match name.get(..QUOTED_BYTES) {
        Some(cut) if cut.len() < name.len() => format!("{}…", cut.escape_ascii()),
        _ => name.escape_ascii().to_string(),
    }
}

/// What is wrong with a stream.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ErrorKind {
    /// A block that should be a header is none.
    #[error("the header's checksum is wrong: this is not a tar stream, or it is damaged")]
    Checksum,
    /// A number in a header or a PAX record.
    #[error("its {field} {problem}")]
    Number {
        /// Which number.
        field: &'static str,
        /// What is wrong with it.
        problem: NumberProblem,
    },
    /// A path or a link's target.
    #[error("its {field} {problem}")]
    Name {
        /// Which name.
        field: &'static str,
        /// What is wrong with it.
        problem: NameProblem,
    },
    /// A kind of member that cannot be in a layer.
    #[error("its type '{}' is not supported", .0.escape_ascii())]
    Type(u8),
    /// An extended header's records are not of the form `LENGTH KEY=VALUE\n`.
    #[error("the PAX record at byte {at} of its extended header {problem}")]
    PaxRecord {
        /// Where in the extended header the record starts, in bytes.
        at: usize,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A PAX record that cannot be honoured.
    #[error("its PAX record \"{key}\" {problem}")]
    PaxValue {
        /// The record's key, odd bytes escaped, cut after 255 bytes.
        key: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The map of a sparse file.
    #[error("its sparse map {0}")]
    Sparse(SparseProblem),
    /// More of something than [`Limits`](super::Limits) allows.
    #[error("it has more than {limit} {what}")]
    Limit {
        /// What there is too much of.
        what: &'static str,
        /// How much is allowed.
        limit: u64,
    },
    /// The stream ends too early.
    #[error("the stream ends in the middle of it, at byte {end}")]
    Truncated {
        /// The length of the stream in bytes.
        end: u64,
    },
    /// One block of zeros is no end of an archive, and no header either.
    #[error("a single block of zeros is followed by something else; an archive ends with two")]
    LoneZeroBlock,
    /// The archive ends after an extended header.
    #[error("its extended header is not followed by the member that it describes")]
    NoMember,
}

/// What is wrong with a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NumberProblem {
    /// It has other characters than digits, or none.
    #[error("is not a number")]
    NotANumber,
    /// It is negative or too large for what it stands for.
    #[error("is out of range")]
    OutOfRange,
}

impl NumberProblem {
    pub(super) const fn of(self, field: &'static str) -> ErrorKind {
        ErrorKind::Number { field, problem: self }
    }
}

/// What is wrong with a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameProblem {
    /// There is none.
    #[error("is empty")]
    Empty,
    /// It has a NUL byte, which no file name can have.
    #[error("has a NUL byte")]
    Nul,
}

/// What is wrong with the map of a sparse file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SparseProblem {
    /// It is not made of numbers as it should be.
    #[error("is malformed")]
    Malformed,
    /// Its regions overlap or are not in order.
    #[error("has regions that overlap or are not in order")]
    Order,
    /// A region ends after the end of the file.
    #[error("has a region beyond the end of the file")]
    BeyondEnd,
    /// There are more or fewer regions than it says.
    #[error("has another number of regions than it states")]
    Count,
    /// The data in the archive is not as long as the regions together.
    #[error("covers {mapped} bytes of data, but the archive has {archived}")]
    Data {
        /// Length of all regions, in bytes.
        mapped: u64,
        /// Length of the data in the archive, in bytes.
        archived: u64,
    },
    /// Nothing states the size of the file.
    #[error("comes without the size of the file")]
    NoSize,
    /// The member is not a regular file.
    #[error("belongs to something that is not a regular file")]
    NotRegular,
    /// There is a GNU.sparse version that is not 0.0, 0.1 or 1.0.
    #[error("is of an unknown version")]
    Version,
    /// There is one in the header and one in PAX records.
    #[error("is there twice, in the header and in PAX records")]
    Twice,
}

impl From<SparseProblem> for ErrorKind {
    fn from(problem: SparseProblem) -> Self {
        Self::Sparse(problem)
    }
}

/// `limit` of `what` was exceeded.
pub(super) fn beyond(what: &'static str, limit: usize) -> ErrorKind {
    ErrorKind::Limit { what, limit: u64::try_from(limit).unwrap_or(u64::MAX) }
}
