//! The memory of what was verified, for filesystems without fs-verity.
//!
//! A file `verified` of 16-byte fingerprints, appended to, in no order. A fingerprint is the
//! start of the SHA-256 of an object's name and of the status of its file when it was
//! verified (inode, size, mtime, ctime). A file that was touched since has another one and
//! is hashed again. Torn or changed records match nothing, so they need no checksum: losing
//! the whole file costs time, never correctness.

use std::collections::HashSet;
use std::fs::File;
use std::hash::{BuildHasherDefault, Hash, Hasher};
use std::io::{Read, Seek, SeekFrom, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::fs::Stat;
use sha2::{Digest, Sha256};

use crate::dir::{Dir, sync_file};
use crate::error::{Error, Result};
use crate::places::VERIFIED;

const RECORD_BYTES: usize = 16;

/// What is found in the file about one state of one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fingerprint([u8; RECORD_BYTES]);

impl Hash for Fingerprint {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write(&self.0);
    }
}

impl Fingerprint {
    /// The fingerprint of a file with status `stat` whose content has the digest that names it.
    pub(crate) fn new(digest: &[u8], stat: &Stat) -> Self {
        let mut hash = Sha256::new();
        hash.update(digest);
        hash.update(stat.st_ino.to_le_bytes());
        hash.update(stat.st_size.to_le_bytes());
        hash.update(stat.st_mtime.to_le_bytes());
        hash.update(stat.st_mtime_nsec.to_le_bytes());
        hash.update(stat.st_ctime.to_le_bytes());
        hash.update(stat.st_ctime_nsec.to_le_bytes());
        let mut start = [0; RECORD_BYTES];
        start.copy_from_slice(&hash.finalize()[..RECORD_BYTES]);
        Self(start)
    }
}

/// A set of what is a hash already.
pub(crate) type Known<T = Fingerprint> = HashSet<T, BuildHasherDefault<Start>>;

/// The first bytes of a hash.
#[derive(Default)]
pub(crate) struct Start(u64);

impl Hasher for Start {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        if let Some(start) = bytes.first_chunk() {
            self.0 = u64::from_ne_bytes(*start);
        }
    }
}

/// The memory of one store, read when it is first asked.
#[derive(Default)]
pub(crate) struct Verified {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    known: Option<Known>,
    /// Known, and not in the file yet.
    unsaved: Vec<Fingerprint>,
}

impl Verified {
    /// Whether the file with that fingerprint was verified.
    pub(crate) fn contains(&self, root: &Dir, fingerprint: Fingerprint) -> Result<bool> {
        Ok(self.loaded(root)?.known.as_ref().is_some_and(|known| known.contains(&fingerprint)))
    }

    /// Remembers what was just verified; on the disk from the next [`save`](Self::save) on.
    pub(crate) fn remember(&self, root: &Dir, fingerprint: Fingerprint) -> Result<()> {
        let mut state = self.loaded(root)?;
        if state.known.get_or_insert_default().insert(fingerprint) {
            state.unsaved.push(fingerprint);
        }
        Ok(())
    }

    /// Appends to the file what was remembered since the last time. Does not flush it.
    pub(crate) fn save(&self, root: &Dir) -> Result<()> {
        let mut state = self.state();
        if state.unsaved.is_empty() {
            return Ok(());
        }
        let fail = |e| Error::io("write", root.at(VERIFIED), e);
        let mut file = root.append(VERIFIED, 0o600)?;
        // Other processes append too; and what one of them left half-written is cut off first,
        // as it would shift all that follows.
        file.lock().map_err(fail)?;
        let length = file.metadata().map_err(fail)?.len();
        let torn = length % RECORD_BYTES as u64;
        if torn > 0 {
            file.set_len(length - torn).map_err(fail)?;
        }
        file.write_all(&bytes_of(state.unsaved.iter())).map_err(fail)?;
        state.unsaved.clear();
        Ok(())
    }

    /// Keeps only `current`, and only those of it that are known. For the holder of the
    /// exclusive lock.
    pub(crate) fn compact(
        &self,
        root: &Dir,
        tmp: &Dir,
        current: impl Iterator<Item = Result<Fingerprint>>,
    ) -> Result<()> {
        let mut state = self.loaded(root)?;
        let mut kept = Known::default();
        for fingerprint in current {
            let fingerprint = fingerprint?;
            if state.known.as_ref().is_some_and(|known| known.contains(&fingerprint)) {
                kept.insert(fingerprint);
            }
        }
        let recorded = root.stat(VERIFIED)?.map_or(0, |stat| stat.st_size.unsigned_abs());
        if recorded > 2 * (kept.len() * RECORD_BYTES) as u64 {
            tmp.unlink(VERIFIED)?;
            let mut file = tmp.create(VERIFIED, 0o600)?;
            file.write_all(&bytes_of(kept.iter())).map_err(|e| Error::io("write", tmp.at(VERIFIED), e))?;
            sync_file(&file, &tmp.at(VERIFIED))?;
            tmp.rename(VERIFIED, root, VERIFIED)?;
            state.unsaved.clear();
        }
        state.known = Some(kept);
        Ok(())
    }

    /// Whether anything was ever remembered.
    pub(crate) fn is_empty(&self, root: &Dir) -> Result<bool> {
        Ok(self.loaded(root)?.known.as_ref().is_none_or(Known::is_empty))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere cannot leave a set half-changed in a way that matters: at worst it forgets.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn loaded(&self, root: &Dir) -> Result<MutexGuard<'_, State>> {
        let mut state = self.state();
        if state.known.is_none() {
            state.known = Some(match root.read(VERIFIED)? {
                Some(file) => load(&file).map_err(|e| Error::io("read", root.at(VERIFIED), e))?,
                None => Known::default(),
            });
        }
        Ok(state)
    }
}

fn load(mut file: &File) -> std::io::Result<Known> {
    let records = file.metadata()?.len() as usize / RECORD_BYTES;
    let mut known = Known::with_capacity_and_hasher(records, BuildHasherDefault::default());
    file.seek(SeekFrom::Start(0))?;
    let mut reader = std::io::BufReader::with_capacity(64 * 1024, file);
    let mut record = [0; RECORD_BYTES];
    while reader.read_exact(&mut record).is_ok() {
        known.insert(Fingerprint(record));
    }
    Ok(known)
}

fn bytes_of<'a>(fingerprints: impl Iterator<Item = &'a Fingerprint>) -> Vec<u8> {
    fingerprints.flat_map(|fingerprint| fingerprint.0).collect()
}
