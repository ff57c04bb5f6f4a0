//! Where the members of an archive lie.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sealpack_format::tar::{self, Event, MemberKind};

use crate::error::{Error, Result};
use crate::layout::{ExactReader, open_regular};
use crate::media_type::{Compression, unsupported_compression};

/// How much of the archive is read at once.
const CHUNK_BYTES: usize = 1024 * 1024;
/// Most members of an archive; a layer has a handful of them, a layout one for each blob.
const MEMBERS_MAX: usize = 100_000;
/// Most bytes of the members' names and of where links lead to, which are kept in memory.
const NAMES_MAX_BYTES: usize = 64 * 1024 * 1024;
/// Longest chain of links.
const LINKS_MAX: usize = 8;

/// The regular files and links of an archive, by their paths.
#[derive(Debug)]
pub(super) struct Members {
    path: PathBuf,
    file: Arc<File>,
    entries: HashMap<Vec<u8>, Entry>,
}

#[derive(Debug)]
enum Entry {
    File(Extent),
    /// The path that a link leads to, `None` where that is out of the archive, and what it says.
    Link(Option<Vec<u8>>, Vec<u8>),
    /// A directory, a device: what has no content.
    Nothing,
    /// A file with holes, which lies in several pieces.
    Sparse,
}

/// A member's content inside the archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Extent {
    offset: u64,
    pub(super) size_bytes: u64,
}

impl Members {
    /// Reads the headers of the archive at `path`. Of members with one name, the last counts.
    pub(super) fn read(path: &Path) -> Result<Self> {
        let (file, _) = open_regular(path)?;
        refuse_compressed(path, &file)?;
        let mut indexer = Indexer::default();
        let mut reader = tar::Reader::new(tar::Limits::default());
        let mut chunk = vec![0; CHUNK_BYTES];
        let mut position = 0;
        let malformed = |error: tar::Error| Error::malformed(path.display().to_string(), error);
        'file: loop {
            let count =
                file.read_at(&mut chunk, position).map_err(|source| Error::file("read", path, source))?;
            position += count as u64;
            let mut input = &chunk[..count];
            loop {
                let event = reader.next(&mut input).map_err(malformed)?;
                match event {
                    Event::NeedInput if count == 0 => {
                        reader.finish().map_err(malformed)?;
                        break 'file;
                    }
                    Event::NeedInput => break,
                    Event::End => break 'file,
                    event => indexer.add(event, position - input.len() as u64),
                }
            }
            if indexer.entries.len() > MEMBERS_MAX {
                let problem = format!("the archive has more than {MEMBERS_MAX} members");
                return Err(Error::malformed(path.display().to_string(), problem));
            }
            if indexer.names_bytes > NAMES_MAX_BYTES {
                let what = format!("the list of members of {}", path.display());
                return Err(Error::TooLarge { what, limit_bytes: NAMES_MAX_BYTES as u64 });
            }
        }
        Ok(Self { path: path.to_owned(), file: Arc::new(file), entries: indexer.entries })
    }

    /// Whether there is a file or a link at `name`.
    pub(super) fn has(&self, name: &str) -> bool {
        self.entries.get(name.as_bytes()).is_some_and(|entry| !matches!(entry, Entry::Nothing))
    }

    /// The member at `name`, links followed.
    pub(super) fn find(&self, name: &str) -> Result<Extent> {
        let problem =
            |problem: &str| Error::malformed(self.path.display().to_string(), format!("{name:?} {problem}"));
        let mut path = normalise(b"", name.as_bytes()).ok_or_else(|| problem("leads out of the archive"))?;
        let mut link = None;
        for _ in 0..LINKS_MAX {
            match self.entries.get(&path) {
                Some(Entry::File(extent)) => return Ok(*extent),
                Some(Entry::Link(Some(target), said)) => {
                    path.clone_from(target);
                    link = Some(said);
                }
                Some(Entry::Link(None, said)) => {
                    let said = said.escape_ascii();
                    let problem = format!("it is a link to \"{said}\", which leads out of the archive");
                    return Err(self.no_blob(name, &problem));
                }
                Some(Entry::Nothing) => {
                    return Err(self.no_blob(name, "it is a directory, a device or a pipe"));
                }
                Some(Entry::Sparse) => {
                    return Err(problem("is a sparse member, which cannot be read in place"));
                }
                None => {
                    let Some(said) = link else {
                        let (what, name) = (self.path.display().to_string(), name.to_owned());
                        return Err(Error::NoBlob { what, name });
                    };
                    let said = said.escape_ascii();
                    let problem = format!("it is a link to \"{said}\", which is not in the archive");
                    return Err(self.no_blob(name, &problem));
                }
            }
        }
        Err(problem("is a link that leads through too many others"))
    }

    /// The error of a member that is there and has no content.
    fn no_blob(&self, name: &str, problem: &str) -> Error {
        Error::NoBlob { what: self.path.display().to_string(), name: format!("{name}: {problem}") }
    }

    /// The content of the member at `name`, which may have `limit_bytes`.
    pub(super) fn read_small(&self, name: &str, limit_bytes: u64) -> Result<Vec<u8>> {
        let extent = self.find(name)?;
        if extent.size_bytes > limit_bytes {
            let what = format!("{}: {name}", self.path.display());
            return Err(Error::TooLarge { what, limit_bytes });
        }
        let mut bytes = Vec::new();
        let read = self.open(extent, 0).read_to_end(&mut bytes);
        read.map_err(|source| {
            Error::from_read(source).unwrap_or_else(|source| Error::file("read", &self.path, source))
        })?;
        Ok(bytes)
    }

    /// Reads a member's content from `offset` on.
    pub(super) fn open(&self, extent: Extent, offset: u64) -> ExactReader<impl Read + Send + use<>> {
        let section = Section {
            file: Arc::clone(&self.file),
            position: extent.offset.saturating_add(offset),
            end: extent.offset.saturating_add(extent.size_bytes),
        };
        ExactReader::new(section, self.path.display().to_string(), extent.size_bytes, offset)
    }
}

/// Gathers members while the archive goes by.
#[derive(Default)]
struct Indexer {
    entries: HashMap<Vec<u8>, Entry>,
    /// The bytes of all names that came by.
    names_bytes: usize,
    /// The file whose content is going by.
    current: Option<(Vec<u8>, Entry)>,
}

impl Indexer {
    /// Takes an event that ends at byte `position` of the archive.
    fn add(&mut self, event: Event<'_>, position: u64) {
        match event {
            Event::Member(member) => {
                let Some(path) = normalise(b"", &member.path) else { return };
                let parent =
                    path.iter().rposition(|byte| *byte == b'/').map_or(&[][..], |slash| &path[..slash]);
                let other = match &member.kind {
                    MemberKind::Symlink(target) => Entry::Link(normalise(parent, target), target.clone()),
                    MemberKind::HardLink(target) => Entry::Link(normalise(b"", target), target.clone()),
                    _ => Entry::Nothing,
                };
                let target_bytes = match &other {
                    Entry::Link(way, target) => way.as_ref().map_or(0, Vec::len) + target.len(),
                    _ => 0,
                };
                self.names_bytes += path.len() + target_bytes;
                match member.kind {
                    MemberKind::Regular => {
                        let size_bytes = member.size;
                        self.current = Some((path, Entry::File(Extent { offset: position, size_bytes })));
                    }
                    _ => {
                        // Any other kind hides what had the name before.
                        self.entries.insert(path, other);
                    }
                }
            }
            Event::Hole(_) => {
                if let Some((_, entry)) = &mut self.current {
                    *entry = Entry::Sparse;
                }
            }
            Event::MemberEnd => self.entries.extend(self.current.take()),
            _ => {}
        }
    }
}

/// `path`, seen from the directory `base`, without `.` and `..`; `None` when it leads out.
fn normalise(base: &[u8], path: &[u8]) -> Option<Vec<u8>> {
    let mut components: Vec<&[u8]> = Vec::new();
    let base = if path.starts_with(b"/") { b"" } else { base };
    for component in base.split(|byte| *byte == b'/').chain(path.split(|byte| *byte == b'/')) {
        match component {
            b"" | b"." => {}
            b".." => drop(components.pop()?),
            name => components.push(name),
        }
    }
    Some(components.join(&b'/'))
}

fn refuse_compressed(path: &Path, file: &File) -> Result<()> {
    let mut start = [0; 16];
    let count = file.read_at(&mut start, 0).map_err(|source| Error::file("read", path, source))?;
    let start = &start[..count];
    let name = match Compression::of_magic(start) {
        Compression::Plain => unsupported_compression(start).map(str::to_owned),
        compression => Some(compression.to_string()),
    };
    let Some(name) = name else { return Ok(()) };
    let tool = match name.as_str() {
        "gzip" | "compress (.Z)" | "pack (.z)" => "gunzip",
        "zstd" => "unzstd",
        "bzip2" => "bunzip2",
        "xz" | "lzma" => "unxz",
        "lz4" => "unlz4",
        _ => "unpack",
    };
    let problem = format!(
        "the archive is compressed with {name}, so that blobs cannot be read in place; {tool} it first"
    );
    Err(Error::malformed(path.display().to_string(), problem))
}

/// A part of a file, read without moving the file's own position.
struct Section {
    file: Arc<File>,
    position: u64,
    end: u64,
}

impl Read for Section {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let remaining = usize::try_from(self.end.saturating_sub(self.position)).unwrap_or(usize::MAX);
        let wanted = remaining.min(buffer.len());
        let count = self.file.read_at(&mut buffer[..wanted], self.position)?;
        self.position += count as u64;
        Ok(count)
    }
}
