//! What a store takes on the disk.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::places::{CONTAINERS, IMAGES, OBJECTS, PACKS_PARENT, QUARANTINE, SNAPSHOTTER, TMP};
use crate::store::Store;

/// The unit of `st_blocks`, whatever the filesystem's own is (stat(3type)).
const BLOCK_BYTES: u64 = 512;

/// A part of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum StorePart {
    /// Contents of files.
    Objects,
    /// Packs.
    Packs,
    /// Metadata images and their hash areas.
    MetadataImages,
    /// What containers change.
    Containers,
    /// The snapshotter's snapshots.
    Snapshots,
    /// What is damaged, and was set aside.
    Quarantine,
    /// What is being written, and downloads that were interrupted.
    Unfinished,
    /// Records, seals, names and all else.
    Other,
}

impl StorePart {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Objects,
        Self::Packs,
        Self::MetadataImages,
        Self::Containers,
        Self::Snapshots,
        Self::Quarantine,
        Self::Unfinished,
        Self::Other,
    ];

    /// Its name, a word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Objects => "objects",
            Self::Packs => "packs",
            Self::MetadataImages => "metadata_images",
            Self::Containers => "containers",
            Self::Snapshots => "snapshots",
            Self::Quarantine => "quarantine",
            Self::Unfinished => "unfinished",
            Self::Other => "other",
        }
    }

    /// What has that name at the store's root.
    fn of(name: &str) -> Self {
        match name {
            OBJECTS => Self::Objects,
            PACKS_PARENT => Self::Packs,
            IMAGES => Self::MetadataImages,
            CONTAINERS => Self::Containers,
            SNAPSHOTTER => Self::Snapshots,
            QUARANTINE => Self::Quarantine,
            TMP => Self::Unfinished,
            _ => Self::Other,
        }
    }
}

impl Store {
    /// How many bytes of the disk each part takes, those of directories included; parts that are not there take none. What
    /// goes meanwhile is not counted, nor is what is mounted below.
    ///
    /// # Errors
    /// Failures of the system.
    pub fn footprint(&self) -> Result<BTreeMap<StorePart, u64>> {
        let mut walk = Walk::new(self.path())?;
        let mut footprint: BTreeMap<_, _> = StorePart::ALL.map(|part| (part, 0)).into();
        for path in walk.list(self.path())? {
            let part = StorePart::of(&path.file_name().unwrap_or_default().to_string_lossy());
            *footprint.entry(part).or_default() += walk.bytes_of(path)?;
        }
        Ok(footprint)
    }
}

/// Counts each file once, on one filesystem.
struct Walk {
    device: u64,
    /// Files with several names that were counted.
    seen: HashSet<u64>,
}

impl Walk {
    fn new(root: &Path) -> Result<Self> {
        let metadata = fs::metadata(root).map_err(|error| Error::io("look at", root, error))?;
        Ok(Self { device: metadata.dev(), seen: HashSet::new() })
    }

    /// What is in a directory; nothing where it has gone.
    fn list(&self, directory: &Path) -> Result<Vec<PathBuf>> {
        let failed = |error: std::io::Error| match error.kind() {
            ErrorKind::NotFound | ErrorKind::NotADirectory => Ok(Vec::new()),
            _ => Err(Error::io("list", directory, error)),
        };
        let entries = match fs::read_dir(directory) {
            Ok(entries) => entries,
            Err(error) => return failed(error),
        };
        entries.map(|entry| entry.map(|entry| entry.path())).collect::<std::io::Result<_>>().or_else(failed)
    }

    /// What a file takes, or a directory with all in it.
    fn bytes_of(&mut self, path: PathBuf) -> Result<u64> {
        let (mut bytes, mut waiting) = (0, vec![path]);
        while let Some(path) = waiting.pop() {
            let metadata = match fs::symlink_metadata(&path) {
                Ok(metadata) => metadata,
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                Err(error) => return Err(Error::io("look at", &path, error)),
            };
            if metadata.dev() != self.device {
                continue;
            }
            let is_directory = metadata.is_dir();
            if is_directory || metadata.nlink() == 1 || self.seen.insert(metadata.ino()) {
                bytes += metadata.blocks() * BLOCK_BYTES;
            }
            if is_directory {
                waiting.extend(self.list(&path)?);
            }
        }
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use sealpack_format::Algorithm;

    use super::*;

    #[test]
    fn each_part_takes_what_its_files_take_and_a_file_with_two_names_counts_once() {
        let place = tempfile::tempdir().expect("a directory");
        let root = place.path().join("store");
        let store = Store::create(&root, Algorithm::Sha256).expect("a store");
        let before = store.footprint().expect("it is listed");
        assert_eq!(before.len(), StorePart::ALL.len());
        assert_eq!(before[&StorePart::Packs], 0);
        let content = vec![7; 256 * 1024];
        let write = |path: &str| {
            let path = root.join(path);
            fs::create_dir_all(path.parent().expect("it is below the store")).expect("a directory");
            fs::write(&path, &content).expect("a file");
            fs::File::open(&path).and_then(|file| file.sync_all()).expect("it is on the disk");
            path
        };
        let pack = write("packs/sha256/one");
        fs::hard_link(&pack, root.join("packs/sha256/two")).expect("a second name");
        write("snapshotter/s/1/fs/deep/below");
        std::os::unix::fs::symlink("/", root.join("snapshotter/s/1/fs/root")).expect("a link");
        let after = store.footprint().expect("it is listed");
        let grew = |part: StorePart| after[&part] - before[&part];
        let with_directories = 256 * 1024..320 * 1024;
        assert!(with_directories.contains(&grew(StorePart::Packs)), "{after:?}");
        assert!(with_directories.contains(&grew(StorePart::Snapshots)), "{after:?}");
        assert_eq!(grew(StorePart::Objects), 0);
    }
}
