//! Which file of which mounted image a path is.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use sealpack_mount::Mounted;
use sealpack_store::ImageRecord;
use sealpack_trust::policy::audit::{AccessedFile, FileOfImage, Relation};

/// The images that are mounted now, with their names in the store.
#[derive(Debug)]
pub struct MountedFiles(Vec<(Mounted, String)>);

impl MountedFiles {
    /// Those that can be seen from here, called as in `records`; others by the digests of their metadata images.
    #[must_use]
    pub fn now(records: &[ImageRecord]) -> Self {
        let mounted = sealpack_mount::mounted().unwrap_or_default();
        let name_of = |mounted: &Mounted| {
            let named = records.iter().find(|record| record.metadata_image == mounted.image);
            named.map_or_else(|| mounted.image.to_string(), |record| record.name.clone())
        };
        let named = |mounted: Mounted| (name_of(&mounted), mounted);
        Self(mounted.into_iter().map(named).map(|(name, mounted)| (mounted, name)).collect())
    }

    /// What is known of a file in a record. The kernel tells its path as the process saw it: below
    /// the image's mount, or, for a process whose root directory the image is, from there; in
    /// that case the inode numbers must agree.
    #[must_use]
    pub fn find(&self, file: &AccessedFile) -> Option<FileOfImage> {
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

#[cfg(test)]
mod tests {
    use sealpack_format::ObjectId;

    use super::*;

    fn mounted(target: &Path, upper: Option<&Path>) -> Mounted {
        Mounted {
            image: ObjectId::sha256([1; 32]),
            target: target.to_owned(),
            mount_id: 1,
            device: (0, 9),
            read_write: upper.is_some(),
            upper: upper.map(Path::to_path_buf),
            objects: None,
            objects_checked: true,
        }
    }

    fn file(path: &Path, device: &str, inode: u64) -> AccessedFile {
        let path = Some(path.as_os_str().as_bytes().into());
        AccessedFile { path, device: device.as_bytes().into(), inode }
    }

    fn found(files: &MountedFiles, file: &AccessedFile) -> Option<(String, String, Relation)> {
        let found = files.find(file)?;
        Some((found.image, String::from_utf8_lossy(&found.path).into_owned(), found.relation))
    }

    #[test]
    fn a_path_is_of_the_deepest_mount_that_it_is_below() {
        let files = MountedFiles(vec![
            (mounted(Path::new("/a"), None), "outer".to_owned()),
            (mounted(Path::new("/a/b"), None), "under".to_owned()),
            (mounted(Path::new("/a/b"), None), "inner".to_owned()),
        ]);
        let told = |path: &str, device: &str| found(&files, &file(Path::new(path), device, 0));
        let expected =
            |image: &str, path: &str, relation| Some((image.to_owned(), path.to_owned(), relation));
        assert_eq!(told("/a/b/c", "overlay"), expected("inner", "/c", Relation::Image));
        assert_eq!(told("/a/bc", "overlay"), expected("outer", "/bc", Relation::Image));
        assert_eq!(told("/a/bc", "sda1"), expected("outer", "/bc", Relation::Foreign));
        assert_eq!(told("/nowhere/at/all", "overlay"), None);
    }

    #[test]
    fn what_is_in_the_upper_directory_is_not_the_images() {
        let (target, upper) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::fs::write(upper.path().join("added"), "x").unwrap();
        let mounted = mounted(target.path(), Some(upper.path()));
        let files = MountedFiles(vec![(mounted, "one".to_owned())]);
        let relation = |name: &str| found(&files, &file(&target.path().join(name), "overlay", 0)).unwrap().2;
        assert_eq!(relation("added"), Relation::Upper);
        assert_eq!(relation("original"), Relation::Image);
    }

    #[test]
    fn a_path_inside_an_image_is_known_by_its_inode() {
        let target = tempfile::tempdir().unwrap();
        std::fs::write(target.path().join("tool"), "x").unwrap();
        let inode = target.path().join("tool").metadata().unwrap().ino();
        let files = MountedFiles(vec![(mounted(target.path(), None), "one".to_owned())]);
        let told = |inode, device| found(&files, &file(Path::new("/tool"), device, inode));
        assert_eq!(told(inode, "overlay"), Some(("one".to_owned(), "/tool".to_owned(), Relation::Image)));
        assert_eq!(told(inode + 1, "overlay"), None);
        assert_eq!(told(inode, "sda1"), None);
    }
}
