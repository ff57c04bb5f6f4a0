//! Setting aside what is wrong.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::dir::Dir;
use crate::error::Result;
use crate::places::QUARANTINE;
use crate::problem::{Problem, ProblemKind};
use crate::store::Store;

/// Moves away what is damaged and what would hide from the next pull that something is missing.
///
/// Incomplete metadata images stay: their own bytes are right, and the next pull of the layers
/// completes them.
pub(super) fn quarantine(store: &Store, problems: &mut [Problem]) -> Result<()> {
    let mut changed = BTreeSet::new();
    for problem in problems {
        let moves = match problem.kind {
            ProblemKind::DamagedName
            | ProblemKind::DamagedHistory
            | ProblemKind::DamagedEpoch
            | ProblemKind::DamagedObject
            | ProblemKind::DamagedPack
            | ProblemKind::DamagedPackRecord
            | ProblemKind::DamagedImageTree
            | ProblemKind::DamagedSeal
            | ProblemKind::DamagedImage
            | ProblemKind::DamagedLayer
            | ProblemKind::DamagedBlob
            | ProblemKind::IncompleteLayer
            | ProblemKind::Stray => true,
            // Earlier images of the name may be right.
            ProblemKind::WrongRecord => problem.path.starts_with(store.refs.path()),
            ProblemKind::IncompleteImage
            | ProblemKind::MissingImage
            | ProblemKind::MissingLayer
            | ProblemKind::MissingPack
            | ProblemKind::MissingBlob
            | ProblemKind::MissingSeal
            | ProblemKind::LooseMode => false,
        };
        let Some(path) = problem.path.strip_prefix(store.path()).ok().filter(|_| moves) else { continue };
        problem.quarantined = move_away(store, path)?;
        changed.extend(path.parent().map(Path::to_owned));
    }
    for directory in &changed {
        if let Some(directory) = open(store, directory)? {
            directory.sync()?;
        }
    }
    Ok(())
}

/// Moves `path`, which is relative to the store. Answers where to, or `None` when it is gone.
fn move_away(store: &Store, path: &Path) -> Result<Option<PathBuf>> {
    store.root.make(QUARANTINE)?;
    let quarantine = store.root.sub(QUARANTINE)?;
    let name = path.to_string_lossy().replace('/', "-");
    // Damaged twice, kept twice.
    for copy in 0_u32.. {
        let name = if copy == 0 { name.clone() } else { format!("{name}.{copy}") };
        if quarantine.stat(&name)?.is_some() {
            continue;
        }
        if store.root.stat(path)?.is_none() {
            return Ok(None);
        }
        store.root.rename(path, &quarantine, &name)?;
        quarantine.sync()?;
        return Ok(Some(quarantine.at(name)));
    }
    Ok(None)
}

fn open(store: &Store, path: &Path) -> Result<Option<Dir>> {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    store.root.try_sub(path)
}
