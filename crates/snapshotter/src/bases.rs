//! Mounts of chains, which overlays are made on: held below a directory of their own for as long as a snapshot needs them.

use std::collections::{HashMap, HashSet};
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sealpack_format::Algorithm;
use sealpack_format::digest::ObjectId;
use sealpack_mount::Level;
use sealpack_node::mounting;
use sealpack_oci::budget::Limits;
use sealpack_oci::hash::BlobHasher;
use sealpack_oci::pull::merge_layers;
use sealpack_store::{ChainId, ImageRecord, LockKind, Store};

use crate::chains::{Index, held};
use crate::error::Error;

/// How long whoever works on the store alone is waited for.
const WAIT: Duration = Duration::from_secs(60);

/// Mounts of chains.
#[derive(Debug)]
pub(crate) struct Bases {
    directory: PathBuf,
    /// What the names of this store's begin with: other snapshotters may have theirs in the same directory.
    prefix: String,
    /// One is made at a time of each chain.
    making: Mutex<HashMap<ChainId, Arc<Mutex<()>>>>,
    /// Those that are known to be mounts of the right image.
    known: Mutex<HashSet<ChainId>>,
}

impl Bases {
    /// Those of `store`, below `directory`.
    pub(crate) fn new(store: &Store, directory: &Path) -> Result<Self, Error> {
        let parent = directory.parent().unwrap_or(directory);
        let parents = DirBuilder::new().recursive(true).mode(0o755).create(parent);
        parents.map_err(|error| Error::io("make", parent, error))?;
        let made = DirBuilder::new().recursive(true).mode(0o700).create(directory);
        made.map_err(|error| Error::io("make", directory, error))?;
        let mut hasher = BlobHasher::new(Algorithm::Sha256);
        hasher.update(store.path().as_os_str().as_encoded_bytes());
        let prefix = format!("{}-", &hasher.finish_blob().hex()[..12]);
        let (making, known) = (Mutex::default(), Mutex::default());
        Ok(Self { directory: directory.to_owned(), prefix, making, known })
    }

    /// Where a chain is mounted, or would be.
    pub(crate) fn path(&self, chain: &ChainId) -> PathBuf {
        self.directory.join(format!("{}{}", self.prefix, &chain.hex()[..32]))
    }

    /// Mounts a chain, which must be held, unless it is.
    pub(crate) fn mount(&self, store: &Store, index: &Index, chain: &ChainId) -> Result<PathBuf, Error> {
        let path = self.path(chain);
        let one = {
            let mut making = self.making.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(making.entry(*chain).or_default())
        };
        let _one = one.lock().unwrap_or_else(PoisonError::into_inner);
        if self.is_known(chain) && is_mount(&path)? {
            return Ok(path);
        }
        let _lock = store.lock(LockKind::Shared, WAIT)?;
        let record = image(store, index, chain)?;
        match DirBuilder::new().mode(0o700).create(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            other => other.map_err(|error| Error::io("make", &path, error))?,
        }
        if is_mount(&path)? {
            if is_mounted(&path, &record.metadata_image)? {
                self.set_known(chain);
                return Ok(path);
            }
            // Another image than the layers make now, such as one before a seal was known.
            mounting::unmount(&path)?;
        }
        mounting::mount(store, &record, mounting::Options::read_only(path.clone(), Level::Plain))?;
        self.set_known(chain);
        Ok(path)
    }

    fn is_known(&self, chain: &ChainId) -> bool {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).contains(chain)
    }

    fn set_known(&self, chain: &ChainId) {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).insert(*chain);
    }

    /// Unmounts those of this store that are not among `needed`. Answers with what went wrong.
    pub(crate) fn sweep(&self, needed: &HashSet<ChainId>) -> Result<Vec<Error>, Error> {
        let needed: HashSet<PathBuf> = needed.iter().map(|chain| self.path(chain)).collect();
        let failed = |error| Error::io("read", &self.directory, error);
        let mut problems = Vec::new();
        for entry in fs::read_dir(&self.directory).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let path = entry.path();
            let is_ours = entry.file_name().to_str().is_some_and(|name| name.starts_with(&self.prefix));
            if is_ours && !needed.contains(&path) {
                problems.extend(remove(&path).err());
            }
        }
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|chain| needed.contains(&self.path(chain)));
        drop(known);
        let mut making = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        making.retain(|_, one| Arc::strong_count(one) > 1);
        Ok(problems)
    }
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

/// The image that a chain's layers make: one of the store's with a name, for its seal, or else one of their own.
fn image(store: &Store, index: &Index, id: &ChainId) -> Result<ImageRecord, Error> {
    let chain = held(store, id)?;
    if let Some(named) = index.image(store, &chain.layers)? {
        return Ok(named);
    }
    let made = match chain.metadata_image {
        Some(made) if store.metadata_image_path(&made.0).exists() => made,
        _ => {
            let staging = store.stage()?;
            let made = merge_layers(&staging, &chain.layers, Limits::NONE).map_err(Box::new)?;
            staging.commit()?;
            store.hold_chain(&chain.clone().with_metadata_image(made.0, made.1))?;
            made
        }
    };
    Ok(chain.with_metadata_image(made.0, made.1).as_image(id, made.0))
}
