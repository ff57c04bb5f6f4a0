//! The highest epoch that a seal had which was accepted for a name, and the images that had it.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use sealpack_format::digest::BlobDigest;
use serde::{Deserialize, Serialize};

use super::accepted::AcceptedEpoch;
use super::file::{self, OfName};
use super::name;
use super::record::ImageRecord;
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
    /// Whether all seals that were accepted were for other names: the name was only given to their images here.
    #[serde(default, skip_serializing_if = "is_false")]
    pub given: bool,
    /// The image of each platform whose seal had this epoch. What earlier versions wrote does not say.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub platforms: BTreeMap<String, EpochImage>,
}

/// An image whose seal had the highest epoch of a name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EpochImage {
    /// Its manifest.
    pub manifest: BlobDigest,
    /// When the seal's statement was made, in seconds since 1970.
    pub created_unix_seconds: u64,
}

fn is_false(it: &bool) -> bool {
    !it
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

    /// Remembers that the image in `record` had a seal that was accepted for a name. What is remembered outlives the
    /// name. Durable on return.
    ///
    /// # Errors
    /// [`Error::EpochOlder`] when a higher one is remembered, and [`Error::EpochSame`] when the same is remembered of
    /// another image of the platform whose seal was made no earlier: what is remembered stays then. [`Error::Name`];
    /// [`Error::RefDamaged`]; [`Error::Locked`]; failures of the system.
    pub fn remember_epoch(&self, accepted: &AcceptedEpoch, record: &ImageRecord) -> Result<()> {
        let _lock = self.shared()?;
        let _names = self.lock_names()?;
        self.remember_epoch_locked(accepted, record)
    }

    /// As [`remember_epoch`](Self::remember_epoch), for who has locked the names.
    pub(super) fn remember_epoch_locked(&self, accepted: &AcceptedEpoch, record: &ImageRecord) -> Result<()> {
        let known = self.epoch(&accepted.name)?;
        let next = match &known {
            None => Epoch::new(accepted, record),
            Some(known) => known.clone().followed_by(accepted, record)?,
        };
        if known.as_ref() == Some(&next) {
            return Ok(());
        }
        self.enable_feature(Feature::History)?;
        let directory = self.root.sub(EPOCHS)?;
        let json = to_json(&next).map_err(|e| Error::io("write", directory.path(), e))?;
        self.put_file(&directory, Path::new(&name::file_name(&next.name)), &json, 0o644)
    }

    /// All remembered epochs, and the files that are none.
    pub(crate) fn epochs(&self) -> Result<(Vec<Epoch>, Vec<RefDamage>)> {
        match self.root.try_sub(EPOCHS)? {
            Some(directory) => file::read_all(self, &directory),
            None => Ok((Vec::new(), Vec::new())),
        }
    }
}

impl Epoch {
    fn new(accepted: &AcceptedEpoch, record: &ImageRecord) -> Self {
        // A clock before 1970 is no reason to fail.
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        Self {
            version: Self::VERSION,
            name: accepted.name.clone(),
            epoch: accepted.epoch,
            manifest: record.manifest,
            unix_seconds: now,
            given: accepted.given,
            platforms: BTreeMap::from([(record.platform.clone(), EpochImage::new(accepted, record))]),
        }
    }

    /// What is to be remembered when the image in `record` comes after what is.
    fn followed_by(mut self, accepted: &AcceptedEpoch, record: &ImageRecord) -> Result<Self> {
        let given = self.given && accepted.given;
        if accepted.epoch < self.epoch {
            return Err(Error::EpochOlder { name: self.name, known: self.epoch, epoch: accepted.epoch });
        }
        if accepted.epoch > self.epoch {
            return Ok(Self { given, ..Self::new(accepted, record) });
        }
        let mut image = EpochImage::new(accepted, record);
        if let Some(known) = self.platforms.get(&record.platform) {
            let is_later = image.created_unix_seconds > known.created_unix_seconds;
            if known.manifest != image.manifest && !is_later {
                let (epoch, known) = (self.epoch, known.manifest);
                return Err(Error::EpochSame { name: self.name, epoch, known, manifest: image.manifest });
            }
            image.created_unix_seconds = image.created_unix_seconds.max(known.created_unix_seconds);
        }
        self.platforms.insert(record.platform.clone(), image);
        Ok(Self { given, ..self })
    }
}

impl EpochImage {
    fn new(accepted: &AcceptedEpoch, record: &ImageRecord) -> Self {
        Self { manifest: record.manifest, created_unix_seconds: accepted.created_unix_seconds }
    }
}
