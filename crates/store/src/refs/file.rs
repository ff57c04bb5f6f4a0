//! Files that are named for names of images: what `refs/`, `history/` and `epochs/` have in common.

use std::ffi::OsStr;

use serde::de::DeserializeOwned;

use super::name;
use crate::dir::Dir;
use crate::documents::parse_versioned;
use crate::error::{Error, RefDamage, Result};
use crate::store::Store;

/// More bytes than any of them has: a record with 500 layers (overlayfs's limit) takes 150 KiB, and a
/// history has eight of them.
const MAX_BYTES: u64 = 16 * 1024 * 1024;

/// The content of such a file.
pub(super) trait OfName: DeserializeOwned {
    /// What it is, for messages.
    const WHAT: &'static str;
    /// The version that this program writes and knows.
    const VERSION: u64;

    /// The name that it is about.
    fn name(&self) -> &str;

    /// What else is wrong with it in that store, if anything.
    fn problem(&self, store: &Store) -> Option<String>;
}

/// Reads the file `file_name` in `directory`, if there is one.
pub(super) fn read<T: OfName>(store: &Store, directory: &Dir, file_name: &OsStr) -> Result<Option<T>> {
    let damage = |what: String| Error::from(RefDamage { path: directory.at(file_name), of: T::WHAT, what });
    let json = match directory.read_at_most(file_name, MAX_BYTES) {
        Err(Error::Io { source, .. }) => return Err(damage(source.to_string())),
        other => other?,
    };
    let Some(json) = json else { return Ok(None) };
    let content: T = parse_versioned(&json, T::VERSION).map_err(damage)?;
    if *name::file_name(content.name()) != *file_name {
        return Err(damage(format!("it is about {:?}, which has another file name", content.name())));
    }
    if name::check(content.name()).is_err() {
        return Err(damage("the name in it cannot be a name".to_owned()));
    }
    content.problem(store).map_or(Ok(Some(content)), |what| Err(damage(what)))
}

/// All such files in `directory`, and those that cannot be used.
pub(super) fn read_all<T: OfName>(store: &Store, directory: &Dir) -> Result<(Vec<T>, Vec<RefDamage>)> {
    let (mut all, mut damaged) = (Vec::new(), Vec::new());
    for entry in directory.entries()? {
        match read(store, directory, &entry.name) {
            Ok(Some(content)) => all.push(content),
            // Removed since the directory was read.
            Ok(None) => {}
            Err(Error::RefDamaged(damage)) => damaged.push(damage),
            Err(error) => return Err(error),
        }
    }
    Ok((all, damaged))
}
