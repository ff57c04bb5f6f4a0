//! That nobody but its owner gets into a store: what only root may read in an image lies in it, and locks that others can
//! take stop those who use it.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use crate::dir::Dir;
use crate::error::{Error, Result};
use crate::places::{LOCK, MAKING_LOCK, NAMES_LOCK, VERIFIED};

/// What others may not have.
const OTHERS: u32 = 0o077;

/// The mode of the directory at `path` when it is this user's and others than the owner can get into it.
///
/// `None` also when it is not there or cannot be looked at.
#[must_use]
pub fn loose_mode(path: &Path) -> Option<u32> {
    let found = path.metadata().ok().filter(std::fs::Metadata::is_dir)?;
    let is_own = found.uid() == rustix::process::geteuid().as_raw();
    Some(found.mode() & 0o7777).filter(|mode| is_own && mode & OTHERS != 0)
}

/// The mode of a directory.
pub(crate) fn of(directory: &Dir) -> Result<u32> {
    let stat = rustix::fs::fstat(directory).map_err(|e| Error::io("look at", directory.path(), e))?;
    Ok(stat.st_mode & 0o7777)
}

/// Takes from others what they may do with the store in `root`. Answers with the mode that it had, if there was anything.
///
/// A store that cannot be changed stays as it is.
pub(crate) fn tighten(root: &Dir) -> Result<Option<u32>> {
    let mode = of(root)?;
    for name in [LOCK, NAMES_LOCK, MAKING_LOCK, VERIFIED] {
        if let Some(stat) = root.stat(name)?
            && stat.st_mode & OTHERS != 0
            && let Ok(Some(file)) = root.read(name)
        {
            changed(root.set_mode(&file, name, stat.st_mode & 0o700))?;
        }
    }
    if mode & OTHERS == 0 {
        return Ok(None);
    }
    changed(root.set_mode(root, "", mode & !OTHERS))?;
    // Somebody who is in one of them already would go on from there. Files have no directories below.
    for entry in root.entries()? {
        let Some(directory) = entry.kind.is_dir().then(|| root.try_sub(&entry.name)).transpose()?.flatten()
        else {
            continue;
        };
        close(&directory)?;
        for entry in directory.entries()? {
            if entry.kind.is_dir()
                && let Some(directory) = directory.try_sub(&entry.name)?
            {
                close(&directory)?;
            }
        }
    }
    Ok(Some(mode))
}

fn close(directory: &Dir) -> Result<()> {
    let mode = of(directory)?;
    if mode & OTHERS == 0 { Ok(()) } else { changed(directory.set_mode(directory, "", mode & !OTHERS)) }
}

/// What another user's is, or on a filesystem that is only read, cannot be changed, and is no reason not to use the rest.
fn changed(result: Result<()>) -> Result<()> {
    match result {
        Err(Error::ReadOnly { .. } | Error::Permission { .. }) => Ok(()),
        other => other,
    }
}

/// What is wrong with a store that had the mode `before`, and has the mode `now`.
pub(crate) fn what(before: u32, now: u32) -> String {
    let now = match now & OTHERS {
        0 => format!("it is {now:04o} now"),
        _ => "it cannot be changed".to_owned(),
    };
    format!(
        "its mode was {before:04o}: others could read what is in images, and hold the store's locks; {now}"
    )
}
