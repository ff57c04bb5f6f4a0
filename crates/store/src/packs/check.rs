//! Whether a pack's bytes are those of its root hash.

use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::num::NonZeroUsize;
use std::os::unix::fs::FileExt;

use rustix::fs::{Advice, FileType, fadvise};
use sealpack_format::digest::RootHash;
use sealpack_format::pack::{PackError, PackReader};
use sealpack_format::verity::dmverity::{DmVerityError, Hashing, write_hash_area};
use sealpack_kernel::sha256::leaf_hash;

use crate::dir::about_to;
use crate::error::{Error, Result};
use crate::integrity::ObjectState;
use crate::objects::{is_unreadable, status};
use crate::places::pack_path;
use crate::store::Store;
use crate::verified::Fingerprint;

impl Store {
    /// Whether the store has the pack with that root hash, undamaged: every byte, the hash tree included.
    ///
    /// The answer is remembered from the last time, if the file has not been touched since; otherwise the
    /// pack is hashed. Its size is never enough.
    ///
    /// # Errors
    /// Failures of the system, but a pack that the disk refuses to hand out (`EIO`) is
    /// [`ObjectState::Damaged`].
    pub fn check_pack(&self, root_hash: &RootHash) -> Result<ObjectState> {
        let name = pack_path(root_hash);
        let Some(stat) = self.root.stat(&name)? else { return Ok(ObjectState::Absent) };
        if !FileType::from_raw_mode(stat.st_mode).is_file() {
            return Ok(ObjectState::Damaged);
        }
        if self.verified.contains(&self.root, Fingerprint::new(root_hash.as_bytes(), &stat))? {
            return Ok(ObjectState::Good);
        }
        let Some(file) = self.open_pack(root_hash)? else { return Ok(ObjectState::Absent) };
        let path = self.pack_path(root_hash);
        about_to("hash", &|| (path.clone(), std::path::PathBuf::new()));
        let before = status(&file, &path)?;
        if !has_root_hash(&file, root_hash).map_err(|e| Error::io("read", &path, e))? {
            return Ok(ObjectState::Damaged);
        }
        self.verified.remember(&self.root, Fingerprint::new(root_hash.as_bytes(), &before))?;
        Ok(ObjectState::Good)
    }
}

/// Whether the file is a pack, as far as its directories tell, that has that root hash.
fn has_root_hash(file: &File, expected: &RootHash) -> io::Result<bool> {
    let unreadable = |error: io::Error| if is_unreadable(&error) { Ok(false) } else { Err(error) };
    let blocks = match PackReader::open(file) {
        Ok(pack) => pack.filesystem_blocks(),
        Err(PackError::Source(error)) => return unreadable(error),
        Err(_) => return Ok(false),
    };
    match root_hash(file, blocks * 4096) {
        Ok(found) => Ok(found == Some(*expected)),
        Err(DmVerityError::Io(error) | DmVerityError::Data(error)) => unreadable(error),
        Err(_) => Ok(false),
    }
}

/// The root hash of the first `size_bytes`, if what follows them is their hash area.
fn root_hash(file: &File, size_bytes: u64) -> std::result::Result<Option<RootHash>, DmVerityError> {
    // Only a hint: the file is read as well without it.
    let _ = fadvise(file, 0, None, Advice::Sequential);
    let threads = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let area = Compare { file, position: 0, same: true };
    let hashing = Hashing { hash: leaf_hash(), threads };
    let (root_hash, area) = write_hash_area(file, size_bytes, area, size_bytes, hashing)?;
    Ok(area.same.then_some(root_hash))
}

/// An output that is not written, but compared with the file.
struct Compare<'a> {
    file: &'a File,
    position: u64,
    same: bool,
}

impl Write for Compare<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut found = vec![0; bytes.len()];
        self.file.read_exact_at(&mut found, self.position)?;
        self.same &= found == bytes;
        self.position += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for Compare<'_> {
    fn seek(&mut self, position: SeekFrom) -> io::Result<u64> {
        let SeekFrom::Start(position) = position else { return Err(io::ErrorKind::Unsupported.into()) };
        self.position = position;
        Ok(position)
    }
}
