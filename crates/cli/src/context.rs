//! What every command needs: the store, and where output goes.

use std::path::PathBuf;
use std::time::Duration;

use sealpack_format::Algorithm;
use sealpack_node::find::{Digests, find};
use sealpack_node::place::StorePlace;
use sealpack_node::settings::Settings;
use sealpack_store::{ImageRecord, Lock, LockKind, Store, location};

use crate::error::CommandError;
use crate::output::Output;
use crate::progress;
use sealpack_node::trust_store::TrustStore;

/// How long a command waits for one that has the store to itself, such as gc.
pub(crate) const LOCK_WAIT: Duration = Duration::from_secs(60);

/// The command line's global part.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) store: Option<PathBuf>,
    pub(crate) trust: Option<PathBuf>,
    /// Whether a variable says where the trust store is, which is set for all that the user does.
    pub(crate) trust_by_variable: bool,
    /// Where the settings are, if a variable says so.
    pub(crate) settings: Option<PathBuf>,
    pub(crate) output: Output,
}

impl Context {
    /// The same with what the machine's settings say where the command line says nothing. They are root's: others have
    /// stores of their own.
    pub(crate) fn with_settings(self) -> Result<Self, CommandError> {
        if !rustix::process::geteuid().is_root() || (self.store.is_some() && self.trust.is_some()) {
            return Ok(self);
        }
        let Settings { store, trust, .. } =
            Settings::read(self.settings.as_deref()).map_err(CommandError::failed)?;
        Ok(Self { store: self.store.or(store), trust: self.trust.or(trust), ..self })
    }

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

    /// The place of the store.
    pub(crate) fn place(&self) -> Result<StorePlace, CommandError> {
        let place = StorePlace::new(self.store_path()?, LOCK_WAIT);
        Ok(place.with_lock_watcher(progress::lock_watcher(self.output)))
    }

    /// The store, which must be there.
    pub(crate) fn open(&self) -> Result<Store, CommandError> {
        let place = self.place()?;
        self.output.detail(|| format!("store {}", place.path().display()));
        Ok(place.open()?)
    }

    /// The store, with a lock that keeps what is in it until the command ends.
    pub(crate) fn open_for_reading(&self) -> Result<(Lock, Store), CommandError> {
        let store = self.open()?;
        let lock = store.lock(LockKind::Shared, LOCK_WAIT)?;
        Ok((lock, store))
    }

    /// As [`open_or_create`](Self::open_or_create), but `None` where it would make a store.
    pub(crate) fn open_if_there(&self, algorithm: Option<Algorithm>) -> Result<Option<Store>, CommandError> {
        Ok(self.place()?.open_if_there(algorithm)?)
    }

    /// The image that `name` means, for who looks at it: the beginning of a digest will do.
    pub(crate) fn find(&self, store: &Store, name: &str) -> Result<ImageRecord, CommandError> {
        Ok(find(store, name, Digests::Beginnings)?)
    }

    /// The same for who signs, allows or names it: a digest must be whole.
    pub(crate) fn find_whole(&self, store: &Store, name: &str) -> Result<ImageRecord, CommandError> {
        Ok(find(store, name, Digests::Whole)?)
    }
}
