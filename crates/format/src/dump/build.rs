//! Puts the lines of a dump together into a tree.

use std::collections::{BTreeSet, HashMap};

use super::line::{Line, What};
use super::{DumpError, LINE_MAX_BYTES, LineError, Mode, shown};
use crate::tree::{Inode, InodeId, Kind, Metadata, Tree, XattrPool};

/// Reads a dump that comes in pieces of any size.
///
/// ```
/// use sealpack_format::dump::{Builder, Mode};
///
/// let mut builder = Builder::new(Mode::Strict);
/// builder.push(b"/ 0 40755 2 0 0 0 0.0 - - -\n/etc 0 407")?;
/// builder.push(b"55 2 0 0 0 0.0 - - -\n")?;
/// assert_eq!(builder.finish()?.len(), 2);
/// # Ok::<(), sealpack_format::dump::DumpError>(())
/// ```
#[derive(Debug)]
pub struct Builder {
    mode: Mode,
    /// A line whose end has not come yet.
    partial: Vec<u8>,
    /// The number of the last line that was complete.
    line: u64,
    state: State,
}

impl Builder {
    /// A builder that has read nothing yet.
    #[must_use]
    pub fn new(mode: Mode) -> Self {
        Self { mode, partial: Vec::new(), line: 0, state: State::default() }
    }

    /// Reads a piece of the dump.
    ///
    /// # Errors
    /// The first line that is wrong. The builder is of no use after that.
    pub fn push(&mut self, mut bytes: &[u8]) -> Result<(), DumpError> {
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            let (line, rest) = bytes.split_at_checked(end).unwrap_or_default();
            if self.partial.is_empty() {
                self.add(line)?;
            } else {
                let mut whole = std::mem::take(&mut self.partial);
                whole.extend_from_slice(line);
                self.add(&whole)?;
                whole.clear();
                self.partial = whole;
            }
            bytes = rest.get(1..).unwrap_or_default();
        }
        if self.partial.len().saturating_add(bytes.len()) > LINE_MAX_BYTES {
            return Err(DumpError { line: self.line.saturating_add(1), what: LineError::TooLong });
        }
        self.partial.extend_from_slice(bytes);
        Ok(())
    }

    /// Ends the dump and gives the tree.
    ///
    /// # Errors
    /// A last line that is wrong or, in strict mode, cut off; hard links to nowhere; no entries.
    pub fn finish(mut self) -> Result<Tree, DumpError> {
        if !self.partial.is_empty() {
            if self.mode == Mode::Strict {
                return Err(DumpError { line: self.line.saturating_add(1), what: LineError::NoNewline });
            }
            let line = std::mem::take(&mut self.partial);
            self.add(&line)?;
        }
        let end = self.line.max(1);
        self.state.finish().map_err(|(line, what)| DumpError { line: line.unwrap_or(end), what })
    }

    fn add(&mut self, text: &[u8]) -> Result<(), DumpError> {
        self.line = self.line.saturating_add(1);
        let line = self.line;
        let added = if text.len() > LINE_MAX_BYTES {
            Err(LineError::TooLong)
        } else {
            Line::parse(text, self.mode).and_then(|parsed| self.state.add(line, parsed, self.mode))
        };
        added.map_err(|what| DumpError { line, what })
    }
}

/// A hard link, which may come before its target.
#[derive(Debug)]
struct PendingLink {
    line: u64,
    parent: InodeId,
    name: Box<[u8]>,
    target: Box<[u8]>,
}

/// Where something is: directory, and name in it.
type Place = (InodeId, Box<[u8]>);

#[derive(Debug, Default)]
struct State {
    tree: Option<Tree>,
    links: Vec<PendingLink>,
    pool: XattrPool,
    /// The directory of the line before, and each directory on the way there with the end of
    /// its path in it: most lines are about the same directory as the line before.
    directory: Vec<u8>,
    way: Vec<(usize, InodeId)>,
}

impl State {
    fn add(&mut self, line: u64, parsed: Line<'_>, mode: Mode) -> Result<(), LineError> {
        if *parsed.path == *b"/" {
            return self.add_root(parsed.what);
        }
        if self.tree.is_none() {
            return Err(LineError::RootMissing);
        }
        let path = normal_path(&parsed.path, mode)?;
        let slash = path.iter().rposition(|byte| *byte == b'/');
        let (directory, name) = match slash {
            Some(slash) => {
                let (directory, name) = path.split_at_checked(slash).unwrap_or_default();
                (directory, name.get(1..).unwrap_or_default())
            }
            None => (&b""[..], path.as_slice()),
        };
        let parent = self.directory(directory)?;
        let tree = self.tree.as_mut().ok_or(LineError::RootMissing)?;
        match parsed.what {
            What::Inode(mut inode) => {
                inode.metadata.xattrs = self.pool.share(inode.metadata.xattrs);
                tree.insert(parent, name, inode)?;
            }
            What::HardLink(target) => {
                crate::tree::check_name(name)?;
                let (name, target) = (name.into(), target.into());
                self.links.push(PendingLink { line, parent, name, target });
            }
        }
        Ok(())
    }

    fn add_root(&mut self, what: What<'_>) -> Result<(), LineError> {
        if self.tree.is_some() {
            return Err(LineError::SecondRoot);
        }
        match what {
            What::Inode(Inode { metadata, kind: Kind::Directory(_), .. }) => {
                let xattrs = self.pool.share(metadata.xattrs);
                self.tree = Some(Tree::new(Metadata { xattrs, ..metadata }));
                Ok(())
            }
            What::Inode(_) | What::HardLink(_) => Err(LineError::RootType),
        }
    }

    /// The directory at `path`, which has no slashes around it.
    fn directory(&mut self, path: &[u8]) -> Result<InodeId, LineError> {
        let tree = self.tree.as_ref().ok_or(LineError::RootMissing)?;
        let common = self.directory.iter().zip(path).take_while(|(one, other)| one == other).count();
        let is_on_way = |end: usize| end <= common && matches!(path.get(end), None | Some(b'/'));
        while self.way.pop_if(|(end, _)| !is_on_way(*end)).is_some() {}
        let (mut end, mut id) = self.way.last().copied().unwrap_or((0, InodeId::ROOT));
        self.directory.truncate(end);
        let rest = path.get(end..).unwrap_or_default();
        for name in rest.split(|byte| *byte == b'/').filter(|name| !name.is_empty()) {
            end = end.saturating_add(name.len()).saturating_add(usize::from(end > 0));
            let shown_path = || shown(path.get(..end).unwrap_or(path));
            id = tree.child(id, name).ok_or_else(|| LineError::ParentMissing(shown_path()))?;
            if tree.inode(id).as_directory().is_none() {
                return Err(LineError::ParentType(shown_path()));
            }
            self.way.push((end, id));
        }
        self.directory.clear();
        self.directory.extend_from_slice(path);
        Ok(id)
    }

    /// Resolves the hard links. Errors come with their lines, where there are any.
    fn finish(self) -> Result<Tree, (Option<u64>, LineError)> {
        let mut tree = self.tree.ok_or((None, LineError::Empty))?;
        let targets =
            LinkTargets::new(&tree, &self.links).resolve().map_err(|(line, what)| (Some(line), what))?;
        let mut linked = BTreeSet::new();
        for (link, (directory, name)) in self.links.iter().zip(&targets) {
            let error = |error| (Some(link.line), error);
            let missing = || error(LineError::LinkTarget(shown(&link.target)));
            let id = tree.child(*directory, name).ok_or_else(missing)?;
            if tree.inode(id).as_directory().is_some() {
                return Err(error(LineError::DirectoryLink));
            }
            tree.link(link.parent, &link.name, id).map_err(|what| error(what.into()))?;
            tree.set_first_name(id, *directory, name);
            linked.insert(id);
        }
        for id in linked {
            // The line of the first name has stated the links, the usual 1 included.
            let inode = tree.inode_mut(id);
            let stated = inode.stated_links.unwrap_or(1);
            inode.stated_links = (stated != inode.names()).then_some(stated);
        }
        Ok(tree)
    }
}

/// Finds out what hard links are links to, through other hard links.
struct LinkTargets<'a> {
    tree: &'a Tree,
    links: &'a [PendingLink],
    by_place: HashMap<(InodeId, &'a [u8]), usize>,
}

impl<'a> LinkTargets<'a> {
    fn new(tree: &'a Tree, links: &'a [PendingLink]) -> Self {
        let by_place = links.iter().map(|link| (link.parent, link.name.as_ref())).zip(0..).collect();
        Self { tree, links, by_place }
    }

    /// The places of the targets, in the order of the links.
    fn resolve(&self) -> Result<Vec<Place>, (u64, LineError)> {
        let mut resolved: Vec<Option<Place>> = vec![None; self.links.len()];
        for start in 0..self.links.len() {
            let mut way = Vec::new();
            let mut next = start;
            let place = loop {
                let Some(link) = self.links.get(next) else { break None };
                if let Some(place) = resolved.get(next).and_then(Option::as_ref) {
                    break Some(place.clone());
                }
                if way.len() > self.links.len() {
                    let link = self.links.get(start).unwrap_or(link);
                    return Err((link.line, LineError::LinkLoop(shown(&link.target))));
                }
                way.push(next);
                let (directory, name) = self.place(link)?;
                if self.tree.child(directory, name).is_some() {
                    break Some((directory, name.into()));
                }
                match self.by_place.get(&(directory, name)) {
                    Some(further) => next = *further,
                    None => return Err((link.line, LineError::LinkTarget(shown(&link.target)))),
                }
            };
            for index in way {
                if let Some(entry) = resolved.get_mut(index) {
                    entry.clone_from(&place);
                }
            }
        }
        Ok(resolved.into_iter().flatten().collect())
    }

    /// Directory and name that a link's target path leads to.
    fn place(&self, link: &'a PendingLink) -> Result<(InodeId, &'a [u8]), (u64, LineError)> {
        let mut names = link.target.split(|byte| *byte == b'/').filter(|name| !name.is_empty()).peekable();
        let mut directory = InodeId::ROOT;
        loop {
            let Some(name) = names.next() else { return Err((link.line, LineError::DirectoryLink)) };
            if names.peek().is_none() {
                return Ok((directory, name));
            }
            directory = self
                .tree
                .child(directory, name)
                .ok_or_else(|| (link.line, LineError::LinkTarget(shown(&link.target))))?;
        }
    }
}

/// `path` without its leading slash, and in lenient mode without repeated ones.
fn normal_path(path: &[u8], mode: Mode) -> Result<Vec<u8>, LineError> {
    let trailing = path.last() == Some(&b'/');
    let names = path.split(|byte| *byte == b'/').filter(|name| !name.is_empty());
    let mut normal = Vec::with_capacity(path.len());
    for name in names {
        if !normal.is_empty() {
            normal.push(b'/');
        }
        normal.extend_from_slice(name);
    }
    let expected = normal.len().saturating_add(1);
    let exact = path.first() == Some(&b'/') && path.len() == expected;
    if trailing || normal.is_empty() || (mode == Mode::Strict && !exact) {
        return Err(LineError::Path);
    }
    Ok(normal)
}
