//! Goes through all names of an image depth first, knowing their paths.

use std::collections::HashSet;

use super::entries::Entries;
use super::error::ImageError;
use super::inode::ImageInode;
use super::walk::{Visited, child};
use super::{Image, NamedInode};
use crate::erofs::inode::FileType;

/// Iterator over the names of an image: each directory is followed by what is in it, in the
/// order of names. Ends after an error, of which there are the same as with
/// [`Walk`](super::Walk).
#[derive(Debug)]
pub struct DepthFirst<'a> {
    image: Image<'a>,
    /// Names in the root that count, if not all do.
    only: Option<HashSet<Vec<u8>>>,
    visited: Option<Visited>,
    levels: Vec<Level<'a>>,
    path: Vec<u8>,
    /// A directory that was found last.
    ahead: Option<ImageInode<'a>>,
}

/// A directory on the way to what was found last.
#[derive(Debug)]
struct Level<'a> {
    directory: u64,
    parent: u64,
    entries: Entries<'a>,
    path_bytes: usize,
}

impl<'a> DepthFirst<'a> {
    pub(super) fn new(image: Image<'a>, only: Option<&[&[u8]]>) -> Self {
        let only = only.map(|names| names.iter().map(|name| name.to_vec()).collect());
        Self { image, only, visited: None, levels: Vec::new(), path: Vec::new(), ahead: None }
    }

    /// The path of what was found last, from the root on, with a leading slash.
    #[must_use]
    pub fn path(&self) -> &[u8] {
        &self.path
    }

    fn step(&mut self) -> Result<Option<NamedInode<'a>>, ImageError> {
        if self.visited.is_none() {
            let mut visited = Visited::none(&self.image);
            let root = self.image.root()?;
            visited.meet(&root)?;
            self.visited = Some(visited);
            self.ahead = Some(root);
        }
        let Some(visited) = &mut self.visited else { return Ok(None) };
        if let Some(directory) = self.ahead.take() {
            let parent = self.levels.last().map_or(directory.nid(), |level| level.directory);
            let entries = directory.entries()?;
            let path_bytes = self.path.len();
            self.levels.push(Level { directory: directory.nid(), parent, entries, path_bytes });
        }
        loop {
            let is_root = self.levels.len() == 1;
            let Some(level) = self.levels.last_mut() else { return Ok(None) };
            let Some(entry) = level.entries.next().transpose()? else {
                self.levels.pop();
                continue;
            };
            if is_root
                && let Some(only) = &self.only
                && !only.contains(entry.name)
            {
                continue;
            }
            let Some(inode) = child(&self.image, level.directory, level.parent, &entry)? else { continue };
            let again = visited.meet(&inode)?;
            self.path.truncate(level.path_bytes);
            self.path.push(b'/');
            self.path.extend_from_slice(entry.name);
            if inode.file_type() == FileType::Directory {
                self.ahead = Some(inode);
            }
            return Ok(Some(NamedInode { directory: level.directory, name: entry.name, inode, again }));
        }
    }
}

impl<'a> Iterator for DepthFirst<'a> {
    type Item = Result<NamedInode<'a>, ImageError>;

    fn next(&mut self) -> Option<Self::Item> {
        let step = self.step();
        if step.is_err() {
            self.levels.clear();
        }
        step.transpose()
    }
}

#[cfg(test)]
mod tests {
    use crate::dump::{Mode, parse};
    use crate::erofs::{FormatVersion, Image, write_metadata_image};

    const DUMP: &[u8] = b"/ 0 40755 2 0 0 0 0.0 - - -\n\
        /a 0 40755 2 0 0 0 0.0 - - -\n\
        /a/b 0 40755 2 0 0 0 0.0 - - -\n\
        /a/b/c 0 10644 2 0 0 0 0.0 - - -\n\
        /a/d 0 @10644 2 0 0 0 0.0 /a/b/c - -\n\
        /e 0 10644 1 0 0 0 0.0 - - -\n";

    fn paths(only: Option<&[&[u8]]>) -> Vec<(String, bool)> {
        let mut bytes = Vec::new();
        let tree = parse(DUMP, Mode::Strict).unwrap();
        write_metadata_image(&tree, FormatVersion::V1, &mut bytes).unwrap();
        let image = Image::open(&bytes).unwrap();
        let mut walk = image.walk_depth_first(only);
        let mut found = Vec::new();
        while let Some(next) = walk.next() {
            let path = String::from_utf8(walk.path().to_vec()).unwrap();
            // The stubs, 00 to ff, are real names.
            if path.len() != 3 {
                found.push((path, next.unwrap().again));
            }
        }
        found
    }

    #[test]
    fn each_directory_is_followed_by_what_is_in_it_and_a_second_name_is_told() {
        let all = [("/a", false), ("/a/b", false), ("/a/b/c", false), ("/a/d", true), ("/e", false)];
        let all: Vec<_> = all.iter().map(|(path, again)| (String::from(*path), *again)).collect();
        assert_eq!(paths(None), all);
        assert_eq!(paths(Some(&[b"a", b"d", b"nothing"])), all[..4]);
        assert_eq!(paths(Some(&[])), []);
    }
}
