//! What every command needs: the store, and where output goes.

use std::path::PathBuf;
use std::time::Duration;

use sealpack_format::Algorithm;
use sealpack_format::reference::Reference;
use sealpack_store::{ImageRecord, Lock, LockKind, Store, location};
use sealpack_trust::anchors::Anchors;

use crate::error::CommandError;
use crate::output::Output;
use sealpack_node::trust_store::TrustStore;

/// How long a command waits for one that has the store to itself, such as gc.
pub(crate) const LOCK_WAIT: Duration = Duration::from_secs(60);

/// The fewest characters of a digest that name an image.
const DIGEST_PREFIX_MIN: usize = 8;

/// The command line's global part.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) store: Option<PathBuf>,
    pub(crate) trust: Option<PathBuf>,
    pub(crate) output: Output,
}

impl Context {
    /// Where the store is, or would be.
    pub(crate) fn store_path(&self) -> Result<PathBuf, CommandError> {
        let user = rustix::process::geteuid().as_raw();
        let usual = || location::usual(user, |name| std::env::var_os(name));
        self.store.clone().or_else(usual).ok_or_else(|| {
            CommandError::failed(
                "there is no usual place for a store: neither $XDG_DATA_HOME nor $HOME is set",
            )
            .hint("give one with --store DIR")
        })
    }

    /// Where the trust store is, or would be.
    pub(crate) fn trust_store(&self) -> TrustStore {
        let user = rustix::process::geteuid().as_raw();
        TrustStore::new(self.trust.clone(), user, |name| std::env::var_os(name))
    }

    /// What the trust store says.
    pub(crate) fn anchors(&self) -> Result<Anchors, CommandError> {
        Ok(self.trust_store().read(&mut self.output.remarks())?)
    }

    /// The store, which must be there.
    pub(crate) fn open(&self) -> Result<Store, CommandError> {
        let path = self.store_path()?;
        self.output.detail(|| format!("store {}", path.display()));
        Ok(Store::open(path)?.with_lock_wait(LOCK_WAIT))
    }

    /// The store, with a lock that keeps what is in it until the command ends.
    pub(crate) fn open_for_reading(&self) -> Result<(Lock, Store), CommandError> {
        let store = self.open()?;
        let lock = store.lock(LockKind::Shared, LOCK_WAIT)?;
        Ok((lock, store))
    }

    /// The store, made now if there is none.
    pub(crate) fn open_or_create(&self, algorithm: Option<Algorithm>) -> Result<Store, CommandError> {
        Ok(Store::open_or_create(self.store_path()?, algorithm)?.with_lock_wait(LOCK_WAIT))
    }

    /// As [`open_or_create`](Self::open_or_create), but `None` where it would make a store.
    pub(crate) fn open_if_there(&self, algorithm: Option<Algorithm>) -> Result<Option<Store>, CommandError> {
        match Store::open(self.store_path()?) {
            Err(sealpack_store::Error::Missing { .. } | sealpack_store::Error::Empty { .. }) => Ok(None),
            _ => self.open_or_create(algorithm).map(Some),
        }
    }

    /// The image that `name` means: a reference, or the first characters of the digest of
    /// its manifest (`sha256:…` or bare) or of its metadata image.
    pub(crate) fn find(&self, store: &Store, name: &str) -> Result<ImageRecord, CommandError> {
        if let Some(record) = self.try_find(store, name)? {
            return Ok(record);
        }
        let canonical = match name.parse::<Reference>() {
            Ok(reference) => reference.to_string(),
            Err(error) => return Err(CommandError::usage(error)),
        };
        Err(CommandError::failed(format_args!("the store has no image {canonical}"))
            .hint("`sealpack images` lists what it has; `sealpack pull` brings more"))
    }

    /// As [`find`](Self::find), but `None` when the store has no such image.
    pub(crate) fn try_find(&self, store: &Store, name: &str) -> Result<Option<ImageRecord>, CommandError> {
        if let Ok(reference) = name.parse::<Reference>()
            && let Some(record) = store.image(&reference.to_string())?
        {
            return Ok(Some(record));
        }
        self.find_by_digest(store, name)
    }

    /// As [`find`](Self::find), for those who do something to the name: a digest must have only one.
    pub(crate) fn find_name(&self, store: &Store, name: &str) -> Result<ImageRecord, CommandError> {
        let record = self.find(store, name)?;
        let is_name = name.parse::<Reference>().is_ok_and(|reference| reference.to_string() == record.name);
        let images = if is_name { Vec::new() } else { store.images()?.records };
        let names: Vec<&str> = images
            .iter()
            .filter(|other| other.manifest == record.manifest)
            .map(|other| other.name.as_str())
            .collect();
        if names.len() > 1 {
            return Err(CommandError::failed(format_args!("{name} has several names: {}", names.join(", ")))
                .hint("give the names that are meant"));
        }
        Ok(record)
    }

    fn find_by_digest(&self, store: &Store, text: &str) -> Result<Option<ImageRecord>, CommandError> {
        let prefix = text.split_once(':').map_or(text, |(_, hex)| hex);
        let is_hex = prefix.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if prefix.len() < DIGEST_PREFIX_MIN || !is_hex {
            return Ok(None);
        }
        let images = store.images()?;
        let means = |record: &&ImageRecord| {
            record.manifest.hex().starts_with(prefix) || record.metadata_image.to_string().starts_with(prefix)
        };
        let found: Vec<ImageRecord> = images.records.iter().filter(means).cloned().collect();
        // Several names of one image are one image.
        if found.windows(2).any(|pair| pair[0].manifest != pair[1].manifest) {
            return Err(CommandError::failed(format_args!(
                "{text} is the beginning of several images' digests"
            ))
            .hint("give more of the digest"));
        }
        Ok(found.into_iter().next())
    }
}
