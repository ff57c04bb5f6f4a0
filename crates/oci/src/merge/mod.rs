//! Layers into one tree: whiteouts, opaque directories, hard links, and the rules that
//! make the result the same wherever it is computed.

mod error;
mod place;
#[cfg(test)]
mod tests;

pub use error::{EntryProblem, MergeError};

use error::XATTRS_MAX_BYTES;
use place::Steps;
use sealpack_format::layer::{LayerEntry, LayerError, LayerItem, LayerKind};
use sealpack_format::tree::{Content, Directory, Inode, InodeId, Kind, Metadata, Time, Tree};

use crate::budget::{Budget, Limit, Limits};

/// What an inode takes of memory beside its names and contents: its place in the tree, and in the tables by which a
/// metadata image is written.
const INODE_MEMORY_BYTES: u64 = size_of::<Option<Inode>>() as u64 + 48;

/// What a name takes beside its bytes: its place in its directory, and what an allocation costs.
const NAME_MEMORY_BYTES: u64 = 64;

/// What a directory takes beside its inode and its names' shares: a node of its tree of names, however empty.
const DIRECTORY_MEMORY_BYTES: u64 = 240;

/// What a file takes that is an object: the attributes that lead to it, in the table of those that inodes share.
const OBJECT_MEMORY_BYTES: u64 = 64;

/// What a set of attributes takes, and each of them beside its bytes.
const XATTR_MEMORY_BYTES: u64 = 128;

/// Which extended attributes of the layers reach the image.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum XattrRule {
    /// `security.capability` alone: what a build host's security modules leave in layers
    /// (labels above all) would make the image depend on where it was built.
    #[default]
    Capabilities,
    /// `user.*` too, the second mode of composefs-rs.
    CapabilitiesAndUser,
}

impl XattrRule {
    fn keeps(self, key: &[u8]) -> bool {
        key == b"security.capability" || self == Self::CapabilitiesAndUser && key.starts_with(b"user.")
    }
}

/// Puts layers on top of each other, the lowest first.
pub struct Merger {
    tree: Tree,
    xattrs: XattrRule,
    xattr_bytes: usize,
    steps: Steps,
    layer: usize,
    budget: Budget,
}

impl Merger {
    /// An empty image, which may take so much.
    #[must_use]
    pub fn new(xattrs: XattrRule, limits: Limits) -> Self {
        let (tree, steps) = (Tree::new(implied_directory()), Steps::new());
        Self { tree, xattrs, xattr_bytes: 0, steps, layer: 0, budget: Budget::new(limits) }
    }

    /// How much memory the image is counted for so far, in bytes.
    #[must_use]
    pub fn memory_bytes(&self) -> u64 {
        self.budget.spent(Limit::Memory)
    }

    /// Puts the next layer on top.
    ///
    /// `entries` gives the layer's entries anew at each call; there are two: whiteouts
    /// hide the layers below and nothing of their own layer, wherever in it they stand
    /// (image-spec, layer.md, "Whiteouts"), so they come first.
    ///
    /// # Errors
    /// [`MergeError`] names the layer and the entry; the merger is of no use then.
    pub fn apply<I>(&mut self, entries: impl Fn() -> Result<I, LayerError>) -> Result<(), MergeError>
    where
        I: IntoIterator<Item = Result<LayerEntry, LayerError>>,
    {
        self.layer += 1;
        let layer = self.layer;
        let damaged = |source| MergeError::Record { layer, source };
        let start = |entry: &LayerEntry| entry.path[..entry.path.len().min(255)].to_vec();
        for entry in entries().map_err(damaged)? {
            let entry = entry.map_err(damaged)?;
            self.hide(&entry).map_err(|problem| MergeError::Entry { layer, path: start(&entry), problem })?;
        }
        for entry in entries().map_err(damaged)? {
            let entry = entry.map_err(damaged)?;
            let path = start(&entry);
            let (inodes, content_bytes) = (self.tree.capacity(), memory_of(&entry, self.xattrs));
            let path_bytes = entry.path.len() as u64;
            self.add(entry).map_err(|problem| MergeError::Entry { layer, path, problem })?;
            // Its own, and those of the directories above it that no entry was there for.
            let new = (self.tree.capacity() - inodes) as u64;
            let inode_bytes = new * (INODE_MEMORY_BYTES + NAME_MEMORY_BYTES);
            let implied_bytes = new.saturating_sub(1) * DIRECTORY_MEMORY_BYTES;
            let bytes = inode_bytes + implied_bytes + path_bytes + content_bytes;
            let spent =
                self.budget.spend(Limit::Members, 1).and_then(|()| self.budget.spend(Limit::Memory, bytes));
            spent.map_err(|source| MergeError::OverLimit { layer, source })?;
        }
        Ok(())
    }

    /// The image: root and /run are made what they are wherever the image is built.
    ///
    /// Tars often lack an entry for the root, and builders mount things on /run; so the
    /// root takes the metadata of /usr, and /run is emptied and takes its time. An image
    /// without /usr keeps the root that it has.
    #[must_use]
    pub fn finish(self) -> Tree {
        let mut tree = self.tree;
        let directory = |tree: &Tree, name: &[u8]| {
            tree.child(InodeId::ROOT, name).filter(|id| tree.inode(*id).as_directory().is_some())
        };
        if let Some(usr) = directory(&tree, b"usr") {
            let metadata = tree.inode(usr).metadata.clone();
            tree.inode_mut(InodeId::ROOT).metadata = metadata;
        }
        if let Some(run) = directory(&tree, b"run") {
            tree.clear(run);
            tree.inode_mut(run).metadata.mtime = tree.root().metadata.mtime;
        }
        tree
    }

    /// Removes what a whiteout or opaque entry hides. What is not there cannot be hidden.
    fn hide(&mut self, entry: &LayerEntry) -> Result<(), EntryProblem> {
        match entry.item {
            LayerItem::Whiteout => {
                if let Some((parent, name)) = place::find(&self.tree, &entry.path, &mut self.steps)? {
                    self.tree.remove(parent, name);
                }
            }
            LayerItem::Opaque => {
                if let Some(directory) = place::directory(&self.tree, &entry.path, &mut self.steps)? {
                    self.tree.clear(directory);
                }
            }
            LayerItem::Inode(..) | LayerItem::HardLink(_) => {}
        }
        Ok(())
    }

    fn add(&mut self, entry: LayerEntry) -> Result<(), EntryProblem> {
        match entry.item {
            LayerItem::Inode(mut metadata, kind) => {
                metadata.xattrs.retain(|key, _| self.xattrs.keeps(key));
                self.xattr_bytes +=
                    metadata.xattrs.iter().map(|(key, value)| key.len() + value.len()).sum::<usize>();
                if self.xattr_bytes > XATTRS_MAX_BYTES {
                    return Err(EntryProblem::TooManyXattrs);
                }
                self.add_inode(&entry.path, metadata, kind)
            }
            LayerItem::HardLink(target) => self.add_link(&entry.path, target),
            LayerItem::Whiteout | LayerItem::Opaque => Ok(()),
        }
    }

    fn add_inode(&mut self, path: &[u8], metadata: Metadata, kind: LayerKind) -> Result<(), EntryProblem> {
        let is_directory = kind == LayerKind::Directory;
        if path.is_empty() {
            if !is_directory {
                return Err(EntryProblem::Root);
            }
            self.tree.inode_mut(InodeId::ROOT).metadata = metadata;
            return Ok(());
        }
        let (parent, name) = place::make(&mut self.tree, path, &implied_directory(), &mut self.steps)?;
        if let Some(present) = self.tree.child(parent, name) {
            let inode = self.tree.inode_mut(present);
            if is_directory && inode.as_directory().is_some() {
                inode.metadata = metadata;
                return Ok(());
            }
            self.tree.remove(parent, name);
        }
        self.tree.insert(parent, name, Inode::new(metadata, kind_of(kind)))?;
        Ok(())
    }

    fn add_link(&mut self, path: &[u8], target: Vec<u8>) -> Result<(), EntryProblem> {
        let found = place::find(&self.tree, &target, &mut self.steps)?;
        let Some(inode) = found.and_then(|(parent, name)| self.tree.child(parent, name)) else {
            return Err(EntryProblem::LinkToNothing(target));
        };
        if self.tree.inode(inode).as_directory().is_some() {
            return Err(EntryProblem::LinkToDirectory(target));
        }
        let (parent, name) = place::make(&mut self.tree, path, &implied_directory(), &mut self.steps)?;
        match self.tree.child(parent, name) {
            Some(present) if present == inode => return Ok(()),
            Some(present) if place::contains(&self.tree, present, inode) => {
                return Err(EntryProblem::LinkToNothing(target));
            }
            Some(_) => _ = self.tree.remove(parent, name),
            None => {}
        }
        Ok(self.tree.link(parent, name, inode)?)
    }
}

/// What an entry takes of memory beside the inodes that it makes.
fn memory_of(entry: &LayerEntry, xattrs: XattrRule) -> u64 {
    let LayerItem::Inode(metadata, kind) = &entry.item else {
        // A further name, and where it is noted that the inode has several.
        return NAME_MEMORY_BYTES + OBJECT_MEMORY_BYTES;
    };
    let kept = metadata.xattrs.iter().filter(|(key, _)| xattrs.keeps(key));
    let xattrs: u64 = kept.map(|(key, value)| (key.len() + value.len()) as u64 + XATTR_MEMORY_BYTES).sum();
    xattrs
        + match kind {
            LayerKind::Regular(Content::Inline(bytes)) => bytes.len() as u64 + 16,
            LayerKind::Regular(_) => OBJECT_MEMORY_BYTES,
            LayerKind::Symlink(target) => target.len() as u64 + 16,
            LayerKind::Directory => DIRECTORY_MEMORY_BYTES,
            _ => 0,
        }
}

/// What a directory gets that no layer has an entry for.
fn implied_directory() -> Metadata {
    Metadata { permissions: 0o755, uid: 0, gid: 0, mtime: Time::default(), ..Metadata::default() }
}

fn kind_of(kind: LayerKind) -> Kind {
    match kind {
        LayerKind::Directory => Kind::Directory(Directory::default()),
        LayerKind::Regular(content) => Kind::Regular(content),
        LayerKind::Symlink(target) => Kind::Symlink(target.into()),
        LayerKind::CharDevice(number) => Kind::CharDevice(number),
        LayerKind::BlockDevice(number) => Kind::BlockDevice(number),
        LayerKind::Fifo => Kind::Fifo,
    }
}
