//! An uncompressed layer into its record and its objects.

use sealpack_format::DiffId;
use sealpack_format::layer::{LayerEntry, LayerItem, LayerKind, LayerWriter};
use sealpack_format::tar::{self, Event, Member, MemberKind};
use sealpack_format::tree::{Metadata, SYMLINK_MAX_BYTES, device_number};
use sealpack_store::{LayerFile, ObjectForm, PackFile, Staging};

use super::duplicates::SeenPaths;
use super::paths::{self, Meaning, PathProblem};
use super::sink::Sink;
use super::stream::Stream;

/// The most entries of one layer; see [`crate::merge::INODES_MAX`].
const ENTRIES_MAX: u64 = 10_000_000;

/// The most bytes of extended attributes in one layer's record. A global header of a tar can
/// give every entry the same ones at no cost.
const XATTRS_MAX_BYTES: usize = 256 * 1024 * 1024;

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
    /// The pack, where there is to be one, with all objects, waiting to be finished.
    pub(super) pack: Option<PackFile<'a>>,
    /// The length of the stream.
    pub(super) size_bytes: u64,
}

/// Reads one layer.
pub(super) struct LayerScan<'a, 'c> {
    stream: Stream<'c>,
    sink: Sink<'a>,
    record: LayerWriter<LayerFile<'a>>,
    seen: SeenPaths,
    entries: u64,
    xattr_bytes: usize,
}

impl<'a, 'c> LayerScan<'a, 'c> {
    /// The layer in `stream`, whose contents go to `staging` in that form.
    pub(super) fn new(
        staging: &'a Staging<'a>,
        form: ObjectForm,
        stream: Stream<'c>,
    ) -> Result<Self, ScanError> {
        let algorithm = staging.store().algorithm();
        Ok(Self {
            stream,
            sink: Sink::new(staging, form)?,
            record: LayerWriter::new(staging.layer_writer()?, algorithm).map_err(ScanError::Record)?,
            seen: SeenPaths::new(),
            entries: 0,
            xattr_bytes: 0,
        })
    }

    /// Reads the whole layer.
    pub(super) fn run(mut self) -> Result<Scanned<'a>, ScanError> {
        loop {
            match self.stream.event()? {
                Event::Member(member) => self.member(member)?,
                // Contents of members that are not kept.
                Event::Data(_) | Event::Hole(_) | Event::MemberEnd => {}
                Event::NeedInput => {
                    if !self.stream.refill()? {
                        break;
                    }
                }
                Event::End => break,
            }
        }
        let (diff_id, size_bytes) = self.stream.finish()?;
        let record = self.record.finish().map_err(ScanError::Record)?;
        Ok(Scanned { diff_id, record, pack: self.sink.into_pack(), size_bytes })
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
                let Some(content) = self.sink.take(&mut self.stream, member.size)? else { return Ok(()) };
                LayerKind::Regular(content)
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
