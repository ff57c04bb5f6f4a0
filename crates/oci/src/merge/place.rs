//! Where in the tree an entry of a layer goes.
//!
//! Symbolic links above an entry are followed inside the image, as container runtimes
//! do when they unpack: a layer may say `lib/x` where a layer below made `lib` a link
//! to `usr/lib`.

use sealpack_format::tree::{Directory, Inode, InodeId, Kind, Metadata, Tree};
use sealpack_format::walk::{Step, Walk};

use super::error::EntryProblem;

/// How many names of paths may be looked up for one image. Links make short entries take long ways;
/// this many take about a minute, and no image that is not made for it comes near.
const STEPS_MAX: usize = 1_000_000_000;

/// What is left of [`STEPS_MAX`].
pub(super) struct Steps(usize);

impl Steps {
    /// All of them.
    pub(super) const fn new() -> Self {
        Self(STEPS_MAX)
    }

    fn take(&mut self, walk: &Walk) -> Result<(), EntryProblem> {
        self.0 = self.0.checked_sub(walk.steps()).ok_or(EntryProblem::TooManySteps)?;
        Ok(())
    }
}

/// The parent directory and name of `path`, or `None` where there is no such directory
/// (or where `path` is the root, which has no parent).
///
/// # Errors
/// [`EntryProblem::TooManySteps`].
pub(super) fn find<'a>(
    tree: &Tree,
    path: &'a [u8],
    steps: &mut Steps,
) -> Result<Option<(InodeId, &'a [u8])>, EntryProblem> {
    let (above, name) = split(path);
    let mut walk = Walk::new(above);
    let mut is_there = !name.is_empty();
    while is_there && let Some(step) = walk.step(tree) {
        is_there = step == Step::Taken;
    }
    steps.take(&walk)?;
    Ok(is_there.then(|| (walk.here(), name)))
}

/// As [`find`], missing directories made with the metadata `implied`.
///
/// # Errors
/// Something on the way is not a directory and leads to none; an unfit name; [`EntryProblem::TooManySteps`].
pub(super) fn make<'a>(
    tree: &mut Tree,
    path: &'a [u8],
    implied: &Metadata,
    steps: &mut Steps,
) -> Result<(InodeId, &'a [u8]), EntryProblem> {
    let (above, name) = split(path);
    let mut walk = Walk::new(above);
    while let Some(step) = walk.step(tree) {
        match step {
            Step::Taken => {}
            Step::Leaf(file, _) => return Err(EntryProblem::BelowFile(file)),
            Step::TooLong(name) => return Err(EntryProblem::BelowDanglingLink(name)),
            Step::Missing(missing) => {
                if let Some(link) = walk.link() {
                    return Err(EntryProblem::BelowDanglingLink(link.to_vec()));
                }
                let inode = Inode::new(implied.clone(), Kind::Directory(Directory::default()));
                let made = tree.insert(walk.here(), &missing, inode)?;
                walk.enter(made);
            }
        }
    }
    steps.take(&walk)?;
    Ok((walk.here(), name))
}

/// The directory at `path`, the last name not followed; `None` if there is none.
///
/// # Errors
/// [`EntryProblem::TooManySteps`].
pub(super) fn directory(
    tree: &Tree,
    path: &[u8],
    steps: &mut Steps,
) -> Result<Option<InodeId>, EntryProblem> {
    if path.is_empty() {
        return Ok(Some(InodeId::ROOT));
    }
    let found = find(tree, path, steps)?.and_then(|(parent, name)| tree.child(parent, name));
    Ok(found.filter(|id| tree.inode(*id).as_directory().is_some()))
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
