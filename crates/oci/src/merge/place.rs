//! Where in the tree an entry of a layer goes.
//!
//! Symbolic links above an entry are followed inside the image, as container runtimes
//! do when they unpack: a layer may say `lib/x` where a layer below made `lib` a link
//! to `usr/lib`. Nothing leads out of the tree: `..` of the root is the root.

use std::collections::VecDeque;

use sealpack_format::tree::{Directory, Inode, InodeId, Kind, Metadata, Tree};

use super::EntryProblem;

/// The most symbolic links on the way to one entry (MAXSYMLINKS of Linux).
const LINKS_MAX: usize = 40;

/// The parent directory and name of `path`, or `None` where a directory on the way is missing
/// (or where `path` is the root, which has no parent).
///
/// # Errors
/// Something on the way is not a directory and leads to none.
pub(super) fn find(tree: &Tree, path: &[u8]) -> Result<Option<(InodeId, Vec<u8>)>, EntryProblem> {
    let (above, name) = split(path);
    if name.is_empty() {
        return Ok(None);
    }
    let mut walk = Walk::new(above);
    while let Some(step) = walk.step(tree)? {
        if let Step::Missing(_) = step {
            return Ok(None);
        }
    }
    Ok(Some((walk.here(), name.to_vec())))
}

/// As [`find`], missing directories made with the metadata `implied`.
///
/// # Errors
/// Something on the way is not a directory and leads to none; an unfit name.
pub(super) fn make(
    tree: &mut Tree,
    path: &[u8],
    implied: &Metadata,
) -> Result<(InodeId, Vec<u8>), EntryProblem> {
    let (above, name) = split(path);
    let mut walk = Walk::new(above);
    while let Some(step) = walk.step(tree)? {
        if let Step::Missing(missing) = step {
            if walk.links > 0 {
                return Err(EntryProblem::BelowDanglingLink(above.to_vec()));
            }
            let inode = Inode::new(implied.clone(), Kind::Directory(Directory::default()));
            let made = tree.insert(walk.here(), &missing, inode)?;
            walk.enter(made);
        }
    }
    Ok((walk.here(), name.to_vec()))
}

/// The directory at `path`, the last name not followed; `None` if there is none.
pub(super) fn directory(tree: &Tree, path: &[u8]) -> Option<InodeId> {
    if path.is_empty() {
        return Some(InodeId::ROOT);
    }
    let (parent, name) = find(tree, path).ok()??;
    tree.child(parent, &name).filter(|id| tree.inode(*id).as_directory().is_some())
}

/// Whether `inode` has a name somewhere below `top`.
pub(super) fn contains(tree: &Tree, top: InodeId, inode: InodeId) -> bool {
    let mut pending = vec![top];
    while let Some(directory) = pending.pop() {
        for (_, child) in tree.entries(directory) {
            if child == inode {
                return true;
            }
            if tree.inode(child).as_directory().is_some() {
                pending.push(child);
            }
        }
    }
    false
}

/// The directories above the last name, and the last name.
fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(slash) => (&path[..slash], &path[slash + 1..]),
        None => (&[], path),
    }
}

/// A walk from the root to a directory.
struct Walk {
    /// The names still to go.
    ahead: VecDeque<Vec<u8>>,
    /// The directories passed, the root not among them.
    passed: Vec<InodeId>,
    links: usize,
}

enum Step {
    Taken,
    /// There is nothing of this name here.
    Missing(Vec<u8>),
}

impl Walk {
    fn new(path: &[u8]) -> Self {
        Self { ahead: names(path).collect(), passed: Vec::new(), links: 0 }
    }

    fn here(&self) -> InodeId {
        self.passed.last().copied().unwrap_or(InodeId::ROOT)
    }

    fn enter(&mut self, directory: InodeId) {
        self.passed.push(directory);
    }

    /// Takes the next name; `None` when there is none left.
    fn step(&mut self, tree: &Tree) -> Result<Option<Step>, EntryProblem> {
        let Some(name) = self.ahead.pop_front() else { return Ok(None) };
        if name == b".." {
            self.passed.pop();
            return Ok(Some(Step::Taken));
        }
        let Some(child) = tree.child(self.here(), &name) else { return Ok(Some(Step::Missing(name))) };
        match &tree.inode(child).kind {
            Kind::Directory(_) => self.enter(child),
            Kind::Symlink(target) => {
                self.links += 1;
                if self.links > LINKS_MAX {
                    return Err(EntryProblem::BelowDanglingLink(name));
                }
                if target.starts_with(b"/") {
                    self.passed.clear();
                }
                for name in names(target).collect::<Vec<_>>().into_iter().rev() {
                    self.ahead.push_front(name);
                }
            }
            _ => return Err(EntryProblem::BelowFile(name)),
        }
        Ok(Some(Step::Taken))
    }
}

fn names(path: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    path.split(|byte| *byte == b'/').filter(|name| !name.is_empty() && *name != b".").map(<[u8]>::to_vec)
}
