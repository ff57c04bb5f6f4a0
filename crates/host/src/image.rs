//! The files of an image in the store, by their paths.

use sealpack_format::tree::{Content, InodeId, Kind, Tree};
use sealpack_format::walk;
use sealpack_node::policy::executables::{ExecutablesError, StoredObjects};
use sealpack_store::{ImageRecord, Store};

/// The largest file that is read, in bytes: more than any kernel, module or program has that a host starts with.
const FILE_MAX_BYTES: u64 = 512 * 1024 * 1024;

/// An image whose files are to be read.
pub struct ImageFiles<'s> {
    name: &'s str,
    tree: Tree,
    objects: StoredObjects<'s>,
}

impl<'s> ImageFiles<'s> {
    /// Opens it: its metadata image, and its packs if it has some.
    ///
    /// # Errors
    /// Of the store; a pack is missing, or is none.
    pub fn open(store: &'s Store, record: &'s ImageRecord) -> Result<Self, ImageFileError> {
        let tree = store.tree(record).map_err(ExecutablesError::from)?;
        Ok(Self { name: &record.name, tree, objects: StoredObjects::open(store, record)? })
    }

    /// The content of the file at `path`, checked against its digest; symbolic links are followed inside the image.
    ///
    /// # Errors
    /// There is no such file, it is no file, or its content is missing or damaged.
    pub fn read(&self, path: &str) -> Result<Vec<u8>, ImageFileError> {
        self.find(path)?.ok_or_else(|| self.missing(path))
    }

    /// As [`read`](Self::read), but `None` where there is nothing at `path`.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn find(&self, path: &str) -> Result<Option<Vec<u8>>, ImageFileError> {
        let Some(inode) = self.inode(path) else { return Ok(None) };
        let other =
            |problem| ImageFileError::Kind { image: self.name.to_owned(), path: path.to_owned(), problem };
        let Kind::Regular(content) = &self.tree.inode(inode).kind else {
            return Err(other("is no regular file"));
        };
        if content.size_bytes() > FILE_MAX_BYTES {
            return Err(other("is larger than what a host starts with"));
        }
        match content {
            Content::Inline(bytes) => Ok(Some(bytes.to_vec())),
            Content::Object { id, .. } => Ok(Some(self.objects.content(id)?)),
            Content::External { .. } => Err(other("is kept outside the store")),
        }
    }

    /// Whether there is something at `path`.
    #[must_use]
    pub fn has(&self, path: &str) -> bool {
        self.inode(path).is_some()
    }

    /// The names in the directory at `path`, as far as they are UTF-8, in their order; none where there is no directory.
    pub fn names(&self, path: &str) -> impl Iterator<Item = &str> {
        let directory = self.inode(path);
        let entries = directory.into_iter().flat_map(|directory| self.tree.entries(directory));
        entries.filter_map(|(name, _)| str::from_utf8(name).ok())
    }

    /// Whether there is a directory at `path`.
    #[must_use]
    pub fn is_directory(&self, path: &str) -> bool {
        self.inode(path).is_some_and(|inode| matches!(self.tree.inode(inode).kind, Kind::Directory(_)))
    }

    /// Whether there is a file at `path` that can be started, and that nobody but root may change.
    #[must_use]
    pub fn is_roots_program(&self, path: &str) -> bool {
        self.inode(path).map(|inode| self.tree.inode(inode)).is_some_and(|inode| {
            let (metadata, is_file) = (&inode.metadata, matches!(inode.kind, Kind::Regular(_)));
            is_file && metadata.uid == 0 && metadata.permissions & 0o122 == 0o100
        })
    }

    /// Where the symbolic link at `path` leads, as far as that is UTF-8; `None` where there is no link.
    #[must_use]
    pub fn link(&self, path: &str) -> Option<String> {
        let (directory, name) = path.rsplit_once('/')?;
        let inode = self.tree.child(self.inode(directory)?, name.as_bytes())?;
        let Kind::Symlink(target) = &self.tree.inode(inode).kind else { return None };
        str::from_utf8(target).ok().map(str::to_owned)
    }

    /// That there is nothing at `path`.
    #[must_use]
    pub fn missing(&self, path: &str) -> ImageFileError {
        ImageFileError::Missing { image: self.name.to_owned(), path: path.to_owned() }
    }

    fn inode(&self, path: &str) -> Option<InodeId> {
        walk::follow(&self.tree, path.as_bytes())
    }
}

/// Why a file of an image cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImageFileError {
    /// There is none.
    #[error("{image} has no {path}")]
    Missing {
        /// The image's name.
        image: String,
        /// The path.
        path: String,
    },
    /// It is something else.
    #[error("{path} of {image} {problem}")]
    Kind {
        /// The image's name.
        image: String,
        /// The path.
        path: String,
        /// What it is.
        problem: &'static str,
    },
    /// The image cannot be read.
    #[error(transparent)]
    Content(#[from] ExecutablesError),
}

impl ImageFileError {
    /// Whether something is not what its digest says.
    #[must_use]
    pub fn is_verification(&self) -> bool {
        matches!(self, Self::Content(error) if error.is_verification())
    }
}
