//! cpio archives of the kind "newc" (Documentation/driver-api/early-userspace/buffer-format.rst).

use std::collections::BTreeMap;
use std::io;

/// What the headers begin with: no checksums.
const MAGIC: &str = "070701";
/// The name that ends an archive.
const TRAILER: &str = "TRAILER!!!";
/// To what headers and contents are aligned.
const ALIGNMENT: usize = 4;

/// What an entry is.
#[derive(Debug, Clone, Copy)]
pub(super) enum EntryKind<'a> {
    /// A directory that everybody may look into.
    Directory,
    /// A file that its owner, root, may read.
    File(&'a [u8]),
    /// A file that root may execute.
    Program(&'a [u8]),
    /// A character device of root's.
    CharDevice {
        /// The driver.
        major: u32,
        /// Which of its devices.
        minor: u32,
    },
}

impl<'a> EntryKind<'a> {
    const fn mode(self) -> u32 {
        match self {
            Self::Directory => 0o040_755,
            Self::File(_) => 0o100_400,
            Self::Program(_) => 0o100_500,
            Self::CharDevice { .. } => 0o020_600,
        }
    }

    const fn content(self) -> &'a [u8] {
        match self {
            Self::File(content) | Self::Program(content) => content,
            Self::Directory | Self::CharDevice { .. } => &[],
        }
    }

    const fn device(self) -> (u32, u32) {
        match self {
            Self::CharDevice { major, minor } => (major, minor),
            _ => (0, 0),
        }
    }
}

/// An archive that is being made. Names are in order, so that directories come before what is in them.
#[derive(Debug, Default)]
pub(super) struct Archive<'a> {
    entries: BTreeMap<String, EntryKind<'a>>,
}

impl<'a> Archive<'a> {
    /// Adds an entry at a path without a slash in front; the last one of a name counts.
    pub(super) fn add(&mut self, name: &str, kind: EntryKind<'a>) {
        self.entries.insert(name.to_owned(), kind);
    }

    /// The archive.
    pub(super) fn write(&self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        for (index, (name, kind)) in self.entries.iter().enumerate() {
            write_entry(&mut bytes, u32::try_from(index + 1).unwrap_or(u32::MAX), name, Some(*kind))?;
        }
        write_entry(&mut bytes, 0, TRAILER, None)?;
        Ok(bytes)
    }
}

fn write_entry(bytes: &mut Vec<u8>, inode: u32, name: &str, kind: Option<EntryKind<'_>>) -> io::Result<()> {
    let too_large = |_| io::Error::new(io::ErrorKind::InvalidInput, format!("{name} is larger than 4 GiB"));
    let content = kind.map(EntryKind::content).unwrap_or_default();
    let size = u32::try_from(content.len()).map_err(too_large)?;
    let (major, minor) = kind.map(EntryKind::device).unwrap_or_default();
    let links = if matches!(kind, Some(EntryKind::Directory)) { 2 } else { 1 };
    let name_bytes = u32::try_from(name.len() + 1).map_err(too_large)?;
    // Inode, mode, owner, group, links, time, size, device (two), the device that it is (two), name, checksum.
    let mode = kind.map(EntryKind::mode).unwrap_or_default();
    let fields = [inode, mode, 0, 0, links, 0, size, 0, 0, major, minor, name_bytes, 0];
    bytes.extend_from_slice(MAGIC.as_bytes());
    fields.iter().for_each(|field| bytes.extend_from_slice(format!("{field:08x}").as_bytes()));
    bytes.extend_from_slice(name.as_bytes());
    bytes.push(0);
    align(bytes);
    bytes.extend_from_slice(content);
    align(bytes);
    Ok(())
}

fn align(bytes: &mut Vec<u8>) {
    bytes.resize(bytes.len().next_multiple_of(ALIGNMENT), 0);
}
