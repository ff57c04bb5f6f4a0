//! The directories of snapshots, below the store's: one for each, called by its number, with `fs` for what is in it and
//! `work` for overlayfs.

use std::collections::HashSet;
use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use rustix::fs::FileType;
use sealpack_store::deep;

use crate::error::Error;
use crate::mounts::Upper;
use crate::state::{ID_END, Usage};

/// What stat(2) counts in.
const BLOCK_BYTES: u64 = 512;

/// The parent of all of them.
#[derive(Debug, Clone)]
pub(super) struct Directories(PathBuf);

impl Directories {
    /// Those below `root`, which is made, for its owner only.
    pub(super) fn open(root: &Path) -> Result<Self, Error> {
        let path = root.join("s");
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&path);
        made.map_err(|error| Error::io("make", &path, error))?;
        Ok(Self(path))
    }

    /// What snapshot `id` has.
    pub(super) fn content(&self, id: u64) -> PathBuf {
        self.of(id).join("fs")
    }

    /// The same with what an overlay needs besides.
    pub(super) fn upper(&self, id: u64) -> Upper {
        Upper { upper: self.content(id), work: self.of(id).join("work") }
    }

    /// The snapshot whose content has that path.
    pub(super) fn snapshot_of(&self, content: &Path) -> Option<u64> {
        let rest = content.strip_prefix(&self.0).ok()?;
        let id = rest.parent()?.to_str()?.parse().ok()?;
        (self.content(id) == content).then_some(id)
    }

    /// Whether nothing was written to a snapshot.
    pub(super) fn is_empty(&self, id: u64) -> Result<bool, Error> {
        let path = self.content(id);
        let mut entries = fs::read_dir(&path).map_err(|error| Error::io("read", &path, error))?;
        Ok(entries.next().is_none())
    }

    fn of(&self, id: u64) -> PathBuf {
        self.0.join(id.to_string())
    }

    /// Makes those of a snapshot. The root of what it has gets owner and mode of `like`; without one it is root's, as in
    /// a layer that says nothing of it.
    pub(super) fn make(&self, id: u64, like: Option<&Path>) -> Result<(), Error> {
        let path = self.of(id);
        // What is there is somebody else's, and stays.
        let made = DirBuilder::new().mode(0o700).create(&path);
        made.map_err(|error| Error::io("make", &path, error))?;
        let made = self.fill(id, like);
        if made.is_err() {
            // The first error is the one to tell; what is left is swept.
            _ = self.remove(id);
        }
        made
    }

    fn fill(&self, id: u64, like: Option<&Path>) -> Result<(), Error> {
        let Upper { upper, work } = self.upper(id);
        for (path, mode) in [(upper.clone(), 0o755), (work, 0o700)] {
            let made = DirBuilder::new().mode(mode).create(&path);
            made.map_err(|error| Error::io("make", &path, error))?;
        }
        let mut mode = 0o755;
        if let Some(like) = like {
            let status = fs::metadata(like).map_err(|error| Error::io("look at", like, error))?;
            chown(&upper, Some(status.uid()), Some(status.gid()))
                .map_err(|error| Error::io("change the owner of", &upper, error))?;
            mode = status.mode() & 0o7777;
        }
        // Whatever the umask is.
        fs::set_permissions(&upper, Permissions::from_mode(mode))
            .map_err(|error| Error::io("change the mode of", &upper, error))
    }

    /// Removes those of a snapshot, if they are there.
    pub(super) fn remove(&self, id: u64) -> Result<(), Error> {
        let path = self.of(id);
        match deep::remove(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::io("remove", &path, error)),
            _ => Ok(()),
        }
    }

    /// The numbers of all that there are.
    pub(super) fn all(&self) -> Result<Vec<u64>, Error> {
        let failed = |error| Error::io("read", &self.0, error);
        let mut all = Vec::new();
        for entry in fs::read_dir(&self.0).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            let id = name.to_str().and_then(|name| name.parse::<u64>().ok());
            all.extend(id.filter(|id| *id < ID_END));
        }
        Ok(all)
    }

    /// What is in a snapshot's directory, as du(1) counts it: blocks on the disk, and each inode once. What goes
    /// meanwhile does not count.
    pub(super) fn usage(&self, id: u64) -> Result<Usage, Error> {
        let path = self.content(id);
        let top = fs::symlink_metadata(&path).map_err(|error| Error::io("look at", &path, error))?;
        let mut usage = Usage { inodes: 1, size_bytes: top.blocks() * BLOCK_BYTES };
        let mut seen = HashSet::new();
        let counted = deep::look(&path, |stat| {
            let is_directory = FileType::from_raw_mode(stat.st_mode).is_dir();
            if stat.st_nlink > 1 && !is_directory && !seen.insert((stat.st_dev, stat.st_ino)) {
                return;
            }
            usage.inodes += 1;
            usage.size_bytes += u64::try_from(stat.st_blocks).unwrap_or_default() * BLOCK_BYTES;
        });
        counted.map_err(|error| Error::io("read", &path, error))?;
        Ok(usage)
    }
}
