//! An uncompressed layer into its record and its objects.

use sealpack_format::layer::{LayerEntry, LayerItem, LayerKind, LayerWriter};
use sealpack_format::tar::{Event, Member, MemberKind};
use sealpack_format::tree::{Metadata, SYMLINK_MAX_BYTES, device_number};
use sealpack_store::{LayerFile, ObjectForm, Staging};

use super::duplicates::SeenPaths;
use super::error::{MemberProblem, RECORD_SLACK_BYTES, ScanError};
use super::layer::Ingested;
use super::paths::{self, Meaning};
use super::sink::Sink;
use super::stream::Stream;
use crate::budget::Limit;

/// Reads one layer.
pub(super) struct LayerScan<'a, 'c> {
    stream: Stream<'a, 'c>,
    sink: Sink<'a>,
    record: LayerWriter<LayerFile<'a>>,
    seen: SeenPaths,
}

impl<'a, 'c> LayerScan<'a, 'c> {
    /// The layer in `stream`, whose contents go to `staging` in that form.
    pub(super) fn new(
        staging: &'a Staging<'a>,
        form: ObjectForm,
        stream: Stream<'a, 'c>,
    ) -> Result<Self, ScanError> {
        let algorithm = staging.store().algorithm();
        Ok(Self {
            stream,
            sink: Sink::new(staging, form)?,
            record: LayerWriter::new(staging.layer_writer()?, algorithm).map_err(ScanError::Record)?,
            seen: SeenPaths::new(),
        })
    }

    /// Reads the whole layer.
    pub(super) fn run(mut self) -> Result<Ingested<'a>, ScanError> {
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
        let (diff_id, size_bytes, share) = self.stream.finish()?;
        let record = self.record.finish().map_err(ScanError::Record)?;
        Ok(Ingested { diff_id, record, pack: self.sink.into_pack(), size_bytes, share })
    }

    fn member(&mut self, member: Member) -> Result<(), ScanError> {
        let (name, offset) = (cut(&member.path), member.offset);
        self.stream.share().take(Limit::Members, 1)?;
        self.begin(member).map_err(|error| match error {
            Unfit::Problem(problem) => ScanError::Member { name, offset, problem },
            Unfit::Other(error) => error,
        })
    }

    fn begin(&mut self, member: Member) -> Result<(), Unfit> {
        let path = match paths::meaning(&member.path).map_err(MemberProblem::Name)? {
            Meaning::Path(path) => path,
            Meaning::Whiteout(path) => return Ok(self.write(LayerEntry { path, item: LayerItem::Whiteout })?),
            Meaning::Opaque(path) => return Ok(self.write(LayerEntry { path, item: LayerItem::Opaque })?),
            Meaning::Nothing => return Ok(()),
        };
        self.stream.share().take(Limit::Memory, SeenPaths::PATH_BYTES).map_err(ScanError::from)?;
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
        let before = self.record.size_bytes();
        self.record.push(&entry).map_err(ScanError::Record)?;
        let (record_bytes, unpacked_bytes) = (self.record.size_bytes(), self.stream.size_bytes());
        if record_bytes > unpacked_bytes.saturating_add(RECORD_SLACK_BYTES) {
            return Err(ScanError::RecordTooLarge { unpacked_bytes });
        }
        Ok(self.stream.share().take(Limit::Records, record_bytes - before)?)
    }
}

/// An error on the way into a member, before it is known by name.
enum Unfit {
    Problem(MemberProblem),
    Other(ScanError),
}

impl From<MemberProblem> for Unfit {
    fn from(problem: MemberProblem) -> Self {
        Self::Problem(problem)
    }
}

impl From<ScanError> for Unfit {
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
