//! Where the store is, for those who may be the first to use it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use sealpack_format::Algorithm;
use sealpack_store::{Error, Lock, LockKind, LockWatcher, Store};

/// The place of a store, which need not be there yet.
#[derive(Debug, Clone)]
pub struct StorePlace {
    path: PathBuf,
    wait: Duration,
    watcher: LockWatcher,
}

impl StorePlace {
    /// The store in the directory `path`; its users wait `wait` for each other.
    #[must_use]
    pub fn new(path: PathBuf, wait: Duration) -> Self {
        Self { path, wait, watcher: LockWatcher::default() }
    }

    /// The same, with somebody who hears that its users wait.
    #[must_use]
    pub fn with_lock_watcher(self, watcher: LockWatcher) -> Self {
        Self { watcher, ..self }
    }

    fn ours(&self, store: Store) -> Store {
        store.with_lock_wait(self.wait).with_lock_watcher(self.watcher.clone())
    }

    /// The store's directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The store, which must be there.
    ///
    /// # Errors
    ///
    /// Of the store.
    pub fn open(&self) -> Result<Store, Error> {
        Store::open(self.path.clone()).map(|store| self.ours(store))
    }

    /// The store, with a lock that keeps what is in it for as long as it is held.
    ///
    /// # Errors
    ///
    /// Of the store.
    pub fn open_for_reading(&self) -> Result<(Lock, Store), Error> {
        let store = self.open()?;
        let lock = store.lock(LockKind::Shared, self.wait)?;
        Ok((lock, store))
    }

    /// The store, made now if there is none: with `algorithm`, or SHA-256. One that is there must have that algorithm.
    ///
    /// # Errors
    ///
    /// Of the store.
    pub fn open_or_create(&self, algorithm: Option<Algorithm>) -> Result<Store, Error> {
        Store::open_or_create(self.path.clone(), algorithm).map(|store| self.ours(store))
    }

    /// As [`open_or_create`](Self::open_or_create), but `None` where it would make a store.
    ///
    /// # Errors
    ///
    /// Of the store.
    pub fn open_if_there(&self, algorithm: Option<Algorithm>) -> Result<Option<Store>, Error> {
        match Store::open(self.path.clone()) {
            Err(Error::Missing { .. } | Error::Empty { .. }) => Ok(None),
            _ => self.open_or_create(algorithm).map(Some),
        }
    }
}
