//! Layers that the store has not: blobs that containerd has fetched become layers of the store, and nothing is unpacked.

use std::collections::HashMap;
use std::io::Read;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use sealpack_format::{Algorithm, BlobDigest, DiffId};
use sealpack_oci::budget::{Budget, Limits};
use sealpack_oci::ingest::{Expected, Watch, ingest};
use sealpack_oci::media_type;
use sealpack_store::{Chain, ChainId, ObjectForm, Staging};

use super::layers::{Below, below};
use super::{Kind, Snapshotter};
use crate::chains::{held, try_held, usual_form};
use crate::error::Error;
use crate::state::{Change, Layered};

/// What containerd would mount, as it gives it back.
#[derive(Debug, Clone, Copy)]
pub struct Given<'a> {
    /// What is mounted.
    pub source: &'a str,
    /// Options.
    pub options: &'a [String],
}

/// The snapshot that a layer is applied to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    key: String,
    id: u64,
    parent: String,
}

impl Target {
    /// The namespace of containerd's that it belongs to: the first part of its key.
    #[must_use]
    pub fn namespace(&self) -> &str {
        namespace_of(&self.key)
    }
}

/// The namespace of containerd's that a snapshot belongs to: the first part of its key or name.
pub(super) fn namespace_of(name: &str) -> &str {
    name.split('/').next().unwrap_or_default()
}

/// The blob of a layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blob {
    /// Its digest.
    pub digest: BlobDigest,
    /// Its size.
    pub size_bytes: u64,
    /// What it is said to be.
    pub media_type: String,
}

/// What was applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Applied {
    /// The layer.
    pub layer: DiffId,
    /// The size of its tar stream.
    pub size_bytes: u64,
}

/// One for each blob, so that nobody converts what another is converting.
#[derive(Debug, Default)]
pub(super) struct Conversions(Mutex<HashMap<BlobDigest, Arc<Mutex<Option<Applied>>>>>);

impl Conversions {
    fn of(&self, blob: &BlobDigest) -> Arc<Mutex<Option<Applied>>> {
        Arc::clone(self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(*blob).or_default())
    }
}

impl Snapshotter {
    /// The snapshot that has these mounts.
    ///
    /// # Errors
    /// [`Error::NotOurs`]; [`Error::MediaType`] for a blob that is not read; [`Error::OnDirectory`] for a snapshot based on
    /// what containerd unpacked: then it is to unpack this one, too.
    pub fn target(&self, mounts: &[Given<'_>], blob: &Blob) -> Result<Target, Error> {
        let upper = |given: &Given<'_>| {
            let upper = given.options.iter().find_map(|option| option.strip_prefix("upperdir="));
            self.directories.snapshot_of(Path::new(upper.unwrap_or(given.source)))
        };
        let id = mounts.iter().find_map(upper).ok_or(Error::NotOurs)?;
        let (target, below) = {
            let state = self.state();
            let found = state.rows().find(|(_, row)| row.id == id && row.kind == Kind::Active);
            let (key, row) = found.ok_or(Error::NotOurs)?;
            let target = Target { key: key.to_owned(), id, parent: row.parent.clone() };
            (target, below(&state, &row.parent)?)
        };
        if !is_readable(&blob.media_type) {
            return Err(Error::MediaType(blob.media_type.clone()));
        }
        if let [Below::Directory(_), ..] = below.as_slice() {
            // Whoever unpacks it looks into the mount.
            self.lowers(&below, false)?;
            return Err(Error::OnDirectory(target.parent));
        }
        self.applies.store(true, Ordering::Relaxed);
        Ok(target)
    }

    /// Takes in the blob that `open` reads, unless the store has it already, and notes that it is the content of the
    /// snapshot.
    ///
    /// # Errors
    /// [`Error::Layer`] where the blob is not what was said, or no layer; of the store; [`Error::NotFound`] for a snapshot
    /// that is gone by then. Nothing is left of a layer that failed.
    pub fn apply<R: Read + Send>(
        &self,
        target: &Target,
        blob: &Blob,
        open: impl FnOnce() -> std::io::Result<R>,
    ) -> Result<Applied, Error> {
        let _holding = self.hold();
        let below = self.chain_of(&target.parent)?;
        // What is there stays there until the chain is held.
        let staging = self.store.stage()?;
        let form = self.form_on(below.as_ref());
        let applied = self.taken_in(&staging, blob, form, open)?;
        let mut layers = below.map(|below| below.layers).unwrap_or_default();
        layers.push(applied.layer);
        let chain = ChainId::of(&layers).expect("a layer was pushed");
        if try_held(&self.store, &chain)?.is_none() {
            self.store.hold_chain(&Chain::new(layers, form))?;
        }
        let mut state = self.state();
        let mut row = state.get(&target.key)?.clone();
        if row.id != target.id || row.kind != Kind::Active {
            return Err(Error::NotFound(target.key.clone()));
        }
        row.layered = Some(Layered { chain, layer: applied.layer });
        state.change(Change::default().put(&target.key, row))?;
        Ok(applied)
    }

    /// The form of a layer on top of others.
    pub(super) fn form_on(&self, below: Option<&Chain>) -> ObjectForm {
        below.map_or_else(|| usual_form(&self.store), |below| below.objects)
    }

    /// Takes a blob in, unless the store has it by then: one at a time does it with each.
    pub(super) fn taken_in<R: Read + Send>(
        &self,
        staging: &Staging<'_>,
        blob: &Blob,
        form: ObjectForm,
        open: impl FnOnce() -> std::io::Result<R>,
    ) -> Result<Applied, Error> {
        let conversion = self.conversions.of(&blob.digest);
        // Whoever panicked has written nothing here.
        let mut known = conversion.lock().unwrap_or_else(PoisonError::into_inner);
        let applied = match *known {
            Some(applied) if self.store.has_layer(&applied.layer, form)? => applied,
            _ => {
                let applied = take_in(staging, form, blob, open)?;
                self.metrics.took_in(applied.size_bytes);
                applied
            }
        };
        *known = Some(applied);
        Ok(applied)
    }

    /// The layers of a committed snapshot, which may be none.
    fn chain_of(&self, parent: &str) -> Result<Option<Chain>, Error> {
        let below = below(&self.state(), parent)?;
        match below.first() {
            Some(Below::Layers(chain)) => held(&self.store, chain).map(Some),
            Some(Below::Directory(_)) => Err(Error::OnDirectory(parent.to_owned())),
            None => Ok(None),
        }
    }
}

/// What an encrypted layer has not. Whatever is in the blob decides how it is unpacked.
fn is_readable(media_type: &str) -> bool {
    [
        media_type::OCI_LAYER,
        media_type::OCI_LAYER_GZIP,
        media_type::OCI_LAYER_ZSTD,
        media_type::DOCKER_LAYER,
        media_type::DOCKER_LAYER_GZIP,
        media_type::DOCKER_LAYER_ZSTD,
        "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
        "application/vnd.oci.image.layer.nondistributable.v1.tar",
        "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
        "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd",
    ]
    .contains(&media_type)
}

fn take_in<R: Read + Send>(
    staging: &Staging<'_>,
    form: ObjectForm,
    blob: &Blob,
    open: impl FnOnce() -> std::io::Result<R>,
) -> Result<Applied, Error> {
    let failed = |source| Error::Layer { blob: blob.digest, source };
    let reader = open().map_err(|error| failed(sealpack_oci::ingest::IngestError::Read(error)))?;
    let expected =
        Expected { digest: blob.digest, size_bytes: blob.size_bytes, diff_id_algorithm: Algorithm::Sha256 };
    let budget = Budget::new(Limits::USUAL);
    let ingested = ingest(reader, staging, form, &expected, &budget, &Watch::NOBODY).map_err(failed)?;
    let applied = Applied { layer: ingested.diff_id, size_bytes: ingested.size_bytes };
    ingested.finish()?;
    staging.commit()?;
    Ok(applied)
}
