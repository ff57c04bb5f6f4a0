//! The status of a file, by which it is seen whether the file has been changed.

use std::fs::File;
use std::os::unix::fs::MetadataExt;

/// Which file it is, its size, and when its content and its status last changed.
///
/// Whoever changes a file, or puts another in its place, gives it another one: nobody can set the time of the last change of
/// the status. Two changes within one tick of the filesystem's clock can leave the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileStatus {
    device: u64,
    inode: u64,
    size_bytes: u64,
    /// Seconds and nanoseconds.
    content_changed: (i64, i64),
    status_changed: (i64, i64),
}

impl FileStatus {
    /// The status that `file` has now.
    ///
    /// # Errors
    /// Those of `fstat`.
    pub fn of(file: &File) -> std::io::Result<Self> {
        let found = file.metadata()?;
        Ok(Self {
            device: found.dev(),
            inode: found.ino(),
            size_bytes: found.len(),
            content_changed: (found.mtime(), found.mtime_nsec()),
            status_changed: (found.ctime(), found.ctime_nsec()),
        })
    }

    /// The file's size.
    #[must_use]
    pub const fn size_bytes(&self) -> u64 {
        self.size_bytes
    }
}
