//! Bytes to entries.

use std::io::{self, BufRead};

use sha2::{Digest, Sha256};

use super::{
    LayerEntry, LayerItem, LayerKind, MAGIC, PATH_MAX_BYTES, XATTR_NAME_MAX_BYTES, XATTR_VALUE_MAX_BYTES,
    XATTRS_MAX, tag,
};
use crate::digest::{Algorithm, ObjectId};
use crate::limits::INLINE_MAX_BYTES;
use crate::tree::{Content, Metadata, Time, Xattrs};

/// What is wrong with a record.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LayerError {
    /// The bytes could not be read.
    #[error("cannot read the layer record: {0}")]
    Read(#[from] io::Error),
    /// The bytes are not a record of this version.
    #[error("this is not a layer record of version 1")]
    Magic,
    /// The record ends early, states something impossible, or does not match its checksum.
    #[error("the layer record is damaged at entry {entry}: {what}")]
    Damaged {
        /// The number of entries before the damage.
        entry: u64,
        /// What was found.
        what: &'static str,
    },
}

/// Reads a layer's record, entry by entry.
///
/// The checksum is at the end: what was read is to be believed only once `next` has
/// answered `None`.
pub struct LayerReader<R> {
    source: R,
    hash: Sha256,
    algorithm: Algorithm,
    path: Vec<u8>,
    entries: u64,
    ended: bool,
}

impl<R: BufRead> LayerReader<R> {
    /// Reads the start of a record.
    ///
    /// # Errors
    /// Other bytes than a record's; what `source` answers.
    pub fn new(source: R) -> Result<Self, LayerError> {
        let mut reader = Self {
            source,
            hash: Sha256::new(),
            algorithm: Algorithm::Sha256,
            path: Vec::new(),
            entries: 0,
            ended: false,
        };
        if reader.array::<8>().map_err(short_is_foreign)? != MAGIC {
            return Err(LayerError::Magic);
        }
        let [number] = reader.array()?;
        reader.algorithm =
            Algorithm::from_fsverity_number(number).ok_or_else(|| reader.damage("unknown algorithm"))?;
        Ok(reader)
    }

    /// The algorithm that names the record's objects.
    #[must_use]
    pub const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    fn entry(&mut self) -> Result<Option<LayerEntry>, LayerError> {
        let [tag] = self.array()?;
        if tag == tag::END {
            return self.end().map(|()| None);
        }
        self.read_path()?;
        let path = self.path.clone();
        let item = match tag {
            tag::HARD_LINK => LayerItem::HardLink(self.bytes(PATH_MAX_BYTES)?),
            tag::WHITEOUT => LayerItem::Whiteout,
            tag::OPAQUE => LayerItem::Opaque,
            _ => {
                let metadata = self.metadata()?;
                LayerItem::Inode(metadata, self.kind(tag)?)
            }
        };
        self.entries = self.entries.saturating_add(1);
        Ok(Some(LayerEntry { path, item }))
    }

    fn kind(&mut self, tag: u8) -> Result<LayerKind, LayerError> {
        Ok(match tag {
            tag::DIRECTORY => LayerKind::Directory,
            tag::INLINE => LayerKind::Regular(Content::Inline(self.bytes(INLINE_MAX_BYTES)?.into())),
            tag::OBJECT => {
                let size = self.number()?;
                let id = match self.algorithm {
                    Algorithm::Sha256 => ObjectId::sha256(self.array()?),
                    Algorithm::Sha512 => ObjectId::sha512(self.array()?),
                };
                LayerKind::Regular(Content::Object { size, id })
            }
            tag::SYMLINK => LayerKind::Symlink(self.bytes(PATH_MAX_BYTES)?),
            tag::CHAR_DEVICE => LayerKind::CharDevice(self.small()?),
            tag::BLOCK_DEVICE => LayerKind::BlockDevice(self.small()?),
            tag::FIFO => LayerKind::Fifo,
            _ => return Err(self.damage("unknown kind of entry")),
        })
    }

    fn metadata(&mut self) -> Result<Metadata, LayerError> {
        let permissions = self.small()?;
        let (uid, gid) = (self.small()?, self.small()?);
        let seconds = self.number()?;
        let mtime = Time {
            seconds: (seconds >> 1).cast_signed() ^ (seconds & 1).cast_signed().wrapping_neg(),
            nanoseconds: self.small()?,
        };
        let permissions = u16::try_from(permissions).ok().filter(|bits| *bits <= 0o7777);
        let permissions = permissions.ok_or_else(|| self.damage("permission bits beyond 07777"))?;
        if mtime.nanoseconds >= 1_000_000_000 {
            return Err(self.damage("a second has no more than 999,999,999 nanoseconds"));
        }
        let mut xattrs = Xattrs::default();
        for _ in 0..self.length(XATTRS_MAX)? {
            let key = self.bytes(XATTR_NAME_MAX_BYTES)?;
            xattrs.insert(&key, &self.bytes(XATTR_VALUE_MAX_BYTES)?);
        }
        Ok(Metadata { permissions, uid, gid, mtime, xattrs })
    }

    /// Reads a path over the one before.
    fn read_path(&mut self) -> Result<(), LayerError> {
        let shared = self.length(PATH_MAX_BYTES)?;
        let rest = self.bytes(PATH_MAX_BYTES)?;
        if shared > self.path.len() || shared.saturating_add(rest.len()) > PATH_MAX_BYTES {
            return Err(self.damage("a path that cannot be"));
        }
        self.path.truncate(shared);
        self.path.extend_from_slice(&rest);
        Ok(())
    }

    /// Checks the count, the checksum and that nothing follows.
    fn end(&mut self) -> Result<(), LayerError> {
        if self.number()? != self.entries {
            return Err(self.damage("the count of entries is another"));
        }
        let computed = self.hash.clone().finalize();
        if self.array::<32>()? != *computed {
            return Err(self.damage("the checksum is another"));
        }
        if !self.source.fill_buf()?.is_empty() {
            return Err(self.damage("more bytes after the end"));
        }
        self.ended = true;
        Ok(())
    }

    /// LEB128, in the shortest form only.
    fn number(&mut self) -> Result<u64, LayerError> {
        let mut value: u64 = 0;
        for shift in (0..64_u32).step_by(7) {
            let [byte] = self.array()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 || shift > 0 && byte == 0 {
                break;
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(self.damage("a number that cannot be"))
    }

    fn small(&mut self) -> Result<u32, LayerError> {
        let number = self.number()?;
        u32::try_from(number).map_err(|_| self.damage("a number beyond 32 bits"))
    }

    fn length(&mut self, limit: usize) -> Result<usize, LayerError> {
        let number = self.number()?;
        usize::try_from(number)
            .ok()
            .filter(|length| *length <= limit)
            .ok_or_else(|| self.damage("a length beyond its limit"))
    }

    fn bytes(&mut self, limit: usize) -> Result<Vec<u8>, LayerError> {
        let mut bytes = vec![0; self.length(limit)?];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], LayerError> {
        let mut bytes = [0; N];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), LayerError> {
        self.source.read_exact(bytes).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => self.damage("it ends too early"),
            _ => LayerError::Read(error),
        })?;
        self.hash.update(bytes);
        Ok(())
    }

    const fn damage(&self, what: &'static str) -> LayerError {
        LayerError::Damaged { entry: self.entries, what }
    }
}

/// A file too short for the magic number is not a damaged record but something else.
fn short_is_foreign(error: LayerError) -> LayerError {
    match error {
        LayerError::Damaged { .. } => LayerError::Magic,
        other => other,
    }
}

impl<R: BufRead> Iterator for LayerReader<R> {
    type Item = Result<LayerEntry, LayerError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let entry = self.entry().transpose();
        self.ended |= matches!(entry, Some(Err(_)));
        entry
    }
}
