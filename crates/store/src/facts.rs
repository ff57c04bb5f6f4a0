//! The memory of what was found out about the store and stays true as long as what it is about is as it was.
//!
//! A file `facts` of 16-byte fingerprints, appended to, in no order. A fingerprint is the start of the SHA-256 of a word and
//! of all that the fact is about: digests, and the status of each file or directory that was looked at. What was changed
//! since, by whatever means, has another status, and so what is asked for is another fact, which nobody remembers. Torn or
//! changed records match nothing: losing the whole file costs time, never correctness.

use std::collections::HashSet;
use std::fs::File;
use std::io::{Read, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use rustix::fs::Stat;
use sha2::{Digest, Sha256};

use crate::dir::Dir;
use crate::error::{Error, Result};
use crate::places::FACTS;
use crate::store::Store;

const RECORD_BYTES: usize = 16;

/// As large as the file gets. What is forgotten then is found out again.
const MAX_BYTES: u64 = 64 * 1024;

/// How long what a fact is about must have been as it is: two changes within one tick of the filesystem's clock leave the
/// same status.
const SETTLED: Duration = Duration::from_secs(1);

/// Something that was, or would be, found out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fact {
    record: [u8; RECORD_BYTES],
    /// Whether a change from now on shows in the status of what it is about.
    is_settled: bool,
}

/// Gathers what a fact is about.
pub(crate) struct About {
    hash: Sha256,
    newest: SystemTime,
}

impl About {
    /// About nothing yet.
    pub(crate) fn new() -> Self {
        Self { hash: Sha256::new(), newest: SystemTime::UNIX_EPOCH }
    }

    /// It is about these bytes, too.
    pub(crate) fn and(mut self, bytes: &[u8]) -> Self {
        self.hash.update((bytes.len() as u64).to_le_bytes());
        self.hash.update(bytes);
        self
    }

    /// It is about what has this status, too, or about nothing being there.
    pub(crate) fn and_status(mut self, stat: Option<&Stat>) -> Self {
        let Some(stat) = stat else { return self.and(b"") };
        let seconds = Duration::from_secs(u64::try_from(stat.st_ctime).unwrap_or(0));
        self.newest = self.newest.max(SystemTime::UNIX_EPOCH + seconds);
        let fields = [
            stat.st_ino.to_le_bytes(),
            stat.st_size.to_le_bytes(),
            stat.st_mtime.to_le_bytes(),
            stat.st_mtime_nsec.to_le_bytes(),
            stat.st_ctime.to_le_bytes(),
            stat.st_ctime_nsec.to_le_bytes(),
        ];
        self.and(fields.as_flattened())
    }

    /// The fact of that kind. To be made before what it says is looked at.
    pub(crate) fn fact(&self, word: &'static str) -> Fact {
        let mut record = [0; RECORD_BYTES];
        record.copy_from_slice(&self.hash.clone().chain_update(word).finalize()[..RECORD_BYTES]);
        // A status tells whole seconds here, so one more.
        let settled = self.newest + SETTLED + Duration::from_secs(1);
        Fact { record, is_settled: settled < SystemTime::now() }
    }
}

/// The memory of one store, read when it is first asked.
#[derive(Default)]
pub(crate) struct Facts {
    known: Mutex<Option<HashSet<[u8; RECORD_BYTES]>>>,
}

impl Facts {
    fn contains(&self, root: &Dir, fact: &Fact) -> Result<bool> {
        let mut known = self.known();
        if known.is_none() {
            *known = Some(match root.read(FACTS)? {
                Some(file) => load(&file).map_err(|e| Error::io("read", root.at(FACTS), e))?,
                None => HashSet::new(),
            });
        }
        Ok(known.as_ref().is_some_and(|known| known.contains(&fact.record)))
    }

    fn append(&self, root: &Dir, fact: &Fact) -> Result<()> {
        let fail = |e| Error::io("write", root.at(FACTS), e);
        let mut file = root.append(FACTS, 0o600)?;
        // Other processes append too; and what one of them left half-written would shift all that follows.
        file.lock().map_err(fail)?;
        let length = file.metadata().map_err(fail)?.len();
        let kept = if length >= MAX_BYTES { 0 } else { length - length % RECORD_BYTES as u64 };
        if kept < length {
            file.set_len(kept).map_err(fail)?;
        }
        file.write_all(&fact.record).map_err(fail)?;
        self.known().get_or_insert_default().insert(fact.record);
        Ok(())
    }

    fn known(&self) -> MutexGuard<'_, Option<HashSet<[u8; RECORD_BYTES]>>> {
        // Each change is one assignment or insertion; a panic elsewhere leaves the set whole.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn load(file: &File) -> std::io::Result<HashSet<[u8; RECORD_BYTES]>> {
    let mut bytes = Vec::new();
    file.take(MAX_BYTES + RECORD_BYTES as u64).read_to_end(&mut bytes)?;
    Ok(bytes.as_chunks().0.iter().copied().collect())
}

impl Store {
    /// Whether that was found out before, and all that it is about is as it was then. Not where the memory cannot be read:
    /// then it is found out once more.
    #[must_use]
    pub fn remembers(&self, fact: &Fact) -> bool {
        self.facts.contains(&self.root, fact).unwrap_or(false)
    }

    /// Remembers what was just found out, where that can be written: whoever reads a store need not be able to.
    pub fn remember(&self, fact: &Fact) {
        if fact.is_settled && !self.remembers(fact) {
            // What is not remembered is found out once more, by whoever asks next.
            _ = self.facts.append(&self.root, fact);
        }
    }
}
