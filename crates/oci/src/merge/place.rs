//! Where in the tree an entry of a layer goes.
//!
//! Symbolic links above an entry are followed inside the image, as container runtimes
//! do when they unpack: a layer may say `lib/x` where a layer below made `lib` a link
//! to `usr/lib`.

use sealpack_format::tree::{Directory, Inode, InodeId, Kind, Metadata, Tree};
use sealpack_format::walk::{Step, Walk};

use super::EntryProblem;

/// The parent directory and name of `path`, or `None` where there is no such directory
/// (or where `path` is the root, which has no parent).
pub(super) fn find<'a>(tree: &Tree, path: &'a [u8]) -> Option<(InodeId, &'a [u8])> {
    let (above, name) = split(path);
    if name.is_empty() {
        return None;
    }
    let mut walk = Walk::new(above);
    while let Some(step) = walk.step(tree) {
        if step != Step::Taken {
            return None;
        }
    }
    Some((walk.here(), name))
}

/// As [`find`], missing directories made with the metadata `implied`.
///
/// # Errors
/// Something on the way is not a directory and leads to none; an unfit name.
pub(super) fn make<'a>(
    tree: &mut Tree,
    path: &'a [u8],
    implied: &Metadata,
) -> Result<(InodeId, &'a [u8]), EntryProblem> {
    let (above, name) = split(path);
    let mut walk = Walk::new(above);
    while let Some(step) = walk.step(tree) {
        match step {
            Step::Taken => {}
            Step::Leaf(file, _) => return Err(EntryProblem::BelowFile(file)),
            Step::TooManyLinks(link) => return Err(EntryProblem::BelowDanglingLink(link)),
            Step::Missing(_) if walk.was_linked() => {
                return Err(EntryProblem::BelowDanglingLink(above.to_vec()));
            }
            Step::Missing(missing) => {
                let inode = Inode::new(implied.clone(), Kind::Directory(Directory::default()));
                let made = tree.insert(walk.here(), &missing, inode)?;
                walk.enter(made);
            }
        }
    }
    Ok((walk.here(), name))
}

/// The directory at `path`, the last name not followed; `None` if there is none.
pub(super) fn directory(tree: &Tree, path: &[u8]) -> Option<InodeId> {
    if path.is_empty() {
        return Some(InodeId::ROOT);
    }
    let (parent, name) = find(tree, path)?;
    tree.child(parent, name).filter(|id| tree.inode(*id).as_directory().is_some())
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
