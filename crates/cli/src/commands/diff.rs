use std::collections::HashSet;

use sealpack_format::ObjectId;
use sealpack_format::tree::{Content, Inode, InodeId, Kind, Tree};
use sealpack_format::walk;

use crate::context::Context;
use crate::error::CommandResult;
use crate::show;
use crate::show::differences::{Change, Difference, Objects, Shared};

/// Show what two images share and in what their files differ.
///
/// Lines begin with `+` (only in the second image), `-` (only in the first) or `~` (in both,
/// with the differences named).
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  sealpack diff debian:11 debian:12
  sealpack diff --summary demo/python:1 demo/perl:1")]
pub(crate) struct Diff {
    /// The first image: a name or a digest.
    first: String,
    /// The second image.
    second: String,
    /// Only say what is shared and how many files differ.
    #[arg(long)]
    summary: bool,
}

impl Diff {
    pub(crate) fn run(self, context: &Context) -> CommandResult {
        let (_lock, store) = context.open_for_reading()?;
        let first = store.tree(&context.find(&store, &self.first)?)?;
        let second = store.tree(&context.find(&store, &self.second)?)?;
        let differences = compare(&first, &second);
        let shared = shared(&first, &second);
        let (names, all) = ([self.first.as_str(), self.second.as_str()], !self.summary);
        show::differences::differences(context.output, names, &shared, &differences, all)
    }
}

/// The objects that two images have in common or alone.
pub(super) fn shared(first: &Tree, second: &Tree) -> Shared {
    let (one, other) = (objects(first), objects(second));
    let total = |set: &mut dyn Iterator<Item = &(ObjectId, u64)>| {
        set.fold(Objects::default(), |Objects { number, bytes }, (_, size)| Objects {
            number: number + 1,
            bytes: bytes + size,
        })
    };
    Shared {
        both: total(&mut one.intersection(&other)),
        only_first: total(&mut one.difference(&other)),
        only_second: total(&mut other.difference(&one)),
    }
}

fn objects(tree: &Tree) -> HashSet<(ObjectId, u64)> {
    walk::walk(tree, InodeId::ROOT, b"/", true)
        .into_iter()
        .filter_map(|(_, id)| match tree.inode(id).kind {
            Kind::Regular(Content::Object { size, id }) => Some((id, size)),
            _ => None,
        })
        .collect()
}

/// Both trees side by side, by path.
pub(super) fn compare(first: &Tree, second: &Tree) -> Vec<Difference> {
    let sorted = |tree| {
        let mut files = walk::walk(tree, InodeId::ROOT, b"/", true);
        files.sort();
        files.into_iter().peekable()
    };
    let (mut one, mut other) = (sorted(first), sorted(second));
    let mut differences = Vec::new();
    loop {
        let order = match (one.peek(), other.peek()) {
            (None, None) => return differences,
            (Some(_), None) => std::cmp::Ordering::Less,
            (None, Some(_)) => std::cmp::Ordering::Greater,
            (Some((left, _)), Some((right, _))) => left.cmp(right),
        };
        let left = if order.is_le() { one.next() } else { None };
        let right = if order.is_ge() { other.next() } else { None };
        match (left, right) {
            (Some((path, left)), Some((_, right))) => {
                let what = what_differs(first.inode(left), second.inode(right));
                if !what.is_empty() {
                    differences.push(Difference { path, change: Change::Changed(what) });
                }
            }
            (Some((path, _)), None) => differences.push(Difference { path, change: Change::Removed }),
            (None, Some((path, _))) => differences.push(Difference { path, change: Change::Added }),
            (None, None) => {}
        }
    }
}

fn what_differs(one: &Inode, other: &Inode) -> Vec<&'static str> {
    let same_content = match (&one.kind, &other.kind) {
        (Kind::Directory(_), Kind::Directory(_)) => true,
        (one, other) => one == other,
    };
    let same_type = std::mem::discriminant(&one.kind) == std::mem::discriminant(&other.kind);
    let (left, right) = (&one.metadata, &other.metadata);
    [
        ("type", !same_type),
        ("content", same_type && !same_content),
        ("mode", left.permissions != right.permissions),
        ("owner", (left.uid, left.gid) != (right.uid, right.gid)),
        ("time", left.mtime != right.mtime),
        ("xattrs", left.xattrs != right.xattrs),
        ("links", same_type && one.names() != other.names() && one.as_directory().is_none()),
    ]
    .into_iter()
    .filter_map(|(name, differs)| differs.then_some(name))
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use sealpack_format::tree::{Directory, Metadata};

    fn tree(files: &[(&str, u16, &str)]) -> Tree {
        let mut tree = Tree::new(Metadata::default());
        for (name, permissions, content) in files {
            let kind = match *content {
                "/" => Kind::Directory(Directory::default()),
                text => Kind::Regular(Content::Inline(text.as_bytes().into())),
            };
            let metadata = Metadata { permissions: *permissions, ..Metadata::default() };
            tree.insert(InodeId::ROOT, name.as_bytes(), Inode::new(metadata, kind)).unwrap();
        }
        tree
    }

    #[test]
    fn every_difference_is_named_once() {
        let first = tree(&[("a", 0, "x"), ("b", 0, "x"), ("c", 0, "/"), ("d", 0, "x")]);
        let second = tree(&[("a", 0, "x"), ("b", 1, "y"), ("c", 0, "x"), ("e", 0, "x")]);
        let lines: String = compare(&first, &second).iter().map(Difference::line).collect();
        assert_eq!(lines, "~ /b (content, mode)\n~ /c (type)\n- /d\n+ /e\n");
    }
}
