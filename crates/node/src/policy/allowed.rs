//! What goes into a new policy: the files of images, and what is revoked.

use std::collections::HashSet;

use sealpack_format::digest::{ObjectId, RootHash};
use sealpack_format::tree::{Content, Kind};
use sealpack_store::{ImageRecord, Store};
use sealpack_trust::anchors::Revocations;
use sealpack_trust::policy::Operation;
use sealpack_trust::policy::profile::AllowedFile;

use super::PolicyError;
use super::executables::{StoredObjects, candidates};
use crate::Error;
use crate::remark::{Remark, Remarks};

/// Which files of images are taken.
#[derive(Debug, Clone, Copy, Default)]
pub struct Choice<'a> {
    /// Only what is at or below one of these paths, unless there is none.
    pub only: &'a [String],
    /// Nothing that is at or below one of these.
    pub except: &'a [String],
}

impl Choice<'_> {
    fn takes(&self, path: &[u8]) -> bool {
        let is_below = |top: &String| is_at_or_below(path, top.as_bytes());
        !self.except.iter().any(is_below) && (self.only.is_empty() || self.only.iter().any(is_below))
    }
}

/// What policies allow by digest: all that can be executed or loaded of images whose objects are files.
#[derive(Debug, Default)]
pub struct AllowedFiles<'a> {
    choice: Choice<'a>,
    files: Vec<AllowedFile>,
    /// Images share files; the first to have one names it.
    seen: HashSet<(Operation, ObjectId)>,
}

impl<'a> AllowedFiles<'a> {
    /// None yet, of those that are to be taken.
    #[must_use]
    pub fn new(choice: Choice<'a>) -> Self {
        Self { choice, ..Self::default() }
    }

    /// Adds an image's; remarks call it `called`. What is inside its metadata image has no
    /// digest: a remark tells how much that is.
    ///
    /// # Errors
    /// If a file of the image cannot be read.
    pub fn add_image(
        &mut self,
        store: &Store,
        record: &ImageRecord,
        called: &str,
        remarks: Remarks<'_>,
    ) -> Result<(), Error> {
        let tree = store.tree(record)?;
        let objects = StoredObjects::open(store, record).map_err(PolicyError::from)?;
        let mut inside = 0;
        for file in candidates(&tree, &objects).map_err(PolicyError::from)? {
            if !self.choice.takes(&file.path) {
                continue;
            }
            match &tree.inode(file.inode).kind {
                Kind::Regular(Content::Object { id, .. }) => self.add(file.operation, *id, file.path),
                Kind::Regular(Content::Inline(bytes)) if !bytes.is_empty() => inside += 1,
                _ => {}
            }
        }
        if inside > 0 {
            remarks(Remark::ExecutablesInside { image: called.to_owned(), count: inside });
        }
        Ok(())
    }

    fn add(&mut self, operation: Operation, digest: ObjectId, path: Vec<u8>) {
        if self.seen.insert((operation, digest)) {
            self.files.push(AllowedFile { operation, digest, path: path.into() });
        }
    }

    /// All of them, in the order in which they were added.
    #[must_use]
    pub fn into_files(self) -> Vec<AllowedFile> {
        self.files
    }
}

/// The root hashes given and those revoked in the trust store, each once.
#[must_use]
pub fn revoked(revocations: &Revocations, given: Vec<RootHash>) -> Vec<RootHash> {
    let mut seen = HashSet::new();
    let all = given.into_iter().chain(revocations.root_hashes.iter().map(|revoked| revoked.root_hash));
    all.filter(|root_hash| seen.insert(*root_hash)).collect()
}

/// Whether `path` is `top` or in it.
fn is_at_or_below(path: &[u8], top: &[u8]) -> bool {
    let end = top.iter().rposition(|byte| *byte != b'/').map_or(0, |last| last + 1);
    let top = top.get(..end).unwrap_or_default();
    path.strip_prefix(top).is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
}

#[cfg(test)]
mod tests {
    use super::is_at_or_below;

    #[test]
    fn exceptions_are_whole_names() {
        for (path, top, expected) in [
            ("/usr/lib/a", "/usr/lib", true),
            ("/usr/lib/a", "/usr/lib//", true),
            ("/usr/lib", "/usr/lib", true),
            ("/usr/lib64/a", "/usr/lib", false),
            ("/usr", "/usr/lib", false),
            ("/usr", "/", true),
        ] {
            assert_eq!(is_at_or_below(path.as_bytes(), top.as_bytes()), expected, "{path} {top}");
        }
    }
}
