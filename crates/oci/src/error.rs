//! What can go wrong between a source and an image's verified bytes.

use std::io;
use std::path::PathBuf;

use sealpack_format::BlobDigest;

use crate::credentials::CredentialsError;
use crate::platform::Platform;
use crate::registry::error::RegistryError;

/// A result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why an image could not be found, fetched or verified.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The registry or the way to it failed.
    #[error(transparent)]
    Registry(#[from] Box<RegistryError>),
    /// The registry failed after all its mirrors had.
    #[error("{error} (before that, {})", mirrors.join("; "))]
    AfterMirrors {
        /// The registry's own failure.
        error: Box<Error>,
        /// Those of the mirrors.
        mirrors: Vec<String>,
    },
    /// Credentials could not be read.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// Bytes have another digest than the one they were asked for by.
    #[error("{what} has the digest {actual}, but {expected} was asked for")]
    DigestMismatch {
        /// The blob and where it came from.
        what: String,
        /// The digest that the descriptor or the reference demands.
        expected: BlobDigest,
        /// The digest of the bytes.
        actual: BlobDigest,
    },
    /// A blob is shorter or longer than its descriptor says.
    #[error("{what} has {actual_bytes} bytes, but its descriptor says {expected_bytes}")]
    SizeMismatch {
        /// The blob and where it came from.
        what: String,
        /// The descriptor's size.
        expected_bytes: u64,
        /// The size met.
        actual_bytes: u64,
    },
    /// A blob goes on behind its descriptor's size; how far is not known.
    #[error("{what} is longer than the {expected_bytes} bytes that its descriptor says")]
    TooLong {
        /// The blob and where it came from.
        what: String,
        /// The descriptor's size.
        expected_bytes: u64,
    },
    /// A document that is kept in memory is too large for that.
    #[error("{what} is larger than the limit of {limit_bytes} bytes")]
    TooLarge {
        /// The document and where it came from.
        what: String,
        /// The limit.
        limit_bytes: u64,
    },
    /// What is to be written cannot fit.
    #[error("no space left in {what} for {needed_bytes} bytes, where its filesystem has {free_bytes}")]
    NoRoom {
        /// The target.
        what: String,
        /// How much is to be written.
        needed_bytes: u64,
        /// How much there is.
        free_bytes: u64,
    },
    /// Something cannot be put into an archive whole.
    #[error("{what} cannot be saved: {problem}")]
    Unsaved {
        /// The image or the archive.
        what: String,
        /// What is in the way.
        problem: String,
    },
    /// There is more of something than anybody needs.
    #[error("{what} has more than {limit} {of}")]
    TooMany {
        /// What has them.
        what: String,
        /// The limit.
        limit: usize,
        /// What there is too much of, in the plural.
        of: &'static str,
    },
    /// A manifest that was said to refer to another one does not.
    #[error("{what} is no referrer of {subject}: {problem}")]
    NoReferrer {
        /// The manifest and where it came from.
        what: String,
        /// What it was said to refer to.
        subject: BlobDigest,
        /// Why it does not count.
        problem: String,
    },
    /// A document does not say what it must.
    #[error("{what} is not valid: {problem}")]
    Malformed {
        /// The document and where it came from.
        what: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A media type that is no part of an image that can be unpacked.
    #[error("{what} has the media type {media_type:?}; {supported}")]
    MediaType {
        /// The manifest, config or layer.
        what: String,
        /// The media type met.
        media_type: String,
        /// What would be understood.
        supported: &'static str,
    },
    /// A manifest of Docker's first schema, which names its layers by other rules.
    #[error("{what} is a Docker schema 1 manifest, which was given up in 2017 and is not supported")]
    Schema1 {
        /// The manifest and where it came from.
        what: String,
    },
    /// A layer whose bytes the registry is not supposed to have, and does not have.
    #[error("layer {number} of {what} is a foreign layer ({media_type}), which is kept outside the registry")]
    ForeignLayer {
        /// The manifest.
        what: String,
        /// The layer, counted from 1 at the base.
        number: usize,
        /// Its media type.
        media_type: String,
    },
    /// An index has no image for the platform.
    #[error("{what} has no image for {wanted}; it has {}", list(available))]
    NoPlatform {
        /// The index.
        what: String,
        /// The platform asked for.
        wanted: Platform,
        /// The platforms there are.
        available: Vec<Platform>,
    },
    /// A single image, or the one that an index promised, is for another platform.
    #[error("{what} is an image for {actual}, but {wanted} was asked for")]
    WrongPlatform {
        /// The image.
        what: String,
        /// The platform asked for.
        wanted: Platform,
        /// The platform in its config.
        actual: Platform,
    },
    /// A layout or an archive has no image of that name, or several without one.
    #[error("{what}: {problem}")]
    NoImage {
        /// The layout or archive.
        what: String,
        /// What was looked for, and what there is.
        problem: String,
    },
    /// A blob that a manifest or an index names is not in the layout or archive.
    #[error("{what} has no blob {name}")]
    NoBlob {
        /// The layout or archive.
        what: String,
        /// The blob's digest or the member's name.
        name: String,
    },
    /// A file could not be read.
    #[error("cannot {action} {}: {source}", path.display())]
    File {
        /// What was tried, for example `open`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
}

fn list(platforms: &[Platform]) -> String {
    if platforms.is_empty() {
        return "none at all".to_owned();
    }
    platforms.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

impl Error {
    /// Whether bytes were there but are not the ones that were asked for, as opposed to
    /// bytes that could not be had.
    #[must_use]
    pub fn is_verification(&self) -> bool {
        matches!(self, Self::DigestMismatch { .. } | Self::SizeMismatch { .. } | Self::TooLong { .. })
    }

    /// Whether a blob that was asked for is not there.
    pub(crate) fn is_missing(&self) -> bool {
        matches!(self, Self::NoBlob { .. }) || self.is_absence()
    }

    /// Whether what was asked for by its name is simply not there.
    #[must_use]
    pub fn is_absence(&self) -> bool {
        match self {
            Self::Registry(error) => matches!(**error, RegistryError::NotFound { .. }),
            Self::AfterMirrors { error, .. } => error.is_absence(),
            Self::NoImage { .. } => true,
            _ => false,
        }
    }

    /// The error that a reader of [`ImageSource::open`](crate::transport::ImageSource::open) wrapped
    /// in an [`io::Error`], or the [`io::Error`] itself when it is from elsewhere.
    ///
    /// # Errors
    /// Gives `error` back when no error of this crate is inside.
    pub fn from_read(error: io::Error) -> Result<Self, io::Error> {
        error.downcast::<Self>()
    }

    /// Wraps the error for the [`io::Read`] interface; [`from_read`](Self::from_read) unwraps it.
    pub(crate) fn into_read(self) -> io::Error {
        let kind = match &self {
            Self::DigestMismatch { .. } | Self::SizeMismatch { .. } | Self::TooLong { .. } => {
                io::ErrorKind::InvalidData
            }
            _ => io::ErrorKind::Other,
        };
        io::Error::new(kind, self)
    }

    pub(crate) fn malformed(what: impl Into<String>, problem: impl ToString) -> Self {
        Self::Malformed { what: what.into(), problem: problem.to_string() }
    }

    pub(crate) fn file(action: &'static str, path: impl Into<PathBuf>, source: io::Error) -> Self {
        Self::File { action, path: path.into(), source }
    }
}

impl From<RegistryError> for Error {
    fn from(error: RegistryError) -> Self {
        Self::Registry(Box::new(error))
    }
}
