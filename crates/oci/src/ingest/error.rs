//! Why a layer is not taken in.

use std::io;

use sealpack_format::BlobDigest;
use sealpack_format::tar;
use sealpack_format::tree::SYMLINK_MAX_BYTES;

use super::decode::CorruptBlob;
use super::paths::PathProblem;
use crate::budget::OverLimit;

/// Why a blob was not taken in as a layer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IngestError {
    /// Reading it broke off.
    #[error(transparent)]
    Read(io::Error),
    /// It is shorter or longer than it should be.
    #[error("the blob has {actual_bytes} bytes, but {expected_bytes} were expected")]
    Size {
        /// The size that it should have.
        expected_bytes: u64,
        /// The size that it has.
        actual_bytes: u64,
    },
    /// It goes on behind the size that it should have.
    #[error("the blob is longer than the {expected_bytes} bytes that were expected")]
    TooLong {
        /// The size that it should have.
        expected_bytes: u64,
    },
    /// It is another one.
    #[error("the blob has the digest {actual}, but {expected} was expected")]
    Digest {
        /// The digest that it should have.
        expected: BlobDigest,
        /// The digest that it has.
        actual: BlobDigest,
    },
    /// It is the right one, but does not inflate.
    #[error(transparent)]
    Corrupt(CorruptBlob),
    /// It is the right one, but compressed with something that layers may not be compressed with.
    #[error(
        "the blob is compressed with {format}, which no specification allows; layers are tar, plain or with gzip or zstd"
    )]
    Unsupported {
        /// The compression.
        format: &'static str,
    },
    /// Its content is refused, or could not be stored.
    #[error(transparent)]
    Layer(ScanError),
    /// What is wrong with its content was found so long before its end that the rest was not read, and nobody knows
    /// whether it is the right one.
    #[error("{0} (so the rest of the blob was not read)")]
    Broken(Box<IngestError>),
}

/// How much larger a layer's record may be than the layer. Every entry of a record is smaller than the tar's header
/// that it stands for; but a global header of a tar gives any number of entries the same attributes at no cost.
pub(super) const RECORD_SLACK_BYTES: u64 = 1024 * 1024;

/// Why a layer's content is refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ScanError {
    /// It is not a tar that can be read.
    #[error(transparent)]
    Tar(#[from] tar::Error),
    /// A member is not what a layer may have.
    #[error("tar member \"{}\" at byte {offset}: {problem}", name.escape_ascii())]
    Member {
        /// The member's name, cut after 255 bytes.
        name: Vec<u8>,
        /// Where its first header starts in the uncompressed layer, in bytes.
        offset: u64,
        /// What is wrong with it.
        problem: MemberProblem,
    },
    /// It unpacks to more than any compression needs for an honest content.
    #[error("the layer unpacks to more than {limit_bytes} bytes from a blob of {blob_bytes}: this is a bomb")]
    TooLarge {
        /// The size of the blob.
        blob_bytes: u64,
        /// The most that it may unpack to.
        limit_bytes: u64,
    },
    /// The image wants more than it may have.
    #[error(transparent)]
    OverLimit(#[from] OverLimit),
    /// The record is larger than the layer.
    #[error(
        "after {unpacked_bytes} bytes its record has more: a header for all members repeats attributes in each of them"
    )]
    RecordTooLarge {
        /// How much of the layer was unpacked by then.
        unpacked_bytes: u64,
    },
    /// Another layer has failed, and this one is of no use any more.
    #[error("stopped because another layer failed")]
    Stopped,
    /// The store did not take something.
    #[error(transparent)]
    Store(#[from] sealpack_store::Error),
    /// The record could not be written.
    #[error("cannot write the layer's record: {0}")]
    Record(std::io::Error),
    /// A content could not be written.
    #[error("cannot write a file's content: {0}")]
    Content(std::io::Error),
}

impl ScanError {
    /// Whether the layer's bytes are to blame, and not the store.
    pub(crate) const fn is_content(&self) -> bool {
        matches!(
            self,
            Self::Tar(_)
                | Self::Member { .. }
                | Self::TooLarge { .. }
                | Self::OverLimit(_)
                | Self::RecordTooLarge { .. }
        )
    }
}

/// What is wrong with a member.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MemberProblem {
    /// Its name.
    #[error(transparent)]
    Name(#[from] PathProblem),
    /// The name that it links to.
    #[error("it is a hard link to \"{}\": {problem}", target.escape_ascii())]
    LinkTarget {
        /// The target, cut after 255 bytes.
        target: Vec<u8>,
        /// What is wrong with it.
        problem: PathProblem,
    },
    /// Its target.
    #[error("a symbolic link's target has 1 to {SYMLINK_MAX_BYTES} bytes and no NUL")]
    SymlinkTarget,
    /// Its device number.
    #[error("device {major}:{minor} is beyond what Linux takes (12 and 20 bits)")]
    Device {
        /// The major number.
        major: u32,
        /// The minor number.
        minor: u32,
    },
    /// Its path was there before.
    #[error("the layer has this path already (image-spec, layer.md: no duplicate entries)")]
    Duplicate,
}
