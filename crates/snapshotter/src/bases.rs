//! Mounts of chains, which overlays are made on: held below a directory of their own for as long as a snapshot needs them.
//!
//! Each is at the best level that its image and the machine reach. One that was mounted before its image had a seal stays for
//! who uses it, and there is another one from then on: nothing is unmounted that containerd was told to mount.

use std::collections::{HashMap, HashSet};
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use sealpack_format::Algorithm;
use sealpack_format::digest::ObjectId;
use sealpack_mount::{Assurance, Level};
use sealpack_node::mounting;
use sealpack_oci::budget::Limits;
use sealpack_oci::hash::BlobHasher;
use sealpack_oci::pull::merge_layers;
use sealpack_store::{ChainId, ImageRecord, LockKind, Store};

use crate::chains::{Index, held};
use crate::error::Error;
use crate::metrics::Metrics;

/// How long whoever works on the store alone is waited for.
const WAIT: Duration = if cfg!(test) { Duration::from_millis(200) } else { Duration::from_secs(60) };

/// How many digits of a chain ID are in a name.
const CHAIN_HEX: usize = 32;

/// A mount that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Based {
    /// The image that the layers are: its name, or the chain ID of layers that are of none with a name.
    pub image: String,
    /// Where it is mounted.
    pub path: PathBuf,
    /// What the mount is good for, and why for no more.
    pub assurance: Assurance,
}

/// Hears of mounts. It is called by the thread that makes them.
type Observer = Box<dyn Fn(&Based) + Send + Sync>;

/// Mounts of chains.
pub(crate) struct Bases {
    directory: PathBuf,
    /// What the names of this store's begin with: other snapshotters may have theirs in the same directory.
    prefix: String,
    /// One is made at a time of each chain.
    making: Mutex<HashMap<ChainId, Arc<Mutex<()>>>>,
    /// Those that are known to be mounts of the right image.
    known: Mutex<HashMap<ChainId, Known>>,
    observer: OnceLock<Observer>,
    metrics: Arc<Metrics>,
    /// What an image may take whose layers came in one by one, each within these limits.
    pub(crate) limits: Limits,
}

/// A mount of the right image.
#[derive(Debug, Clone)]
struct Known {
    path: PathBuf,
    is_sealed: bool,
}

impl std::fmt::Debug for Bases {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bases").field("directory", &self.directory).finish_non_exhaustive()
    }
}

impl Bases {
    /// Those of `store`, below `directory`.
    pub(crate) fn new(store: &Store, directory: &Path, metrics: Arc<Metrics>) -> Result<Self, Error> {
        let parent = directory.parent().unwrap_or(directory);
        let parents = DirBuilder::new().recursive(true).mode(0o755).create(parent);
        parents.map_err(|error| Error::io("make", parent, error))?;
        let made = DirBuilder::new().recursive(true).mode(0o700).create(directory);
        made.map_err(|error| Error::io("make", directory, error))?;
        let mut hasher = BlobHasher::new(Algorithm::Sha256);
        hasher.update(store.path().as_os_str().as_encoded_bytes());
        let prefix = format!("{}-", &hasher.finish_blob().hex()[..12]);
        let (making, known) = (Mutex::default(), Mutex::default());
        Ok(Self {
            directory: directory.to_owned(),
            prefix,
            making,
            known,
            observer: OnceLock::new(),
            metrics,
            limits: Limits::USUAL,
        })
    }

    /// Has `observer` hear of each mount that is made. Only the first one is heard.
    pub(crate) fn tell(&self, observer: impl Fn(&Based) + Send + Sync + 'static) {
        _ = self.observer.set(Box::new(observer));
    }

    /// Where a chain is mounted, or would be, without a seal.
    pub(crate) fn path(&self, chain: &ChainId) -> PathBuf {
        self.directory.join(self.name(chain))
    }

    fn name(&self, chain: &ChainId) -> String {
        format!("{}{}", self.prefix, &chain.hex()[..CHAIN_HEX])
    }

    /// How long such a name is.
    fn name_bytes(&self) -> usize {
        self.prefix.len() + CHAIN_HEX
    }

    /// Where it is mounted as the image that it is: with another seal it is another mount.
    fn path_of(&self, chain: &ChainId, record: &ImageRecord) -> PathBuf {
        let seal = record.statement.as_ref().map(|statement| format!("-{}", &statement.hex()[..12]));
        self.directory.join(self.name(chain) + &seal.unwrap_or_default())
    }

    /// Mounts a chain, which must be held, unless it is.
    pub(crate) fn mount(&self, store: &Store, index: &Index, chain: &ChainId) -> Result<PathBuf, Error> {
        let one = self.one(chain);
        let _one = one.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = self.known(chain)
            && (known.is_sealed || !has_seal(store, index, chain)?)
            && is_mount(&known.path)?
        {
            return Ok(known.path);
        }
        let _lock = store.lock(LockKind::Shared, WAIT)?;
        let record = self.image(store, index, chain)?;
        let path = self.path_of(chain, &record);
        self.make(store, &record, &path)?;
        let known = Known { path: path.clone(), is_sealed: record.statement.is_some() };
        self.known.lock().unwrap_or_else(PoisonError::into_inner).insert(*chain, known);
        Ok(path)
    }

    /// Makes the image of a chain, which must be held, without mounting it.
    pub(crate) fn make_image(&self, store: &Store, index: &Index, chain: &ChainId) -> Result<(), Error> {
        let one = self.one(chain);
        let _one = one.lock().unwrap_or_else(PoisonError::into_inner);
        let _lock = store.lock(LockKind::Shared, WAIT)?;
        self.image(store, index, chain).map(drop)
    }

    /// What whoever makes something of a chain holds.
    fn one(&self, chain: &ChainId) -> Arc<Mutex<()>> {
        let mut making = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(making.entry(*chain).or_default())
    }

    /// Mounts an image, unless it is mounted there.
    fn make(&self, store: &Store, record: &ImageRecord, path: &Path) -> Result<(), Error> {
        match DirBuilder::new().mode(0o700).create(path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            other => other.map_err(|error| Error::io("make", path, error))?,
        }
        if is_mount(path)? {
            if is_mounted(path, &record.metadata_image)? {
                return Ok(());
            }
            // Another image than the layers make now.
            mounting::unmount(path)?;
        }
        let options = mounting::Options::read_only(path.to_owned(), Level::Plain);
        let achieved = mounting::mount(store, record, options)?;
        self.metrics.mounted(achieved.assurance.level);
        if let Some(observer) = self.observer.get() {
            let (image, path) = (record.name.clone(), path.to_owned());
            observer(&Based { image, path, assurance: achieved.assurance });
        }
        Ok(())
    }

    /// The image that a chain's layers make: one of the store's with a name, for its seal, or else one of their own.
    fn image(&self, store: &Store, index: &Index, id: &ChainId) -> Result<ImageRecord, Error> {
        let chain = held(store, id)?;
        if let Some(named) = index.image(store, &chain.layers)? {
            return Ok(named);
        }
        let made = match chain.metadata_image {
            Some(made) if store.metadata_image_path(&made.0).exists() => made,
            _ => {
                let staging = store.stage()?;
                let made = merge_layers(&staging, &chain.layers, self.limits).map_err(Box::new)?;
                staging.commit()?;
                store.hold_chain(&chain.clone().with_metadata_image(made.0, made.1))?;
                made
            }
        };
        Ok(chain.with_metadata_image(made.0, made.1).as_image(id, made.0))
    }

    fn known(&self, chain: &ChainId) -> Option<Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).get(chain).cloned()
    }

    /// Unmounts those of this store that are not among `needed`. Answers with what went wrong.
    pub(crate) fn sweep(&self, needed: &HashSet<ChainId>) -> Result<Vec<Error>, Error> {
        let needed: HashSet<String> = needed.iter().map(|chain| self.name(chain)).collect();
        let failed = |error| Error::io("read", &self.directory, error);
        let mut problems = Vec::new();
        for entry in fs::read_dir(&self.directory).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let (name, bare) = (entry.file_name(), self.name_bytes());
            let Some(name) = name.to_str().filter(|name| name.starts_with(&self.prefix)) else { continue };
            // What is behind it is of the seal.
            if !needed.contains(name.get(..bare).unwrap_or(name)) {
                problems.extend(remove(&entry.path()).err());
            }
        }
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|chain, _| needed.contains(&self.name(chain)));
        drop(known);
        let mut making = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        making.retain(|_, one| Arc::strong_count(one) > 1);
        Ok(problems)
    }
}

/// Whether the store has a seal of what a chain's layers make.
fn has_seal(store: &Store, index: &Index, chain: &ChainId) -> Result<bool, Error> {
    let record = index.image(store, &held(store, chain)?.layers)?;
    Ok(record.is_some_and(|record| record.statement.is_some()))
}

fn remove(path: &Path) -> Result<(), Error> {
    if is_mount(path)? {
        mounting::unmount(path)?;
    }
    fs::remove_dir(path).map_err(|error| Error::io("remove", path, error))
}

/// Whether something is mounted there.
fn is_mount(path: &Path) -> Result<bool, Error> {
    let device = |path: &Path| match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        other => other.map(|status| Some(status.dev())).map_err(|error| Error::io("look at", path, error)),
    };
    let here = device(path)?;
    Ok(here.is_some() && here != device(path.parent().unwrap_or(path))?)
}

fn is_mounted(path: &Path, image: &ObjectId) -> Result<bool, Error> {
    let mounted = sealpack_mount::mounted().map_err(sealpack_node::Error::from)?;
    // The last one is the one that is seen.
    let last = mounted.iter().rev().find(|mounted| mounted.target == path);
    Ok(last.is_some_and(|mounted| mounted.image == *image))
}
