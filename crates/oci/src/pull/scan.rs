//! An uncompressed layer, chunk by chunk, into its record and its objects.

use std::io::Write;

use sealpack_format::layer::{INLINE_MAX_BYTES, LayerEntry, LayerItem, LayerKind, LayerWriter};
use sealpack_format::tar::{self, Event, Member, MemberKind};
use sealpack_format::tree::{Content, Metadata, SYMLINK_MAX_BYTES, device_number};
use sealpack_format::verity::FsVerityHasher;
use sealpack_format::{Algorithm, DiffId};
use sealpack_kernel::sha256::leaf_hash;
use sealpack_store::{LayerFile, ObjectWriter, Staging};

use super::duplicates::SeenPaths;
use super::paths::{self, Meaning, PathProblem};
use crate::hash::BlobHasher;

/// Files up to this size are gathered in memory, so that a file that the store has
/// already is not written at all.
const GATHERED_MAX_BYTES: u64 = 1024 * 1024;

/// The most entries of one layer; see [`crate::merge::INODES_MAX`].
const ENTRIES_MAX: u64 = 10_000_000;

/// The most bytes of extended attributes in one layer's record. A global header of a tar can
/// give every entry the same ones at no cost.
const XATTRS_MAX_BYTES: usize = 256 * 1024 * 1024;

/// The most bytes of holes in one layer's sparse files; each has to be hashed.
const HOLES_MAX_BYTES: u64 = 64 * 1024 * 1024 * 1024;

/// How large a layer may become that comes in a blob of so many bytes: more than gzip can make of
/// it, and far less than a zstd blob that is made for nothing else.
fn unpacked_max_bytes(blob_bytes: u64) -> u64 {
    blob_bytes.saturating_mul(1100).saturating_add(1024 * 1024 * 1024)
}

/// Why a layer's content is refused.
#[derive(Debug, thiserror::Error)]
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
    /// The attributes of all entries are too large together.
    #[error("the layer has more than {} MiB of extended attributes", XATTRS_MAX_BYTES / 1024 / 1024)]
    TooManyXattrs,
    /// Another layer has failed, and this one is of no use any more.
    #[error("stopped because another layer failed")]
    Stopped,
    /// More than ten million entries.
    #[error("the layer has more than {ENTRIES_MAX} entries")]
    TooManyEntries,
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
    pub(super) const fn is_content(&self) -> bool {
        matches!(
            self,
            Self::Tar(_)
                | Self::Member { .. }
                | Self::TooLarge { .. }
                | Self::TooManyXattrs
                | Self::TooManyEntries
        )
    }
}

/// What is wrong with a member.
#[derive(Debug, thiserror::Error)]
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

/// What a scan has come to.
pub(super) struct Scanned<'a> {
    /// The digest of the stream.
    pub(super) diff_id: DiffId,
    /// The record, complete, waiting for its name.
    pub(super) record: LayerFile<'a>,
    /// The length of the stream.
    pub(super) size_bytes: u64,
}

/// Reads one layer.
pub(super) struct LayerScan<'a> {
    reader: tar::Reader,
    diff_id: BlobHasher,
    size_bytes: u64,
    content: ContentSink<'a>,
    record: LayerWriter<LayerFile<'a>>,
    seen: SeenPaths,
    entries: u64,
    xattr_bytes: usize,
    blob_bytes: u64,
    /// The regular file whose content is coming.
    file: Option<(LayerEntryHead, FileContent<'a>)>,
    ended: bool,
}

/// What an entry has beside its content.
struct LayerEntryHead {
    path: Vec<u8>,
    metadata: Metadata,
}

impl<'a> LayerScan<'a> {
    /// Starts a layer whose stream's digest should be `expected`, and which comes in a blob of
    /// `blob_bytes`; its contents go to `staging`.
    pub(super) fn new(
        staging: &'a Staging<'a>,
        expected: &DiffId,
        blob_bytes: u64,
    ) -> Result<Self, ScanError> {
        let algorithm = staging.store().algorithm();
        Ok(Self {
            reader: tar::Reader::new(tar::Limits { hole_bytes: HOLES_MAX_BYTES, ..tar::Limits::default() }),
            diff_id: BlobHasher::new(expected.algorithm()),
            size_bytes: 0,
            content: ContentSink { staging, algorithm },
            record: LayerWriter::new(staging.layer_writer()?, algorithm).map_err(ScanError::Record)?,
            seen: SeenPaths::new(),
            entries: 0,
            xattr_bytes: 0,
            blob_bytes,
            file: None,
            ended: false,
        })
    }

    /// Takes the next bytes of the layer.
    pub(super) fn push(&mut self, chunk: &[u8]) -> Result<(), ScanError> {
        self.diff_id.update(chunk);
        self.size_bytes += chunk.len() as u64;
        let limit_bytes = unpacked_max_bytes(self.blob_bytes);
        if self.size_bytes > limit_bytes {
            return Err(ScanError::TooLarge { blob_bytes: self.blob_bytes, limit_bytes });
        }
        let mut input = chunk;
        while !self.ended {
            match self.reader.next(&mut input)? {
                Event::NeedInput => break,
                Event::Member(member) => self.member(member)?,
                Event::Data(bytes) => {
                    if let Some((_, content)) = &mut self.file {
                        content.write(bytes)?;
                    }
                }
                Event::Hole(count) => {
                    if let Some((_, content)) = &mut self.file {
                        content.zeros(count)?;
                    }
                }
                Event::MemberEnd => self.end_member()?,
                Event::End => self.ended = true,
            }
        }
        Ok(())
    }

    /// Ends the layer.
    pub(super) fn finish(self) -> Result<Scanned<'a>, ScanError> {
        self.reader.finish()?;
        Ok(Scanned {
            diff_id: self.diff_id.finish_diff_id(),
            record: self.record.finish().map_err(ScanError::Record)?,
            size_bytes: self.size_bytes,
        })
    }

    fn member(&mut self, member: Member) -> Result<(), ScanError> {
        let (name, offset) = (cut(&member.path), member.offset);
        self.begin(member).map_err(|error| match error {
            Refusal::Problem(problem) => ScanError::Member { name, offset, problem },
            Refusal::Other(error) => error,
        })
    }

    fn begin(&mut self, member: Member) -> Result<(), Refusal> {
        let path = match paths::meaning(&member.path).map_err(MemberProblem::Name)? {
            Meaning::Path(path) => path,
            Meaning::Whiteout(path) => return Ok(self.write(LayerEntry { path, item: LayerItem::Whiteout })?),
            Meaning::Opaque(path) => return Ok(self.write(LayerEntry { path, item: LayerItem::Opaque })?),
            Meaning::Nothing => return Ok(()),
        };
        self.xattr_bytes += member.xattrs.iter().map(|(key, value)| key.len() + value.len()).sum::<usize>();
        if self.xattr_bytes > XATTRS_MAX_BYTES {
            return Err(Refusal::Other(ScanError::TooManyXattrs));
        }
        if !self.seen.admit(&path, matches!(member.kind, MemberKind::Directory)) {
            return Err(MemberProblem::Duplicate.into());
        }
        let metadata = Metadata {
            permissions: member.permissions,
            uid: member.uid,
            gid: member.gid,
            mtime: member.mtime,
            xattrs: member.xattrs,
        };
        let kind = match member.kind {
            MemberKind::Regular => {
                let content = self.content.begin(member.size)?;
                self.file = Some((LayerEntryHead { path, metadata }, content));
                return Ok(());
            }
            MemberKind::HardLink(target) => {
                let target = paths::link_target(&target)
                    .map_err(|problem| MemberProblem::LinkTarget { target: cut(&target), problem })?;
                return Ok(self.write(LayerEntry { path, item: LayerItem::HardLink(target) })?);
            }
            MemberKind::Symlink(target) => {
                if target.is_empty() || target.len() > SYMLINK_MAX_BYTES || target.contains(&0) {
                    return Err(MemberProblem::SymlinkTarget.into());
                }
                LayerKind::Symlink(target)
            }
            MemberKind::Directory => LayerKind::Directory,
            MemberKind::CharDevice { major, minor } => LayerKind::CharDevice(device(major, minor)?),
            MemberKind::BlockDevice { major, minor } => LayerKind::BlockDevice(device(major, minor)?),
            MemberKind::Fifo => LayerKind::Fifo,
        };
        Ok(self.write(LayerEntry { path, item: LayerItem::Inode(metadata, kind) })?)
    }

    fn end_member(&mut self) -> Result<(), ScanError> {
        let Some((head, content)) = self.file.take() else { return Ok(()) };
        let kind = LayerKind::Regular(content.finish()?);
        self.write(LayerEntry { path: head.path, item: LayerItem::Inode(head.metadata, kind) })
    }

    fn write(&mut self, entry: LayerEntry) -> Result<(), ScanError> {
        self.entries += 1;
        if self.entries > ENTRIES_MAX {
            return Err(ScanError::TooManyEntries);
        }
        self.record.push(&entry).map_err(ScanError::Record)
    }
}

/// An error on the way into a member, before it is known by name.
enum Refusal {
    Problem(MemberProblem),
    Other(ScanError),
}

impl From<MemberProblem> for Refusal {
    fn from(problem: MemberProblem) -> Self {
        Self::Problem(problem)
    }
}

impl From<ScanError> for Refusal {
    fn from(error: ScanError) -> Self {
        Self::Other(error)
    }
}

fn device(major: u32, minor: u32) -> Result<u32, MemberProblem> {
    device_number(major, minor).ok_or(MemberProblem::Device { major, minor })
}

/// A name for a message.
fn cut(name: &[u8]) -> Vec<u8> {
    name[..name.len().min(255)].to_vec()
}

/// Where contents go.
#[derive(Clone, Copy)]
struct ContentSink<'a> {
    staging: &'a Staging<'a>,
    algorithm: Algorithm,
}

/// A file's content on its way into the store.
enum FileContent<'a> {
    Gathered { bytes: Vec<u8>, sink: ContentSink<'a> },
    Written { writer: ObjectWriter<'a>, hasher: FsVerityHasher },
}

impl<'a> ContentSink<'a> {
    fn hasher(self) -> FsVerityHasher {
        FsVerityHasher::with_leaf_hash(self.algorithm, leaf_hash())
    }

    fn begin(self, size: u64) -> Result<FileContent<'a>, ScanError> {
        Ok(match usize::try_from(size) {
            Ok(capacity) if size <= GATHERED_MAX_BYTES => {
                FileContent::Gathered { bytes: Vec::with_capacity(capacity), sink: self }
            }
            _ => FileContent::Written { writer: self.staging.object_writer()?, hasher: self.hasher() },
        })
    }
}

impl FileContent<'_> {
    fn write(&mut self, data: &[u8]) -> Result<(), ScanError> {
        match self {
            Self::Gathered { bytes, .. } => bytes.extend_from_slice(data),
            Self::Written { writer, hasher } => {
                hasher.update(data);
                writer.write_all(data).map_err(ScanError::Content)?;
            }
        }
        Ok(())
    }

    fn zeros(&mut self, count: u64) -> Result<(), ScanError> {
        static ZEROS: [u8; 64 * 1024] = [0; 64 * 1024];
        match self {
            Self::Gathered { bytes, .. } => {
                let count = usize::try_from(count).unwrap_or(usize::MAX);
                bytes.resize(bytes.len().saturating_add(count), 0);
            }
            Self::Written { writer, hasher } => {
                let mut left = count;
                while left > 0 {
                    let piece = left.min(ZEROS.len() as u64);
                    hasher.update(&ZEROS[..piece as usize]);
                    left -= piece;
                }
                writer.skip(count)?;
            }
        }
        Ok(())
    }

    fn finish(self) -> Result<Content, ScanError> {
        match self {
            Self::Gathered { bytes, .. } if bytes.len() <= INLINE_MAX_BYTES => {
                Ok(Content::Inline(bytes.into()))
            }
            Self::Gathered { bytes, sink } => {
                let mut hasher = sink.hasher();
                hasher.update(&bytes);
                let id = hasher.finish();
                sink.staging.add_bytes(&id, &bytes)?;
                Ok(Content::Object { size: bytes.len() as u64, id })
            }
            Self::Written { writer, hasher } => {
                let size = hasher.size_bytes();
                let id = hasher.finish();
                writer.finish(&id)?;
                Ok(Content::Object { size, id })
            }
        }
    }
}
