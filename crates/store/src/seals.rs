//! The seals of images, by the digests of their manifests and statements. What else is in them is not the store's affair.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use sealpack_format::digest::{Algorithm, BlobDigest};
use sealpack_format::limits::SEAL_MAX_BYTES;
use serde::Deserialize;

use crate::error::{Error, Result};
use crate::hash::blob_digest;
use crate::meta::{Feature, Meta};
use crate::places::{SEALS, SealName};
use crate::refs::{History, ImageRecord, KeptSeal};
use crate::store::Store;

impl Store {
    /// The seal that the image has under its name, if it has one. It stays as long as a name or a history has it.
    ///
    /// # Errors
    /// [`Error::SealTooLarge`]; failures of the system.
    pub fn read_seal(&self, record: &ImageRecord) -> Result<Option<Vec<u8>>> {
        match &record.statement {
            Some(statement) => self.read_seal_of(&record.manifest, statement),
            None => Ok(None),
        }
    }

    /// The seal with that statement of the image with that manifest, whatever names have it.
    ///
    /// # Errors
    /// As [`read_seal`](Self::read_seal).
    pub fn read_seal_of(&self, manifest: &BlobDigest, statement: &BlobDigest) -> Result<Option<Vec<u8>>> {
        let name = SealName { manifest: *manifest, statement: Some(*statement) };
        if let Some(seal) = self.read_seal_file(&name)? {
            return Ok(Some(seal));
        }
        let old = self.read_seal_file(&SealName { statement: None, ..name })?;
        Ok(old.filter(|seal| statement_of(seal) == *statement))
    }

    /// Keeps `seal` as that of the image under its name, in the place of an earlier one. Other names of the image keep
    /// theirs. Durable on return. Answers with the record that the name has then.
    ///
    /// # Errors
    /// [`Error::NameChanged`] when the name has another image by now, or is gone; [`Error::SealTooLarge`]; [`Error::Locked`];
    /// failures of the system.
    pub fn write_seal(&self, record: &ImageRecord, seal: &KeptSeal) -> Result<ImageRecord> {
        let _lock = self.shared()?;
        self.put_seal(&record.manifest, seal)?;
        let _names = self.lock_names()?;
        self.settle_seals()?;
        let now = self.image(&record.name)?.filter(|now| now.manifest == record.manifest);
        let mut now = now.ok_or_else(|| Error::NameChanged(record.name.clone()))?;
        if now.statement != Some(seal.statement) {
            now.statement = Some(seal.statement);
            self.put_record(&now)?;
        }
        Ok(now)
    }

    /// Where the seal is that the image has under its name; `None` when it has none.
    #[must_use]
    pub fn seal_path(&self, record: &ImageRecord) -> Option<PathBuf> {
        let name = SealName { manifest: record.manifest, statement: Some(record.statement?) };
        let path = self.root.at(name.path());
        let old = self.root.at(SealName { statement: None, ..name }.path());
        Some(if path.exists() || !old.exists() { path } else { old })
    }

    /// Writes a seal to where names can say that it is theirs.
    pub(crate) fn put_seal(&self, manifest: &BlobDigest, seal: &KeptSeal) -> Result<()> {
        let name = SealName { manifest: *manifest, statement: Some(seal.statement) };
        self.check_seal_size(&name, &seal.json)?;
        self.enable_feature(Feature::Seals)?;
        let directory = self.root.sub(SEALS)?;
        self.put_file(&directory, Path::new(&name.file_name()), &seal.json, 0o644)
    }

    pub(crate) fn read_seal_file(&self, name: &SealName) -> Result<Option<Vec<u8>>> {
        let Some(seal) = self.root.read_at_most(name.path(), SEAL_MAX_BYTES as u64)? else {
            return Ok(None);
        };
        self.check_seal_size(name, &seal)?;
        Ok(Some(seal))
    }

    fn check_seal_size(&self, name: &SealName, seal: &[u8]) -> Result<()> {
        if seal.len() <= SEAL_MAX_BYTES {
            return Ok(());
        }
        Err(Error::SealTooLarge { path: self.root.at(name.path()), limit_bytes: SEAL_MAX_BYTES as u64 })
    }

    /// The seals that are still where versions before [`Feature::Seals`] put them: each is that of all names of its image.
    pub(crate) fn old_seals(&self) -> Result<OldSeals> {
        let mut old = OldSeals::default();
        if self.seals_settled.load(Ordering::Relaxed) {
            return Ok(old);
        }
        let Some(directory) = self.root.try_sub(SEALS)? else { return Ok(old) };
        let settled = Meta::read(&self.root)?.is_some_and(|(meta, _)| meta.has(Feature::Seals.name()));
        for entry in directory.entries()? {
            let name = entry.name.to_str().and_then(SealName::of_file_name);
            let Some(name) = name.filter(|name| name.statement.is_none() && entry.kind.is_file()) else {
                continue;
            };
            // More bytes than a seal has are that of nobody, and fsck's to report.
            if let Some(seal) = self.root.read_at_most(name.path(), SEAL_MAX_BYTES as u64)? {
                old.0.insert(name.manifest, statement_of(&seal));
            }
        }
        if settled && old.0.is_empty() {
            self.seals_settled.store(true, Ordering::Relaxed);
        }
        Ok(old)
    }

    /// Brings what versions before [`Feature::Seals`] have left to where this one has it: seals are named for their statements,
    /// and names and histories say which is theirs. For who has locked the names, or the store for itself.
    ///
    /// Interrupted, it leaves a store that reads as before, and is done the next time: the old files go last.
    pub(crate) fn settle_seals(&self) -> Result<()> {
        let old = self.old_seals()?;
        if old.0.is_empty() {
            return Ok(());
        }
        self.enable_feature(Feature::Seals)?;
        let directory = self.root.sub(SEALS)?;
        for (manifest, statement) in &old.0 {
            let before = SealName { manifest: *manifest, statement: None };
            let after = SealName { statement: Some(*statement), ..before };
            if directory.stat(after.file_name())?.is_none()
                && let Some(seal) = self.root.read_at_most(before.path(), SEAL_MAX_BYTES as u64)?
            {
                self.put_file(&directory, Path::new(&after.file_name()), &seal, 0o644)?;
            }
        }
        // Reading them has them say which seal is theirs.
        let is_old = |record: &ImageRecord| old.0.contains_key(&record.manifest);
        self.images()?
            .records
            .iter()
            .filter(|record| is_old(record))
            .try_for_each(|record| self.put_record(record))?;
        let is_old = |history: &&History| history.records.iter().any(is_old);
        for history in self.histories()?.0.iter().filter(is_old) {
            self.put_history(&self.root.sub(crate::places::HISTORY)?, history)?;
        }
        for manifest in old.0.keys() {
            directory.unlink(SealName { manifest: *manifest, statement: None }.file_name())?;
        }
        directory.sync()
    }
}

/// Seals where versions before [`Feature::Seals`] put them: their statements by the manifests that they are of.
#[derive(Debug, Default)]
pub(crate) struct OldSeals(BTreeMap<BlobDigest, BlobDigest>);

impl OldSeals {
    /// The record, as it has to say which seal is its.
    pub(crate) fn name_in(&self, record: ImageRecord) -> ImageRecord {
        let statement = record.statement.or_else(|| self.0.get(&record.manifest).copied());
        record.with_statement(statement)
    }
}

/// The digest of the statement in a seal; of what has none, that of all its bytes, so that it stays what it is: a bad seal.
pub(crate) fn statement_of(seal: &[u8]) -> BlobDigest {
    #[derive(Deserialize)]
    struct WithStatement {
        statement: String,
    }
    let statement = serde_json::from_slice::<WithStatement>(seal).map(|seal| seal.statement.into_bytes());
    blob_digest(Algorithm::Sha256, statement.as_deref().unwrap_or(seal))
}
