//! Walking a path inside a tree, symbolic links followed, and all that is below a directory.

use std::collections::VecDeque;

use crate::tree::{InodeId, Kind, Tree};

/// The most symbolic links on one way (MAXSYMLINKS of Linux, include/linux/namei.h).
pub const LINKS_MAX: usize = 40;

/// The most names on one way, those in the targets of links included. A path has at most 2,048.
pub const STEPS_MAX: usize = 8192;

/// A walk from a tree's root, name by name. Nothing leads out of the tree: `..` of the
/// root is the root, and an absolute link starts at it.
#[derive(Debug)]
pub struct Walk {
    /// The names still to go.
    ahead: VecDeque<Vec<u8>>,
    /// The directories passed, the root not among them.
    passed: Vec<InodeId>,
    links: usize,
    steps: usize,
    /// How many of the names ahead, from the first on, are from the targets of links.
    linked_ahead: usize,
    /// The link whose target the last name is from.
    link: Option<Vec<u8>>,
}

/// What came of one name.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// It was a directory, entered now; or a link, whose names now lie ahead; or `..`.
    Taken,
    /// There is nothing of this name here.
    Missing(Vec<u8>),
    /// It is neither a directory nor a link.
    Leaf(Vec<u8>, InodeId),
    /// The way is too long: more links than [`LINKS_MAX`] or more names than [`STEPS_MAX`].
    TooLong(Vec<u8>),
}

impl Walk {
    /// A walk along `path`; slashes at either end and `.` mean nothing.
    #[must_use]
    pub fn new(path: &[u8]) -> Self {
        Self {
            ahead: names(path).collect(),
            passed: Vec::new(),
            links: 0,
            steps: 0,
            linked_ahead: 0,
            link: None,
        }
    }

    /// The directory that the walk has come to.
    #[must_use]
    pub fn here(&self) -> InodeId {
        self.passed.last().copied().unwrap_or(InodeId::ROOT)
    }

    /// The directories that lie between the root, which is not among them, and where the walk has come to, which is.
    #[must_use]
    pub fn passed(&self) -> &[InodeId] {
        &self.passed
    }

    /// The symbolic link whose target the last name was from, if it was from one.
    #[must_use]
    pub fn link(&self) -> Option<&[u8]> {
        self.link.as_deref()
    }

    /// How many names were taken.
    #[must_use]
    pub const fn steps(&self) -> usize {
        self.steps
    }

    /// Whether no name is left.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.ahead.is_empty()
    }

    /// Goes on in `directory`, which the caller has just made for a missing name.
    pub fn enter(&mut self, directory: InodeId) {
        self.passed.push(directory);
    }

    /// Takes the next name; `None` when there is none left.
    pub fn step(&mut self, tree: &Tree) -> Option<Step> {
        let name = self.ahead.pop_front()?;
        self.steps = self.steps.saturating_add(1);
        if self.steps > STEPS_MAX {
            return Some(Step::TooLong(name));
        }
        match self.linked_ahead.checked_sub(1) {
            Some(left) => self.linked_ahead = left,
            None => self.link = None,
        }
        if name == b".." {
            self.passed.pop();
            return Some(Step::Taken);
        }
        let Some(child) = tree.child(self.here(), &name) else { return Some(Step::Missing(name)) };
        match &tree.inode(child).kind {
            Kind::Directory(_) => self.enter(child),
            Kind::Symlink(target) => {
                self.links = self.links.saturating_add(1);
                if self.links > LINKS_MAX {
                    return Some(Step::TooLong(name));
                }
                if target.starts_with(b"/") {
                    self.passed.clear();
                }
                for name in names(target).collect::<Vec<_>>().into_iter().rev() {
                    self.ahead.push_front(name);
                    self.linked_ahead = self.linked_ahead.saturating_add(1);
                }
                self.link = Some(name);
            }
            _ => return Some(Step::Leaf(name, child)),
        }
        Some(Step::Taken)
    }
}

/// The inode at `path`, symbolic links followed, the last name's too; `None` where there is none.
#[must_use]
pub fn follow(tree: &Tree, path: &[u8]) -> Option<InodeId> {
    let mut walk = Walk::new(path);
    while let Some(step) = walk.step(tree) {
        match step {
            Step::Taken => {}
            Step::Leaf(_, inode) if walk.is_over() => return Some(inode),
            Step::Leaf(..) | Step::Missing(_) | Step::TooLong(_) => return None,
        }
    }
    Some(walk.here())
}

/// Everything below `top`, parents before children, siblings by name; `top` itself first
/// unless it is a directory. Paths are absolute. Hostile trees are deep: no recursion.
#[must_use]
pub fn walk(tree: &Tree, top: InodeId, path: &[u8], recursive: bool) -> Vec<(Vec<u8>, InodeId)> {
    if tree.inode(top).as_directory().is_none() {
        return vec![(path.to_vec(), top)];
    }
    let mut found = Vec::new();
    let mut pending = children(tree, top, path);
    while let Some((path, id)) = pending.pop() {
        if recursive {
            pending.extend(children(tree, id, &path));
        }
        found.push((path, id));
    }
    found
}

/// A directory's entries with their paths, the last by name first.
fn children(tree: &Tree, directory: InodeId, path: &[u8]) -> Vec<(Vec<u8>, InodeId)> {
    let base = path.strip_suffix(b"/").unwrap_or(path);
    let mut entries: Vec<_> =
        tree.entries(directory).map(|(name, id)| ([base, b"/", name].concat(), id)).collect();
    entries.reverse();
    entries
}

fn names(path: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    path.split(|byte| *byte == b'/').filter(|name| !name.is_empty() && *name != b".").map(<[u8]>::to_vec)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::{Directory, Inode, Metadata};

    #[test]
    fn links_are_followed_inside_the_tree() {
        let mut tree = Tree::new(Metadata::default());
        let new = |kind| Inode::new(Metadata::default(), kind);
        let usr = tree.insert(InodeId::ROOT, b"usr", new(Kind::Directory(Directory::default()))).unwrap();
        let file = tree.insert(usr, b"file", new(Kind::Fifo)).unwrap();
        let links = [("up", "../../../usr/file"), ("absolute", "/usr"), ("loop", "loop"), ("nowhere", "x")];
        for (name, target) in links {
            tree.insert(usr, name.as_bytes(), new(Kind::Symlink(target.as_bytes().into()))).unwrap();
        }
        assert_eq!(follow(&tree, b"/usr/up"), Some(file));
        assert_eq!(follow(&tree, b"usr/absolute/./absolute//file"), Some(file));
        assert_eq!(follow(&tree, b"../.."), Some(InodeId::ROOT));
        for path in [&b"usr/loop"[..], b"usr/nowhere", b"usr/file/x", b"usr/up/x", b"x"] {
            assert_eq!(follow(&tree, path), None);
        }
    }
}
