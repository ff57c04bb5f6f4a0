//! The files of the partition as directories.

use std::io;

use super::EspFile;
use super::directory::{self, Entry, Kind};
use super::names::{self, Names};

/// A file or a directory.
#[derive(Debug)]
pub(super) enum Node<'f> {
    File(&'f [u8]),
    Directory(Vec<Child>),
}

/// What is in a directory: its name, and the number of its node.
#[derive(Debug)]
pub(super) struct Child {
    name: String,
    names: Names,
    node: usize,
}

/// All nodes, the root first.
#[derive(Debug)]
pub(super) struct Tree<'f> {
    nodes: Vec<Node<'f>>,
    /// For each node the directory that it is in; the root is in itself.
    parents: Vec<usize>,
}

impl Node<'_> {
    /// The size, that of the marks for itself and its parent included in a directory.
    pub(super) fn size_bytes(&self) -> u64 {
        match self {
            Self::File(content) => content.len() as u64,
            // The root has a label, and no marks: two records or fewer.
            Self::Directory(children) => {
                let records: usize = children.iter().map(|child| child.names.records()).sum();
                ((records + 2) * directory::RECORD_BYTES) as u64
            }
        }
    }
}

impl<'f> Tree<'f> {
    /// The directories of these files.
    ///
    /// # Errors
    /// If a name is none on FAT, or two files have the same.
    pub(super) fn of(files: &'f [EspFile]) -> io::Result<Self> {
        let mut tree = Self { nodes: vec![Node::Directory(Vec::new())], parents: vec![0] };
        for file in files {
            let (directories, name) = file.path.rsplit_once('/').unwrap_or(("", &file.path));
            let mut at = 0;
            for part in directories.split('/').filter(|part| !part.is_empty()) {
                at = match tree.child(at, part) {
                    Some(found) => found,
                    None => tree.add(at, part, Node::Directory(Vec::new()))?,
                };
            }
            if tree.child(at, name).is_some() {
                return Err(invalid(&file.path, "is there twice"));
            }
            tree.add(at, name, Node::File(&file.content))?;
        }
        Ok(tree)
    }

    pub(super) fn nodes(&self) -> impl Iterator<Item = &Node<'f>> {
        self.nodes.iter()
    }

    /// The bytes of the directory with this number, when each node's first cluster is known.
    pub(super) fn directory(&self, index: usize, clusters: &[u32], label: [u8; 11]) -> Vec<u8> {
        let Node::Directory(children) = &self.nodes[index] else { return Vec::new() };
        let mut bytes = Vec::new();
        let parent = self.parents[index];
        if index == 0 {
            Entry { kind: Kind::Label, short: label, cluster: 0, size_bytes: 0 }.write(&mut bytes);
        } else {
            // Of a directory in the root, the parent is cluster 0.
            let above = if parent == 0 { 0 } else { clusters[parent] };
            for (short, cluster) in [(*b".          ", clusters[index]), (*b"..         ", above)] {
                Entry { kind: Kind::Directory, short, cluster, size_bytes: 0 }.write(&mut bytes);
            }
        }
        for child in children {
            child.names.write_long(&mut bytes);
            let (kind, size_bytes) = match &self.nodes[child.node] {
                // A file of 4 GiB does not fit into the partition, which has been seen.
                Node::File(content) => (Kind::File, content.len() as u32),
                Node::Directory(_) => (Kind::Directory, 0),
            };
            let short = child.names.short();
            Entry { kind, short, cluster: clusters[child.node], size_bytes }.write(&mut bytes);
        }
        bytes
    }

    /// What is called so in a directory; FAT knows no difference between large and small letters.
    fn child(&self, directory: usize, name: &str) -> Option<usize> {
        let Node::Directory(children) = &self.nodes[directory] else { return None };
        let is_it = |child: &&Child| child.name.eq_ignore_ascii_case(name);
        children.iter().find(is_it).map(|child| child.node)
    }

    fn add(&mut self, directory: usize, name: &str, node: Node<'f>) -> io::Result<usize> {
        let number = self.nodes.len();
        let Node::Directory(children) = &mut self.nodes[directory] else {
            return Err(invalid(name, "is in something that is a file"));
        };
        let taken: Vec<[u8; 11]> = children.iter().map(|child| child.names.short()).collect();
        let names = names::of(name, &taken).ok_or_else(|| invalid(name, "is no name on FAT"))?;
        children.push(Child { name: name.to_owned(), names, node: number });
        self.nodes.push(node);
        self.parents.push(directory);
        Ok(number)
    }
}

fn invalid(name: &str, why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, format!("{name:?} {why}"))
}
