//! Entries to bytes.

use std::io::{self, Write};

use sha2::{Digest, Sha256};

use super::{LayerEntry, LayerItem, LayerKind, MAGIC, tag};
use crate::digest::Algorithm;
use crate::tree::{Content, Metadata};

/// Writes a layer's record, entry by entry.
///
/// The caller gives a buffered sink; each entry is one write.
pub struct LayerWriter<W> {
    sink: W,
    hash: Sha256,
    entry: Vec<u8>,
    last_path: Vec<u8>,
    entries: u64,
    size_bytes: u64,
}

impl<W: Write> LayerWriter<W> {
    /// Starts a record whose objects are named by `algorithm`.
    ///
    /// # Errors
    /// What `sink` answers.
    pub fn new(sink: W, algorithm: Algorithm) -> io::Result<Self> {
        let mut writer = Self {
            sink,
            hash: Sha256::new(),
            entry: Vec::new(),
            last_path: Vec::new(),
            entries: 0,
            size_bytes: 0,
        };
        writer.entry.extend_from_slice(&MAGIC);
        writer.entry.push(algorithm.fsverity_number());
        writer.flush_entry()?;
        Ok(writer)
    }

    /// Adds `entry`.
    ///
    /// # Errors
    /// What the sink answers; `InvalidInput` for file contents that are not inline and not an object.
    pub fn push(&mut self, entry: &LayerEntry) -> io::Result<()> {
        match &entry.item {
            LayerItem::Inode(metadata, kind) => self.inode(&entry.path, metadata, kind)?,
            LayerItem::HardLink(target) => {
                self.start(tag::HARD_LINK, &entry.path);
                bytes(&mut self.entry, target);
            }
            LayerItem::Whiteout => self.start(tag::WHITEOUT, &entry.path),
            LayerItem::Opaque => self.start(tag::OPAQUE, &entry.path),
        }
        self.entries = self.entries.saturating_add(1);
        self.flush_entry()
    }

    /// The number of bytes written so far.
    #[must_use]
    pub const fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// Ends the record and gives the sink back.
    ///
    /// # Errors
    /// What the sink answers.
    pub fn finish(mut self) -> io::Result<W> {
        self.entry.push(tag::END);
        number(&mut self.entry, self.entries);
        self.flush_entry()?;
        let digest = self.hash.finalize();
        self.sink.write_all(&digest)?;
        self.sink.flush()?;
        Ok(self.sink)
    }

    fn inode(&mut self, path: &[u8], metadata: &Metadata, kind: &LayerKind) -> io::Result<()> {
        let tag = match kind {
            LayerKind::Directory => tag::DIRECTORY,
            LayerKind::Regular(Content::Inline(_)) => tag::INLINE,
            LayerKind::Regular(Content::Object { .. }) => tag::OBJECT,
            LayerKind::Regular(Content::External { .. }) => {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidInput,
                    "a layer's file is inline or an object",
                ));
            }
            LayerKind::Symlink(_) => tag::SYMLINK,
            LayerKind::CharDevice(_) => tag::CHAR_DEVICE,
            LayerKind::BlockDevice(_) => tag::BLOCK_DEVICE,
            LayerKind::Fifo => tag::FIFO,
        };
        self.start(tag, path);
        self.metadata(metadata);
        let buffer = &mut self.entry;
        match kind {
            LayerKind::Regular(Content::Inline(content)) => bytes(buffer, content),
            LayerKind::Regular(Content::Object { size, id }) => {
                number(buffer, *size);
                buffer.extend_from_slice(id.as_bytes());
            }
            LayerKind::Symlink(target) => bytes(buffer, target),
            LayerKind::CharDevice(device) | LayerKind::BlockDevice(device) => {
                number(buffer, u64::from(*device))
            }
            LayerKind::Directory | LayerKind::Fifo | LayerKind::Regular(Content::External { .. }) => {}
        }
        Ok(())
    }

    /// The tag, and the path as what it shares with the path before and the rest.
    fn start(&mut self, tag: u8, path: &[u8]) {
        let shared = path.iter().zip(&self.last_path).take_while(|(one, other)| one == other).count();
        self.entry.push(tag);
        length(&mut self.entry, shared);
        bytes(&mut self.entry, path.get(shared..).unwrap_or_default());
        self.last_path.clear();
        self.last_path.extend_from_slice(path);
    }

    fn metadata(&mut self, metadata: &Metadata) {
        let buffer = &mut self.entry;
        number(buffer, u64::from(metadata.permissions));
        number(buffer, u64::from(metadata.uid));
        number(buffer, u64::from(metadata.gid));
        let seconds = metadata.mtime.seconds;
        number(buffer, ((seconds << 1) ^ (seconds >> 63)).cast_unsigned());
        number(buffer, u64::from(metadata.mtime.nanoseconds));
        length(buffer, metadata.xattrs.len());
        for (key, value) in metadata.xattrs.iter() {
            bytes(buffer, key);
            bytes(buffer, value);
        }
    }

    fn flush_entry(&mut self) -> io::Result<()> {
        self.hash.update(&self.entry);
        self.sink.write_all(&self.entry)?;
        self.size_bytes = self.size_bytes.saturating_add(u64::try_from(self.entry.len()).unwrap_or(u64::MAX));
        self.entry.clear();
        Ok(())
    }
}

/// LEB128: seven bits a byte, low ones first, the top bit set on all but the last.
fn number(buffer: &mut Vec<u8>, mut value: u64) {
    loop {
        let [low, ..] = value.to_le_bytes();
        value >>= 7;
        if value == 0 {
            buffer.push(low & 0x7f);
            return;
        }
        buffer.push(low | 0x80);
    }
}

fn length(buffer: &mut Vec<u8>, value: usize) {
    number(buffer, u64::try_from(value).unwrap_or(u64::MAX));
}

fn bytes(buffer: &mut Vec<u8>, value: &[u8]) {
    length(buffer, value.len());
    buffer.extend_from_slice(value);
}
