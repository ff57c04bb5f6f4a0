//! Why a pull fails.

use std::io;

use sealpack_format::{BlobDigest, DiffId};

use super::check::Objection;
use crate::budget::OverLimit;
use crate::composefs::Checked;
use crate::error::Error;
use crate::ingest::{CorruptBlob, IngestError, ScanError};
use crate::merge::MergeError;

/// Why a pull failed. Layers are counted from 1 at the bottom.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PullError {
    /// The image or a blob cannot be had, or is not the one asked for.
    #[error(transparent)]
    Source(#[from] Error),
    /// Reading a layer's blob broke off.
    #[error("layer {layer}: {source}")]
    Read {
        /// The layer.
        layer: usize,
        /// What happened.
        source: io::Error,
    },
    /// A blob is the one asked for, but does not inflate.
    #[error("layer {layer} ({digest}): {source}")]
    Corrupt {
        /// The layer.
        layer: usize,
        /// Its blob.
        digest: BlobDigest,
        /// What is wrong.
        source: CorruptBlob,
    },
    /// A blob is the one asked for, but compressed in a way that layers may not be.
    #[error(
        "layer {layer} ({digest}) is compressed with {format}, which no specification allows; layers are tar, plain or \
         with gzip or zstd"
    )]
    Unsupported {
        /// The layer.
        layer: usize,
        /// Its blob.
        digest: BlobDigest,
        /// The compression.
        format: &'static str,
    },
    /// A layer's content is refused, or could not be stored.
    #[error("layer {layer} ({digest}): {source}")]
    Layer {
        /// The layer.
        layer: usize,
        /// Its blob.
        digest: BlobDigest,
        /// What is wrong.
        source: ScanError,
    },
    /// What is wrong with a layer's content was found so long before the end of its blob that the rest was not read, and
    /// nobody knows whether it is the right one.
    #[error("{0} (so the rest of the blob was not read)")]
    Broken(Box<PullError>),
    /// A layer's stream is not the one that the image's config names.
    #[error("layer {layer} ({digest}) unpacks to {actual}, but the image's config says {expected}")]
    DiffId {
        /// The layer.
        layer: usize,
        /// Its blob.
        digest: BlobDigest,
        /// The digest in the config.
        expected: DiffId,
        /// The digest of the stream.
        actual: DiffId,
    },
    /// A layer is said to be so large that the image would have more than it may.
    #[error("layer {layer} ({digest}) has {size_bytes} bytes: {source}")]
    Declared {
        /// The layer.
        layer: usize,
        /// Its blob.
        digest: BlobDigest,
        /// What its descriptor says.
        size_bytes: u64,
        /// What the image would have too much of.
        source: OverLimit,
    },
    /// The layers do not make an image.
    #[error(transparent)]
    Merge(#[from] MergeError),
    /// What somebody says about the image's composefs digests is not true.
    #[error("{0}")]
    Composefs(Box<Checked>),
    /// The tree does not fit a metadata image.
    #[error("cannot make the metadata image: {0}")]
    Image(#[from] sealpack_format::erofs::WriteError),
    /// The check refused what was made of the layers.
    #[error(transparent)]
    Refused(Objection),
    /// The store did not take something, or does not have what it should.
    #[error(transparent)]
    Store(#[from] sealpack_store::Error),
}

impl PullError {
    /// What reading a blob met: this crate's own error where there is one inside.
    pub(super) fn read(layer: usize, error: io::Error) -> Self {
        match Error::from_read(error) {
            Ok(error) => Self::Source(error),
            Err(source) => match source.downcast::<sealpack_store::Error>() {
                Ok(error) => Self::Store(error),
                Err(source) => Self::Read { layer, source },
            },
        }
    }

    /// What is wrong with a layer's blob.
    pub(super) fn of_layer(layer: usize, digest: BlobDigest, error: IngestError) -> Self {
        let what = || format!("layer {layer}");
        match error {
            IngestError::Read(error) => Self::read(layer, error),
            IngestError::Size { expected_bytes, actual_bytes } => {
                Self::Source(Error::SizeMismatch { what: what(), expected_bytes, actual_bytes })
            }
            IngestError::Digest { expected, actual } => {
                Self::Source(Error::DigestMismatch { what: what(), expected, actual })
            }
            IngestError::TooLong { expected_bytes } => {
                Self::Source(Error::TooLong { what: what(), expected_bytes })
            }
            IngestError::Broken(error) => Self::Broken(Box::new(Self::of_layer(layer, digest, *error))),
            IngestError::Corrupt(source) => Self::Corrupt { layer, digest, source },
            IngestError::Unsupported { format } => Self::Unsupported { layer, digest, format },
            IngestError::Layer(source) => Self::Layer { layer, digest, source },
        }
    }

    /// Whether bytes were there but are not the ones that a digest or a size demands.
    #[must_use]
    pub fn is_verification(&self) -> bool {
        match self {
            Self::Source(error) => error.is_verification(),
            Self::DiffId { .. } | Self::Refused(_) | Self::Composefs(_) => true,
            Self::Store(error) => error.is_verification(),
            Self::Layer { source: ScanError::Store(error), .. } => error.is_verification(),
            _ => false,
        }
    }

    /// Whether it is the layers' bytes that are to blame, and not the way to them or the disk.
    pub(super) fn is_content(&self) -> bool {
        match self {
            Self::Source(error) => error.is_verification(),
            Self::Corrupt { .. } | Self::Unsupported { .. } | Self::DiffId { .. } | Self::Merge(_) => true,
            Self::Declared { .. } | Self::Broken(_) => true,
            Self::Refused(_) | Self::Composefs(_) => true,
            Self::Image(error) => !matches!(error, sealpack_format::erofs::WriteError::Io(_)),
            Self::Layer { source, .. } => source.is_content(),
            Self::Store(error) => matches!(error, sealpack_store::Error::TooManyPacks { .. }),
            _ => false,
        }
    }

    /// Which limit the image goes beyond, if it is that.
    #[must_use]
    pub fn over_limit(&self) -> Option<&OverLimit> {
        match self {
            Self::Declared { source, .. }
            | Self::Layer { source: ScanError::OverLimit(source), .. }
            | Self::Merge(MergeError::OverLimit { source, .. }) => Some(source),
            Self::Broken(error) => error.over_limit(),
            _ => None,
        }
    }

    /// Whether the filesystem of the store is full.
    pub(super) fn is_no_space(&self) -> bool {
        let inside = |error: &io::Error| {
            let error = error.get_ref().and_then(|inner| inner.downcast_ref());
            matches!(error, Some(sealpack_store::Error::NoSpace { .. }))
        };
        match self {
            Self::Store(error) | Self::Layer { source: ScanError::Store(error), .. } => {
                matches!(error, sealpack_store::Error::NoSpace { .. })
            }
            Self::Layer { source: ScanError::Record(error) | ScanError::Content(error), .. }
            | Self::Image(sealpack_format::erofs::WriteError::Io(error)) => inside(error),
            _ => false,
        }
    }
}
