//! Writes a tree as a dump.

use std::collections::HashMap;
use std::io::{self, Write};

use super::escape::{Also, escape};
use crate::erofs::inode::FileType;
use crate::names::{FirstNames, first_names};
use crate::tree::{Content, Entries, Inode, InodeId, Kind, Tree};

/// Writes `tree` to `out` as a dump: depth first, children sorted by the bytes of their names.
///
/// A directory's size is written as 0, since it means nothing. What is read back from the dump
/// makes the same metadata image.
///
/// # Errors
/// What `out` fails with.
pub fn write(tree: &Tree, out: &mut impl Write) -> io::Result<()> {
    const BUFFER_BYTES: usize = 256 * 1024;
    let first_names = first_names(tree);
    let paths = first_paths(tree, &first_names);
    let mut buffer = Vec::new();
    put_inode(tree, tree.root(), b"/", None, &mut buffer);
    let mut walk = Walk::new(tree);
    while let Some((parent, name, id)) = walk.next() {
        let is_first = first_names.get(&id).is_none_or(|first| *first == (parent, name));
        let target = if is_first { None } else { paths.get(&id).map(AsRef::as_ref) };
        put_inode(tree, tree.inode(id), &walk.path, target, &mut buffer);
        if buffer.len() > BUFFER_BYTES {
            out.write_all(&buffer)?;
            buffer.clear();
        }
    }
    out.write_all(&buffer)
}

/// Goes through a tree depth first, knowing the path. Works on a list, not by recursion.
struct Walk<'t> {
    tree: &'t Tree,
    /// The path of what was found last.
    path: Vec<u8>,
    /// The directories above, their remaining entries, and the lengths of their paths.
    stack: Vec<(InodeId, Entries<'t>, usize)>,
}

impl<'t> Walk<'t> {
    fn new(tree: &'t Tree) -> Self {
        let root = tree.root().as_directory().map(|root| (InodeId::ROOT, root.iter(), 0));
        Self { tree, path: Vec::new(), stack: root.into_iter().collect() }
    }

    /// The next name, with the directory that has it.
    fn next(&mut self) -> Option<(InodeId, &'t [u8], InodeId)> {
        loop {
            let (parent, entries, length) = self.stack.last_mut()?;
            let Some((name, id)) = entries.next() else {
                self.stack.pop();
                continue;
            };
            let parent = *parent;
            self.path.truncate(*length);
            self.path.push(b'/');
            self.path.extend_from_slice(name);
            if let Some(directory) = self.tree.inode(id).as_directory() {
                self.stack.push((id, directory.iter(), self.path.len()));
            }
            return Some((parent, name, id));
        }
    }
}

/// The paths that hard links refer to.
fn first_paths(tree: &Tree, first_names: &FirstNames<'_>) -> HashMap<InodeId, Box<[u8]>> {
    let mut paths = HashMap::with_capacity(first_names.len());
    let mut walk = Walk::new(tree);
    while paths.len() < first_names.len()
        && let Some((parent, name, id)) = walk.next()
    {
        if first_names.get(&id) == Some(&(parent, name)) {
            paths.insert(id, walk.path.as_slice().into());
        }
    }
    paths
}

/// Appends the line of one name. `target` is the path that it is a hard link to.
fn put_inode(tree: &Tree, inode: &Inode, path: &[u8], target: Option<&[u8]>, out: &mut Vec<u8>) {
    escape(path, Also::Nothing, out);
    let (size, links, rdev) = match &inode.kind {
        Kind::Directory(directory) => {
            let below = directory.iter().filter(|(_, id)| tree.inode(*id).as_directory().is_some());
            (0, u32::try_from(below.count()).unwrap_or(u32::MAX).saturating_add(2), 0)
        }
        kind => {
            let links = inode.stated_links.unwrap_or(inode.names());
            match kind {
                Kind::Regular(content) => (content.size_bytes(), links, 0),
                Kind::Symlink(target) => (u64::try_from(target.len()).unwrap_or(u64::MAX), links, 0),
                Kind::CharDevice(number) | Kind::BlockDevice(number) => (0, links, *number),
                _ => (0, links, 0),
            }
        }
    };
    let metadata = &inode.metadata;
    let mode = FileType::of(&inode.kind).mode_bits() | (metadata.permissions & 0o7777);
    let fields = format!(
        " {size} {link}{mode:o} {links} {uid} {gid} {rdev} {seconds}.{nanoseconds} ",
        link = if target.is_some() { "@" } else { "" },
        uid = metadata.uid,
        gid = metadata.gid,
        seconds = metadata.mtime.seconds,
        nanoseconds = metadata.mtime.nanoseconds,
    );
    out.extend_from_slice(fields.as_bytes());
    put_data(&inode.kind, target, out);
    for (key, value) in metadata.xattrs.iter() {
        out.push(b' ');
        escape(key, Also::Equals, out);
        out.push(b'=');
        escape(value, Also::Equals, out);
    }
    out.push(b'\n');
}

/// Appends payload, content and digest.
fn put_data(kind: &Kind, target: Option<&[u8]>, out: &mut Vec<u8>) {
    let object_path;
    let (payload, content, digest) = match kind {
        Kind::Symlink(target) => (Some(target.as_ref()), None, None),
        Kind::Regular(Content::Inline(bytes)) => (None, Some(bytes.as_ref()), None),
        Kind::Regular(Content::Object { id, .. }) => {
            object_path = id.object_path();
            (Some(object_path.as_bytes()), None, Some(*id))
        }
        Kind::Regular(Content::External { path, digest, .. }) => (Some(path.as_ref()), None, *digest),
        _ => (None, None, None),
    };
    for field in [target.or(payload), content] {
        match field {
            Some(bytes) if !bytes.is_empty() => escape(bytes, Also::LoneDash, out),
            _ => out.push(b'-'),
        }
        out.push(b' ');
    }
    match digest {
        Some(digest) => out.extend_from_slice(digest.to_string().as_bytes()),
        None => out.push(b'-'),
    }
}
