//! What is asked about an image's files.

use crate::image::{ImageFileError, ImageFiles};

/// The files of an image, or of a test.
pub(super) trait Files {
    /// Why a file cannot be read.
    type Error;

    /// The content of the file at a path, links followed; `None` where there is none.
    fn read(&self, path: &str) -> Result<Option<Vec<u8>>, Self::Error>;

    /// Whether there is something at a path, links followed.
    fn has(&self, path: &str) -> bool;

    /// Whether there is a directory.
    fn has_directory(&self, path: &str) -> bool;

    /// Whether there is a program that root may start and nobody but root may change.
    fn has_roots_program(&self, path: &str) -> bool;

    /// Where the link at a path leads; `None` where there is no link.
    fn link(&self, path: &str) -> Option<String>;

    /// The names in a directory; none where there is no directory.
    fn names(&self, path: &str) -> Vec<String>;

    /// The text of the file at a path.
    fn text(&self, path: &str) -> Result<Option<String>, Self::Error> {
        Ok(self.read(path)?.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
    }
}

impl Files for ImageFiles<'_> {
    type Error = ImageFileError;

    fn read(&self, path: &str) -> Result<Option<Vec<u8>>, ImageFileError> {
        if self.is_directory(path) { Ok(None) } else { self.find(path) }
    }

    fn has(&self, path: &str) -> bool {
        self.has(path)
    }

    fn has_directory(&self, path: &str) -> bool {
        self.is_directory(path)
    }

    fn has_roots_program(&self, path: &str) -> bool {
        self.is_roots_program(path)
    }

    fn link(&self, path: &str) -> Option<String> {
        self.link(path)
    }

    fn names(&self, path: &str) -> Vec<String> {
        self.names(path).map(str::to_owned).collect()
    }
}
