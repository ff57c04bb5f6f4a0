//! The records of layers. `docs/formats/layer.md` describes what is in them.

use std::fs::File;
use std::io::{BufReader, Read};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use sealpack_format::digest::{DiffId, ObjectId};
use sealpack_format::layer::{LayerEntry, LayerError, LayerItem, LayerKind, LayerReader};
use sealpack_format::tree::Content;
use sha2::{Digest, Sha256};

use crate::error::{Error, Result};
use crate::facts::About;
use crate::integrity::{Integrity, ObjectState};
use crate::places::layer_path;
use crate::store::Store;
use crate::threads::for_each;

/// How many objects a thread looks at in one go.
const PIECE_OBJECTS: usize = 256;

/// The record of a layer as it comes from the disk.
pub type LayerRecord = LayerReader<BufReader<File>>;

/// How some objects are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Held {
    /// One is not, or is damaged.
    Not,
    /// They are undamaged.
    Undamaged,
    /// They are undamaged, and fs-verity guards them.
    Guarded,
}

impl Store {
    /// Opens the record of layer `diff_id`, if the store has it.
    ///
    /// A record's checksum is at its end: what it says counts once the reader has answered `None`.
    ///
    /// # Errors
    /// [`Error::LayerDamaged`] when it does not begin as a record; [`Error::Algorithm`]; failures of the system.
    pub fn layer(&self, diff_id: &DiffId) -> Result<Option<LayerRecord>> {
        let name = layer_path(diff_id);
        let Some(file) = self.root.read(&name)? else { return Ok(None) };
        let record = LayerReader::new(BufReader::with_capacity(64 * 1024, file))
            .map_err(|source| self.layer_error(diff_id, source))?;
        self.check_algorithm(record.algorithm())?;
        Ok(Some(record))
    }

    /// Whether layer `diff_id` needs no fetching: its record is there and undamaged, and so is every
    /// object in it ([`check_object`](Self::check_object)).
    ///
    /// Where fs-verity guards all of them that is remembered until a directory of objects changes: no bytes that it guards
    /// become others. Elsewhere each file may have been written to, and is looked at.
    ///
    /// # Errors
    /// Failures of the system; damage is an answer, not an error.
    pub fn has_whole_layer(&self, diff_id: &DiffId) -> Result<bool> {
        let guarded = match self.integrity() {
            Integrity::FsVerity => {
                Some(self.and_objects(self.about_layer(diff_id)?)?.fact("layer is guarded"))
            }
            Integrity::None => None,
        };
        if guarded.is_some_and(|fact| self.remembers(&fact)) {
            return Ok(true);
        }
        let mut objects = Vec::new();
        let read = self.for_each_object_of_layer(diff_id, |id, _| {
            objects.push(id);
            Ok(())
        });
        match read {
            Ok(found) if !found => return Ok(false),
            Err(error) if error.is_verification() => return Ok(false),
            other => drop(other?),
        }
        objects.sort_unstable();
        objects.dedup();
        let held = self.hold_objects(&objects)?;
        if let (Held::Guarded, Some(fact)) = (held, &guarded) {
            self.remember(fact);
        }
        Ok(held != Held::Not)
    }

    /// How these objects are there. Several threads, as it is mostly waiting for the filesystem.
    fn hold_objects(&self, objects: &[ObjectId]) -> Result<Held> {
        let threads = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let pieces: Vec<_> = objects.chunks(PIECE_OBJECTS).collect();
        let missing = AtomicBool::new(false);
        let guarded = AtomicBool::new(self.integrity() == Integrity::FsVerity);
        let check = |(): &mut (), piece: &&[ObjectId]| {
            for id in *piece {
                if missing.load(Ordering::Relaxed) {
                    return Ok(());
                }
                if guarded.load(Ordering::Relaxed) {
                    if self.object_integrity(id)? == Some(Integrity::FsVerity) {
                        continue;
                    }
                    guarded.store(false, Ordering::Relaxed);
                }
                if self.check_object(id)? != ObjectState::Good {
                    missing.store(true, Ordering::Relaxed);
                }
            }
            Ok(())
        };
        for_each(threads, &pieces, || (), check)?;
        Ok(match (missing.into_inner(), guarded.into_inner()) {
            (true, _) => Held::Not,
            (false, false) => Held::Undamaged,
            (false, true) => Held::Guarded,
        })
    }

    /// The SHA-256 of the record of layer `diff_id`, of all its bytes, whatever they are; `None` if the store has none.
    ///
    /// # Errors
    /// Failures of the system.
    pub fn layer_record_hash(&self, diff_id: &DiffId) -> Result<Option<[u8; 32]>> {
        let Some(mut file) = self.root.read(layer_path(diff_id))? else { return Ok(None) };
        let (mut hash, mut buffer) = (Sha256::new(), vec![0; 64 * 1024]);
        loop {
            let read = file.read(&mut buffer).map_err(|e| Error::io("read", self.layer_path(diff_id), e))?;
            if read == 0 {
                return Ok(Some(hash.finalize().into()));
            }
            hash.update(&buffer[..read]);
        }
    }

    /// What a fact about layer `diff_id` rests on: its record.
    fn about_layer(&self, diff_id: &DiffId) -> Result<About> {
        let record = self.root.stat(layer_path(diff_id))?;
        Ok(About::new().and(diff_id.to_string().as_bytes()).and_status(record.as_ref()))
    }

    /// Where the record of layer `diff_id` is, or would be.
    #[must_use]
    pub fn layer_path(&self, diff_id: &DiffId) -> PathBuf {
        self.root.at(layer_path(diff_id))
    }

    /// Calls `each` with the objects of a layer and their sizes in bytes, in the order of the tar, repeated as
    /// often as they occur in it. Answers whether the store has the layer.
    pub(crate) fn for_each_object_of_layer(
        &self,
        diff_id: &DiffId,
        mut each: impl FnMut(ObjectId, u64) -> Result<()>,
    ) -> Result<bool> {
        let Some(record) = self.layer(diff_id)? else { return Ok(false) };
        for entry in record {
            let LayerEntry { item, .. } = entry.map_err(|source| self.layer_error(diff_id, source))?;
            if let LayerItem::Inode(_, LayerKind::Regular(Content::Object { size, id })) = item {
                each(id, size)?;
            }
        }
        Ok(true)
    }

    fn layer_error(&self, diff_id: &DiffId, source: LayerError) -> Error {
        Error::LayerDamaged { path: self.layer_path(diff_id), source }
    }
}
