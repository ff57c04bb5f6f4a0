//! Which file of which mounted image a path is.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use sealpack_mount::Mounted;
use sealpack_trust::policy::audit::{AccessedFile, FileOfImage, Relation};

use crate::context::Context;

/// The images that are mounted now, with their names in the store.
pub(crate) struct MountedFiles(Vec<(Mounted, String)>);

impl MountedFiles {
    /// Whatever can be known: without a store, images are called by their digests.
    pub(crate) fn now(context: &Context) -> Self {
        let mounted = sealpack_mount::mounted().unwrap_or_default();
        let names = context.open_for_reading().and_then(|(_lock, store)| Ok(store.images()?.records));
        let names = names.unwrap_or_default();
        let name_of = |mounted: &Mounted| {
            let named = names.iter().find(|record| record.image == mounted.image);
            named.map_or_else(|| mounted.image.to_string(), |record| record.name.clone())
        };
        let named = |mounted: Mounted| (name_of(&mounted), mounted);
        Self(mounted.into_iter().map(named).map(|(name, mounted)| (mounted, name)).collect())
    }

    /// What is known of a file in a record. The kernel tells its path as the process saw it: below
    /// the image's mount, or, for a process whose root directory the image is, from there; in
    /// that case the inode numbers must agree.
    pub(crate) fn find(&self, file: &AccessedFile) -> Option<FileOfImage> {
        let path = Path::new(OsStr::from_bytes(file.path.as_deref()?));
        let below = |mounted: &Mounted| path.strip_prefix(&mounted.target).ok().map(Path::to_path_buf);
        // The last mount on a directory is the one that is seen; the deepest directory counts.
        let deepest = self
            .0
            .iter()
            .filter_map(|(mounted, name)| Some((mounted, name, below(mounted)?)))
            .max_by_key(|(mounted, _, _)| mounted.target.as_os_str().len());
        let inside = |(mounted, name): &'_ (Mounted, String)| {
            let rest = path.strip_prefix("/").ok()?.to_path_buf();
            let is_it = mounted.target.join(&rest).symlink_metadata().is_ok_and(|it| it.ino() == file.inode);
            is_it.then(|| told(file, mounted, name, &rest))
        };
        match deepest {
            Some((mounted, name, rest)) => Some(told(file, mounted, name, &rest)),
            None if file.device.as_ref() == b"overlay" => self.0.iter().rev().find_map(inside),
            None => None,
        }
    }
}

fn told(file: &AccessedFile, mounted: &Mounted, name: &str, rest: &Path) -> FileOfImage {
    let in_upper = |upper: &PathBuf| upper.join(rest).symlink_metadata().is_ok();
    let relation = if file.device.as_ref() != b"overlay" {
        Relation::Foreign
    } else if mounted.upper.as_ref().is_some_and(in_upper) {
        Relation::Upper
    } else {
        Relation::Image
    };
    FileOfImage {
        image: name.to_owned(),
        target: mounted.target.display().to_string(),
        path: Path::new("/").join(rest).into_os_string().as_bytes().into(),
        relation,
    }
}
