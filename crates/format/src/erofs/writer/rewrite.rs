//! What an inode of the tree becomes in the image: overlayfs attributes escaped and added,
//! whiteouts as empty files, stubs in the root. Done anew for each inode whenever it is
//! needed, so that no second tree is.

use std::borrow::Cow;

use super::order::{Order, Slot, to_usize};
use super::{InodeError, WriteError};
use crate::digest::ObjectId;
use crate::erofs::inode::{Chunks, FileType};
use crate::erofs::{FormatVersion, INLINE_CONTENT_MAX_BYTES, overlay, xattr};
use crate::tree::{Content, Inode, Kind, Metadata, SYMLINK_MAX_BYTES, Time};

/// An attribute as the image has it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Attribute<'t> {
    pub(super) key: Cow<'t, [u8]>,
    pub(super) value: Cow<'t, [u8]>,
}

/// What the data of an inode is.
#[derive(Debug, Clone, Copy)]
pub(super) enum Data<'t> {
    /// None; devices have a number.
    None { rdev: u32 },
    /// Entries.
    Directory,
    /// These bytes, of a file.
    Inline(&'t [u8]),
    /// These bytes, of a symbolic link.
    Target(&'t [u8]),
    /// Outside the image.
    External { size_bytes: u64, chunks: Chunks },
}

/// An inode as the image has it, without attributes.
#[derive(Debug, Clone, Copy)]
pub(super) struct InodeFields<'t> {
    pub(super) file_type: FileType,
    pub(super) permissions: u16,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) mtime: Time,
    pub(super) data: Data<'t>,
}

impl InodeFields<'_> {
    /// The size of what is not a directory.
    pub(super) fn size_bytes(&self) -> u64 {
        match self.data {
            Data::None { .. } | Data::Directory => 0,
            Data::Inline(bytes) | Data::Target(bytes) => u64::try_from(bytes.len()).unwrap_or(u64::MAX),
            Data::External { size_bytes, .. } => size_bytes,
        }
    }
}

/// The type that an inode of the tree has in the image.
pub(super) const fn file_type(kind: &Kind) -> FileType {
    match kind {
        Kind::CharDevice(0) => FileType::Regular,
        kind => FileType::of(kind),
    }
}

impl<'t> Order<'t> {
    /// The type of the inode at `place`.
    pub(super) fn file_type(&self, place: u32) -> FileType {
        let id = self.slots.get(to_usize(place)).and_then(|slot| slot.id);
        id.map_or(FileType::CharDevice, |id| file_type(&self.tree.inode(id).kind))
    }

    /// The inode in `slot` at `place`, checked.
    pub(super) fn facts(&self, place: u32, slot: &Slot) -> Result<InodeFields<'t>, WriteError> {
        let Some(id) = slot.id else {
            let Metadata { uid, gid, mtime, .. } = self.tree.root().metadata;
            let permissions = overlay::STUB_PERMISSIONS;
            let data = Data::None { rdev: 0 };
            return Ok(InodeFields { file_type: FileType::CharDevice, permissions, uid, gid, mtime, data });
        };
        let inode = self.tree.inode(id);
        let Metadata { permissions, uid, gid, mtime, .. } = inode.metadata;
        let data = data(inode).map_err(|what| self.error(place, what))?;
        let permissions = permissions & 0o7777;
        Ok(InodeFields { file_type: file_type(&inode.kind), permissions, uid, gid, mtime, data })
    }

    /// The link count of the inode in `slot`.
    pub(super) fn links(&self, slot: &Slot) -> u32 {
        let Some(id) = slot.id else { return 1 };
        let inode = self.tree.inode(id);
        match &inode.kind {
            Kind::Directory(directory) => {
                let is_directory = |id| self.tree.inode(id).as_directory().is_some();
                let below = directory.iter().filter(|(_, id)| is_directory(*id)).count();
                u32::try_from(below).unwrap_or(u32::MAX).saturating_add(2)
            }
            _ => inode.stated_links.unwrap_or(inode.names()),
        }
    }

    /// Puts the attributes of the inode in `slot` into `attributes`, sorted by key.
    pub(super) fn attributes(
        &self,
        slot: &Slot,
        version: FormatVersion,
        attributes: &mut Vec<Attribute<'t>>,
    ) {
        attributes.clear();
        let Some(id) = slot.id else {
            if let Some(label) = self.tree.root().metadata.xattrs.get(overlay::SELINUX) {
                attributes.push(Attribute { key: overlay::SELINUX.into(), value: label.into() });
            }
            return;
        };
        let inode = self.tree.inode(id);
        attributes.extend(inode.metadata.xattrs.iter().map(|(key, value)| {
            let key = match key.strip_prefix(overlay::PREFIX) {
                Some(rest) => [overlay::ESCAPED_PREFIX, rest].concat().into(),
                None => key.into(),
            };
            Attribute { key, value: value.into() }
        }));
        match &inode.kind {
            Kind::Regular(content) => add_content_marks(content, attributes),
            Kind::CharDevice(0) => set(attributes, &overlay::WHITEOUT_MARKS),
            _ => {}
        }
        if slot.has_whiteouts {
            let marks = if version >= FormatVersion::V1 { 4 } else { 2 };
            set(attributes, overlay::PARENT_MARKS.get(..marks).unwrap_or_default());
        }
        if id == crate::tree::InodeId::ROOT {
            set(attributes, &[(overlay::OPAQUE, overlay::OPAQUE_VALUE)]);
        }
        attributes.sort_unstable_by(|one, other| one.key.cmp(&other.key));
    }

    /// Checks the attributes of the inode at `place`.
    pub(super) fn check_attributes(
        &self,
        place: u32,
        attributes: &[Attribute<'_>],
    ) -> Result<(), WriteError> {
        attributes.iter().try_for_each(|attribute| {
            let (_, suffix) = xattr::split_key(&attribute.key);
            let name = || attribute.key.get(..300).unwrap_or(&attribute.key).escape_ascii().to_string();
            if attribute.key.is_empty() || suffix.len() > 255 || attribute.key.contains(&0) {
                return Err(self.error(place, InodeError::XattrName { name: name() }));
            }
            if attribute.value.len() > usize::from(u16::MAX) {
                let bytes = attribute.value.len();
                return Err(self.error(place, InodeError::XattrValue { name: name(), bytes }));
            }
            Ok(())
        })
    }

    pub(super) fn error(&self, place: u32, what: InodeError) -> WriteError {
        WriteError::Inode { path: self.path(place), what }
    }
}

/// The data of an inode of the tree, checked.
fn data(inode: &Inode) -> Result<Data<'_>, InodeError> {
    let external = |size_bytes| {
        let chunks = Chunks::of(size_bytes).ok_or(InodeError::FileSize(size_bytes))?;
        Ok(Data::External { size_bytes, chunks })
    };
    match &inode.kind {
        Kind::Directory(_) => Ok(Data::Directory),
        Kind::Regular(content) if content.size_bytes() == 0 => Ok(Data::Inline(b"")),
        Kind::Regular(Content::Inline(bytes)) if bytes.len() > INLINE_CONTENT_MAX_BYTES => {
            Err(InodeError::InlineContent(bytes.len()))
        }
        Kind::Regular(Content::Inline(bytes)) => Ok(Data::Inline(bytes)),
        Kind::Regular(Content::Object { size, .. }) => external(*size),
        Kind::Regular(Content::External { path, .. }) if path.len() > 4095 || path.contains(&0) => {
            Err(InodeError::ContentPath)
        }
        Kind::Regular(Content::External { size, .. }) => external(*size),
        Kind::Symlink(target) if (1..=SYMLINK_MAX_BYTES).contains(&target.len()) && !target.contains(&0) => {
            Ok(Data::Target(target))
        }
        Kind::Symlink(_) => Err(InodeError::SymlinkTarget),
        Kind::CharDevice(rdev) | Kind::BlockDevice(rdev) => Ok(Data::None { rdev: *rdev }),
        Kind::Fifo | Kind::Socket => Ok(Data::None { rdev: 0 }),
    }
}

/// Says where a content outside the image is, and what its digest is.
fn add_content_marks<'t>(content: &'t Content, attributes: &mut Vec<Attribute<'t>>) {
    let (digest, path): (Option<&ObjectId>, Cow<'t, [u8]>) = match content {
        _ if content.size_bytes() == 0 => return,
        Content::Inline(_) => return,
        Content::Object { id, .. } => (Some(id), id.object_path().into_bytes().into()),
        Content::External { path, digest, .. } => (digest.as_ref(), path.as_ref().into()),
    };
    let metacopy = digest.map(overlay::metacopy).unwrap_or_default();
    attributes.push(Attribute { key: overlay::METACOPY.into(), value: metacopy.into() });
    if !path.is_empty() {
        let redirect = [b"/", path.as_ref()].concat();
        attributes.push(Attribute { key: overlay::REDIRECT.into(), value: redirect.into() });
    }
}

/// Sets attributes, replacing what there is of the same name.
fn set<'t>(attributes: &mut Vec<Attribute<'t>>, marks: &[(&'static [u8], &'static [u8])]) {
    for (key, value) in marks {
        attributes.retain(|attribute| attribute.key != *key);
        attributes.push(Attribute { key: (*key).into(), value: (*value).into() });
    }
}
