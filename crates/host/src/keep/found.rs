//! What there is to keep.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::FileType;
use sealpack_format::boot::keep::{Entry, EtcPath, FILE_MAX_BYTES, FILES_MAX, TOTAL_MAX_BYTES};
use sealpack_format::tree::Tree;
use sealpack_kernel::directory::Directory;

use super::{PassedOver, Why, image};

/// Whose something is, and what may be done with it. Bits that give rights are left out: nothing kept has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Owner {
    pub(super) mode: u32,
    pub(super) user: u32,
    pub(super) group: u32,
}

impl Owner {
    pub(super) const fn new(mode: u32, user: u32, group: u32) -> Self {
        Self { mode: mode & 0o777, user, group }
    }
}

/// A file, whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FoundFile {
    pub(super) bytes: Vec<u8>,
    pub(super) owner: Owner,
}

/// What is there of what the list names.
#[derive(Debug, Default)]
pub(super) struct Found<'a> {
    /// What the image has is not among them.
    image: Option<&'a Tree>,
    /// Files, by their paths.
    pub(super) files: BTreeMap<EtcPath, FoundFile>,
    /// The directories that they are in, from `/etc`.
    pub(super) directories: BTreeMap<PathBuf, Owner>,
    /// What is not kept though it is there.
    pub(super) passed_over: Vec<PassedOver>,
    /// The bytes of all files so far.
    bytes: u64,
}

impl<'a> Found<'a> {
    /// Nothing yet.
    pub(super) fn new(image: Option<&'a Tree>) -> Self {
        Self { image, ..Self::default() }
    }

    /// Whether it is more than is kept. Beyond that no more is read.
    pub(super) fn is_too_much(&self) -> bool {
        self.files.len() > FILES_MAX || self.bytes > TOTAL_MAX_BYTES
    }

    /// Adds what there is of a line of the list.
    pub(super) fn add(&mut self, etc: &Directory, entry: &Entry) {
        let path = entry.path();
        let names: Vec<&OsStr> = path.in_etc().iter().collect();
        let Some((name, above)) = names.split_last() else { return };
        let added = self.within(etc, Path::new(""), above, &mut |found, parent, directory| match entry {
            Entry::File(path) => found.add_file(parent, name, path),
            Entry::Directory(path) => match sub_of(parent, name)? {
                Some(sub) => found.add_directory(&sub, &directory.join(name), path),
                None => Ok(()),
            },
        });
        if let Err(why) = added {
            self.pass_over(path.in_etc(), why);
        }
    }

    /// Goes down by `names`, and does there what is to be done, unless one of them is not there.
    fn within(
        &mut self,
        directory: &Directory,
        path: &Path,
        names: &[&OsStr],
        then: &mut dyn FnMut(&mut Self, &Directory, &Path) -> Result<(), Why>,
    ) -> Result<(), Why> {
        let Some((name, rest)) = names.split_first() else { return then(self, directory, path) };
        let Some(sub) = sub_of(directory, name)? else { return Ok(()) };
        let path = path.join(name);
        self.note(&sub, &path)?;
        self.within(&sub, &path, rest, then)
    }

    /// Remembers a directory.
    fn note(&mut self, directory: &Directory, path: &Path) -> Result<(), Why> {
        let stat = rustix::fs::fstat(directory).map_err(|errno| failed(errno.into()))?;
        self.directories.insert(path.to_owned(), Owner::new(stat.st_mode, stat.st_uid, stat.st_gid));
        Ok(())
    }

    fn add_directory(&mut self, directory: &Directory, path: &Path, named: &EtcPath) -> Result<(), Why> {
        self.note(directory, path)?;
        let mut entries = directory.entries().map_err(failed)?;
        entries.sort_by(|one, other| one.0.cmp(&other.0));
        for (name, kind) in entries {
            let here = path.join(&name);
            let Some(text) = name.to_str() else {
                self.pass_over(&here, Why::Name);
                continue;
            };
            let added = named.join(text).map_err(Why::Never).and_then(|named| match kind {
                FileType::Directory => match sub_of(directory, &name)? {
                    Some(sub) => self.add_directory(&sub, &here, &named),
                    None => Ok(()),
                },
                FileType::Symlink => Err(Why::Link),
                FileType::RegularFile => self.add_file(directory, &name, &named),
                _ => Err(Why::Kind),
            });
            if let Err(why) = added {
                self.pass_over(&here, why);
            }
        }
        Ok(())
    }

    fn add_file(&mut self, directory: &Directory, name: &OsStr, path: &EtcPath) -> Result<(), Why> {
        let Some(stat) = directory.stat(name).map_err(failed)? else { return Ok(()) };
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => {}
            FileType::Symlink => return Err(Why::Link),
            _ => return Err(Why::Kind),
        }
        let Some(file) = directory.read(name).map_err(failed)? else { return Ok(()) };
        if self.is_too_much() {
            return Ok(());
        }
        let file = read(file)?;
        if self.image.is_some_and(|tree| image::has(tree, path, &file)) {
            return Ok(());
        }
        self.bytes += file.bytes.len() as u64;
        if let Some(before) = self.files.insert(path.clone(), file) {
            // Two lines can mean one file.
            self.bytes -= before.bytes.len() as u64;
        }
        Ok(())
    }

    fn pass_over(&mut self, path: &Path, why: Why) {
        let path = path.to_owned();
        if !self.passed_over.iter().any(|other| other.path == path) {
            self.passed_over.push(PassedOver { path, why });
        }
    }
}

/// The directory `name`, if it is one; a link is none.
fn sub_of(directory: &Directory, name: &OsStr) -> Result<Option<Directory>, Why> {
    let Some(stat) = directory.stat(name).map_err(failed)? else { return Ok(None) };
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => directory.sub(name).map_err(failed),
        FileType::Symlink => Err(Why::Link),
        _ => Err(Why::Kind),
    }
}

fn read(file: File) -> Result<FoundFile, Why> {
    let metadata = file.metadata().map_err(failed)?;
    let owner = Owner::new(metadata.mode(), metadata.uid(), metadata.gid());
    let mut bytes = Vec::new();
    file.take(FILE_MAX_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > FILE_MAX_BYTES {
        return Err(Why::Large { size_bytes: metadata.len() });
    }
    Ok(FoundFile { bytes, owner })
}

pub(super) fn failed(error: io::Error) -> Why {
    Why::Failed(error.to_string())
}
