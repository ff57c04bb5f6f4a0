//! An image as the tree that it was made of.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::error::{Damage, ImageError, shown};
use super::inode::{FileContent, ImageInode};
use super::walk::{Budget, NamedInode};
use super::xattrs::Xattr;
use super::{Header, Image};
use crate::erofs::FormatVersion;
use crate::erofs::inode::FileType;
use crate::erofs::overlay;
use crate::tree::{Content, Directory, Inode, InodeId, Kind, Metadata, Tree, XattrPair, XattrPool, Xattrs};

impl Image<'_> {
    /// The tree that the image was made of: overlayfs's attributes unescaped or gone, whiteouts
    /// as such, without stubs. Writing it with the image's version gives the same image again.
    ///
    /// # Errors
    /// Anything in the image that composefs would not have written there and that could be
    /// taken for something else.
    pub fn to_tree(&self) -> Result<Tree, ImageError> {
        let mut reading = Reading::start(self)?;
        for found in self.walk() {
            reading.add(&found?)?;
        }
        Ok(reading.finish(self.header))
    }
}

/// What is known of an inode that was found.
struct Known<'a> {
    id: InodeId,
    /// Directory and name where it was found first or, once that is known, where the image has it.
    directory: InodeId,
    name: &'a [u8],
    /// Whether that is where the image has it.
    is_first_name: bool,
}

struct Reading<'a> {
    tree: Tree,
    root_nid: u64,
    known: HashMap<u64, Known<'a>>,
    /// The breadth-first rank of the next inode: the name that has it is the inode's first.
    rank: u32,
    /// Shared attributes by their offsets.
    shared: HashMap<u64, XattrPair>,
    shared_budget: Budget,
    pool: XattrPool,
}

impl<'a> Reading<'a> {
    fn start(image: &Image<'a>) -> Result<Self, ImageError> {
        let root = image.root()?;
        let mut reading = Self {
            tree: Tree::new(Metadata::default()),
            root_nid: root.nid(),
            known: HashMap::new(),
            rank: 1,
            shared: HashMap::new(),
            shared_budget: Budget::of(image),
            pool: XattrPool::default(),
        };
        let metadata = reading.metadata(&root)?;
        reading.tree.inode_mut(InodeId::ROOT).metadata = metadata;
        let known = Known { id: InodeId::ROOT, directory: InodeId::ROOT, name: b"", is_first_name: true };
        reading.known.insert(root.nid(), known);
        Ok(reading)
    }

    fn add(&mut self, found: &NamedInode<'a>) -> Result<(), ImageError> {
        let inode = &found.inode;
        let damaged = |damage: Damage| inode.damaged(damage);
        if inode.file_type() == FileType::CharDevice && inode.device_number() == 0 {
            let is_stub = found.directory == self.root_nid && overlay::is_stub_name(found.name);
            if !is_stub || found.again {
                return Err(damaged(Damage::BareWhiteout));
            }
            self.rank = self.rank.saturating_add(1);
            return Ok(());
        }
        let directory = self.known.get(&found.directory).map_or(InodeId::ROOT, |known| known.id);
        let is_ranked = inode.number() == self.rank;
        if !found.again {
            let id = {
                let inode = self.inode(inode)?;
                self.tree.insert(directory, found.name, inode).map_err(|error| damaged(error.into()))?
            };
            // Directories have one name; only files may be found at another name first.
            let is_first_name = is_ranked || inode.file_type() == FileType::Directory;
            self.rank = self.rank.saturating_add(u32::from(is_first_name));
            self.known.insert(inode.nid(), Known { id, directory, name: found.name, is_first_name });
            return Ok(());
        }
        // The walk has found it before, and everything but stubs is remembered.
        let Some(known) = self.known.get_mut(&inode.nid()) else { return Ok(()) };
        self.tree.link(directory, found.name, known.id).map_err(|error| damaged(error.into()))?;
        if !known.is_first_name && is_ranked {
            self.rank = self.rank.saturating_add(1);
            *known = Known { id: known.id, directory, name: found.name, is_first_name: true };
        }
        if known.is_first_name {
            self.tree.set_first_name(known.id, known.directory, known.name);
        }
        Ok(())
    }

    fn inode(&mut self, inode: &ImageInode<'a>) -> Result<Inode, ImageError> {
        let kind = match inode.file_type() {
            FileType::Directory => Kind::Directory(Directory::default()),
            FileType::Regular => Kind::Regular(match inode.content()? {
                FileContent::Inline(bytes) => Content::Inline(bytes.into()),
                FileContent::External(external) => external.into(),
            }),
            FileType::Symlink => Kind::Symlink(inode.symlink_target()?.into()),
            FileType::CharDevice => Kind::CharDevice(inode.device_number()),
            FileType::BlockDevice => Kind::BlockDevice(inode.device_number()),
            FileType::Fifo => Kind::Fifo,
            FileType::Socket => Kind::Socket,
        };
        let mut result = Inode::new(self.metadata(inode)?, kind);
        if inode.file_type() != FileType::Directory {
            result.stated_links = Some(inode.links());
        }
        Ok(result)
    }

    fn metadata(&mut self, inode: &ImageInode<'a>) -> Result<Metadata, ImageError> {
        let mut xattrs = Xattrs::default();
        for xattr in inode.xattrs()? {
            let xattr = xattr?;
            if let Some((key, value)) =
                self.tree_xattr(inode, &xattr).map_err(|damage| inode.damaged(damage))?
            {
                if xattrs.get(&key).is_some() {
                    return Err(inode.damaged(Damage::Xattrs("a name occurs twice")));
                }
                xattrs.insert_shared(key, value);
            }
        }
        Ok(Metadata {
            permissions: inode.permissions(),
            uid: inode.uid(),
            gid: inode.gid(),
            mtime: inode.mtime(),
            xattrs: self.pool.share(xattrs),
        })
    }

    /// What an attribute of the image was in the tree, if it was there.
    fn tree_xattr(&mut self, inode: &ImageInode<'a>, xattr: &Xattr<'a>) -> Result<Option<XattrPair>, Damage> {
        let key = xattr.key();
        let key: Vec<u8> =
            match (key.strip_prefix(overlay::ESCAPED_PREFIX), key.strip_prefix(overlay::PREFIX)) {
                (Some(rest), _) => [overlay::PREFIX, rest].concat(),
                (None, None) => key,
                (None, Some(_)) => {
                    let is_root = inode.nid() == self.root_nid;
                    let is_composefs = inode.is_external()
                        && [overlay::METACOPY, overlay::REDIRECT].contains(&&key[..])
                        || is_root && key == overlay::OPAQUE && xattr.value == overlay::OPAQUE_VALUE;
                    return if is_composefs { Ok(None) } else { Err(Damage::BareOverlay(shown(&key))) };
                }
            };
        let Some(offset) = xattr.shared_offset else {
            return Ok(Some((key.into(), xattr.value.into())));
        };
        if let Some((key, value)) = self.shared.get(&offset) {
            return Ok(Some((Arc::clone(key), Arc::clone(value))));
        }
        self.shared_budget.take(xattr.entry_bytes())?;
        let pair: XattrPair = (key.into(), xattr.value.into());
        self.shared.insert(offset, (Arc::clone(&pair.0), Arc::clone(&pair.1)));
        Ok(Some(pair))
    }

    fn finish(mut self, header: Header) -> Tree {
        self.restore_whiteouts(header.version);
        for known in self.known.values() {
            let inode = self.tree.inode_mut(known.id);
            inode.stated_links = inode.stated_links.filter(|stated| *stated != inode.names());
        }
        self.tree
    }

    /// Makes whiteouts of the empty files that stand for them. Such a file and its directory both
    /// have marks; either alone was the tree's own.
    fn restore_whiteouts(&mut self, version: FormatVersion) {
        let marks = if version >= FormatVersion::V1 { 4 } else { 2 };
        let parent_marks = overlay::PARENT_MARKS.get(..marks).unwrap_or_default();
        let mut directories = BTreeSet::new();
        for known in self.known.values() {
            let inode = self.tree.inode(known.id);
            let is_empty = matches!(&inode.kind, Kind::Regular(content) if content.size_bytes() == 0);
            let parent = &self.tree.inode(known.directory).metadata.xattrs;
            if is_empty
                && has_marks(&inode.metadata.xattrs, &overlay::WHITEOUT_MARKS)
                && has_marks(parent, parent_marks)
            {
                directories.insert(known.directory);
                let inode = self.tree.inode_mut(known.id);
                inode.kind = Kind::CharDevice(0);
                drop_marks(&mut inode.metadata.xattrs, &overlay::WHITEOUT_MARKS, &mut self.pool);
            }
        }
        for directory in directories {
            let xattrs = &mut self.tree.inode_mut(directory).metadata.xattrs;
            drop_marks(xattrs, parent_marks, &mut self.pool);
        }
    }
}

/// A mark's name without the escape that it has in the image.
fn unescaped(key: &[u8]) -> Vec<u8> {
    match key.strip_prefix(overlay::ESCAPED_PREFIX) {
        Some(rest) => [overlay::PREFIX, rest].concat(),
        None => key.into(),
    }
}

fn has_marks(xattrs: &Xattrs, marks: &[(&[u8], &[u8])]) -> bool {
    marks.iter().all(|(key, value)| xattrs.get(&unescaped(key)) == Some(*value))
}

fn drop_marks(xattrs: &mut Xattrs, marks: &[(&[u8], &[u8])], pool: &mut XattrPool) {
    let marks: Vec<Vec<u8>> = marks.iter().map(|(key, _)| unescaped(key)).collect();
    xattrs.retain(|key, _| !marks.iter().any(|mark| mark == key));
    *xattrs = pool.share(std::mem::take(xattrs));
}
