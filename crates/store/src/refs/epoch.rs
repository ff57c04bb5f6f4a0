//! The highest epoch that a seal had which was accepted for a name.

use std::ffi::OsStr;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use sealpack_format::digest::BlobDigest;
use serde::{Deserialize, Serialize};

use super::file::{self, OfName};
use super::name;
use crate::documents::to_json;
use crate::error::{Error, RefDamage, Result};
use crate::meta::Feature;
use crate::places::EPOCHS;
use crate::store::Store;

/// What is remembered of a name: the content of a file in `epochs/`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Epoch {
    version: u64,
    /// The canonical name.
    pub name: String,
    /// The epoch.
    pub epoch: u64,
    /// The manifest of the image whose seal had it first.
    pub manifest: BlobDigest,
    /// When that was, in seconds since 1970 (UTC).
    pub unix_seconds: u64,
}

impl OfName for Epoch {
    const WHAT: &'static str = "the epoch of a name";
    const VERSION: u64 = 1;

    fn name(&self) -> &str {
        &self.name
    }

    fn problem(&self, _: &Store) -> Option<String> {
        None
    }
}

impl Store {
    /// The highest epoch that was [remembered](Self::remember_epoch) for `name`, if any was.
    ///
    /// # Errors
    /// [`Error::Name`]; [`Error::RefDamaged`]; failures of the system.
    pub fn epoch(&self, name: &str) -> Result<Option<Epoch>> {
        name::check(name)?;
        let Some(directory) = self.root.try_sub(EPOCHS)? else { return Ok(None) };
        file::read(self, &directory, OsStr::new(&name::file_name(name)))
    }

    /// Remembers that an image with that manifest came under `name` with a seal of that epoch. What is remembered
    /// outlives the name. Durable on return.
    ///
    /// # Errors
    /// [`Error::EpochOlder`] when a higher one is remembered, which stays; [`Error::Name`]; [`Error::RefDamaged`];
    /// [`Error::Locked`]; failures of the system.
    pub fn remember_epoch(&self, name: &str, epoch: u64, manifest: &BlobDigest) -> Result<()> {
        let _lock = self.shared()?;
        let _names = self.lock_names()?;
        self.remember_epoch_locked(name, epoch, manifest)
    }

    /// As [`remember_epoch`](Self::remember_epoch), for who has locked the names.
    pub(super) fn remember_epoch_locked(&self, name: &str, epoch: u64, manifest: &BlobDigest) -> Result<()> {
        match self.epoch(name)? {
            Some(known) if known.epoch > epoch => {
                return Err(Error::EpochOlder { name: known.name, known: known.epoch, epoch });
            }
            Some(known) if known.epoch == epoch => return Ok(()),
            _ => {}
        }
        self.enable_feature(Feature::History)?;
        let directory = self.root.sub(EPOCHS)?;
        // A clock before 1970 is no reason to fail.
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let (version, manifest) = (Epoch::VERSION, *manifest);
        let content = Epoch { version, name: name.to_owned(), epoch, manifest, unix_seconds: now };
        let json = to_json(&content).map_err(|e| Error::io("write", directory.path(), e))?;
        self.put_file(&directory, Path::new(&name::file_name(name)), &json, 0o644)
    }

    /// All remembered epochs, and the files that are none.
    pub(crate) fn epochs(&self) -> Result<(Vec<Epoch>, Vec<RefDamage>)> {
        match self.root.try_sub(EPOCHS)? {
            Some(directory) => file::read_all(self, &directory),
            None => Ok((Vec::new(), Vec::new())),
        }
    }
}
