//! A layer's objects from files into its pack, and back.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;

use sealpack_format::digest::{DiffId, ObjectId};
use sealpack_format::pack::{PackError, PackObject, PackReader};
use sealpack_kernel::sha256::leaf_hash;

use crate::error::{Error, Result};
use crate::integrity::ObjectState;
use crate::objects::is_unreadable;
use crate::refs::ObjectForm;
use crate::staging::{Added, ObjectWriter, PackFile, Staging};
use crate::store::Store;

/// How much is read at once.
const CHUNK_BYTES: usize = 256 * 1024;

impl Store {
    /// Whether layer `diff_id` needs nothing to be part of an image in that form: its record is there and
    /// undamaged, and so are all its objects as files, or its pack.
    ///
    /// # Errors
    /// Failures of the system; damage is an answer, not an error.
    pub fn has_layer(&self, diff_id: &DiffId, form: ObjectForm) -> Result<bool> {
        match form {
            ObjectForm::Files => self.has_whole_layer(diff_id),
            ObjectForm::Packs => self.has_packed_layer(diff_id),
        }
    }

    /// About how much is to be written when those layers come into that form: what their objects take on the disk now,
    /// holes not counted. A layer whose record cannot be read counts for nothing: it will not be converted.
    ///
    /// # Errors
    /// Failures of the system.
    pub fn bytes_to_convert(&self, layers: &[DiffId], to: ObjectForm) -> Result<u64> {
        let (mut all_bytes, mut seen) = (0_u64, HashSet::new());
        for layer in layers {
            if to == ObjectForm::Packs {
                // Each layer has a pack of its own, with all of its objects.
                seen.clear();
            }
            let mut bytes: u64 = 0;
            let read = self.for_each_object_of_layer(layer, |id, size_bytes| {
                if !seen.insert(id) {
                    return Ok(());
                }
                let file = self.open_object(&id)?.map(|file| file.metadata()).transpose();
                let file = file.map_err(|e| Error::io("look at", self.object_path(&id), e))?;
                bytes = bytes.saturating_add(match (to, file) {
                    (ObjectForm::Packs, Some(file)) => size_bytes.min(file.blocks().saturating_mul(512)),
                    (ObjectForm::Files, None) => size_bytes,
                    _ => 0,
                });
                Ok(())
            });
            match read {
                Err(error) if !error.is_verification() => return Err(error),
                _ => {}
            }
            if let (ObjectForm::Files, Ok(Some(pack))) = (to, self.layer_pack(layer)) {
                bytes = bytes.min(pack.size_bytes);
            }
            all_bytes = all_bytes.saturating_add(bytes);
        }
        Ok(all_bytes)
    }

    fn has_packed_layer(&self, diff_id: &DiffId) -> Result<bool> {
        let record = match self.pack_record(diff_id) {
            Err(Error::PackRecordDamaged { .. }) => return Ok(false),
            other => other?,
        };
        let Some(record) = record else { return Ok(false) };
        let mut objects = 0;
        let count = |_, _| {
            objects += 1;
            Ok(())
        };
        match self.for_each_object_of_layer(diff_id, count) {
            Ok(true) => {}
            Ok(false) => return Ok(false),
            Err(error) if error.is_verification() => return Ok(false),
            Err(error) => return Err(error),
        }
        match record.pack {
            Some(pack) => Ok(self.check_pack(&pack.root_hash)? == ObjectState::Good),
            None => Ok(objects == 0),
        }
    }
}

impl Staging<'_> {
    /// Makes the objects of layer `diff_id` available in that form from what the store has of the layer in
    /// the other: each content is hashed on the way, and nothing is fetched. The next commit
    /// makes it part of the store.
    ///
    /// Answers whether it could: not when the record, an object or the pack is missing or damaged.
    ///
    /// # Errors
    /// [`Error::PackAlgorithm`]; [`Error::Pack`]; [`Error::NoSpace`] and other failures of the system.
    pub fn convert_layer(&self, diff_id: &DiffId, to: ObjectForm) -> Result<bool> {
        match to {
            ObjectForm::Files => self.unpack_layer(diff_id),
            ObjectForm::Packs => self.pack_layer(diff_id),
        }
    }

    /// The entries of the record are in the order of the tar, and so the pack is the one that is made of the tar.
    fn pack_layer(&self, diff_id: &DiffId) -> Result<bool> {
        let mut pack = self.pack_writer()?;
        let (mut whole, mut buffer) = (true, vec![0; CHUNK_BYTES]);
        let read = self.store().for_each_object_of_layer(diff_id, |id, _| {
            whole = whole && (pack.contains(&id) || self.pack_object(&mut pack, &id, &mut buffer)?);
            Ok(())
        });
        match read {
            Ok(found) if found && whole => {}
            Ok(_) => return Ok(false),
            Err(error) if error.is_verification() => return Ok(false),
            Err(error) => return Err(error),
        }
        pack.finish(diff_id)?;
        Ok(true)
    }

    /// Copies an object into the pack; answers whether it was there and undamaged.
    fn pack_object(&self, pack: &mut PackFile<'_>, id: &ObjectId, buffer: &mut [u8]) -> Result<bool> {
        let Some(mut file) = self.store().open_object(id)? else { return Ok(false) };
        let mut object = pack.object();
        loop {
            match file.read(buffer) {
                Ok(0) => return Ok(object.finish()? == *id),
                Ok(read) => object.write(&buffer[..read])?,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if is_unreadable(&e) => return Ok(false),
                Err(e) => return Err(Error::io("read", self.store().object_path(id), e)),
            }
        }
    }

    fn unpack_layer(&self, diff_id: &DiffId) -> Result<bool> {
        let record = match self.store().pack_record(diff_id) {
            Err(Error::PackRecordDamaged { .. }) => return Ok(false),
            other => other?,
        };
        // Without objects there is nothing to do but to read the record.
        let Some(record) = record else { return Ok(false) };
        let source = match record.pack {
            Some(pack) => match Source::open(self.store(), &pack.root_hash)? {
                Some(source) => Some(source),
                None => return Ok(false),
            },
            None => None,
        };
        let mut whole = true;
        let read = self.store().for_each_object_of_layer(diff_id, |id, _| {
            whole = whole
                && match (self.look_up(&id)?, &source) {
                    (Added::Existing, _) => {
                        self.count_existing();
                        true
                    }
                    (_, Some(source)) => self.unpack_object(source, &id)?,
                    (_, None) => false,
                };
            Ok(())
        });
        match read {
            Ok(found) => Ok(found && whole),
            Err(error) if error.is_verification() => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn unpack_object(&self, source: &Source, id: &ObjectId) -> Result<bool> {
        let Some(object) = source.objects.get(id) else { return Ok(false) };
        let mut writer = SparseWriter(self.object_writer()?);
        match source.pack.read(object, leaf_hash(), &mut writer) {
            Ok(()) => {}
            Err(PackError::Output(error)) => return Err(Error::io("write", self.path(), error)),
            Err(PackError::Source(error)) if !is_unreadable(&error) => {
                return Err(Error::io("read", &source.path, error));
            }
            Err(_) => return Ok(false),
        }
        writer.0.finish(id)?;
        Ok(true)
    }
}

/// A pack whose objects are looked for.
struct Source {
    path: std::path::PathBuf,
    pack: PackReader<File>,
    objects: HashMap<ObjectId, PackObject>,
}

impl Source {
    /// `None` when there is no such pack, or no pack in the file.
    fn open(store: &Store, root_hash: &sealpack_format::digest::RootHash) -> Result<Option<Self>> {
        let path = store.pack_path(root_hash);
        let Some(file) = store.open_pack(root_hash)? else { return Ok(None) };
        let pack = match PackReader::open(file) {
            Ok(pack) => pack,
            Err(PackError::Source(error)) if !is_unreadable(&error) => {
                return Err(Error::io("read", &path, error));
            }
            Err(_) => return Ok(None),
        };
        let objects = pack.objects().iter().map(|object| (object.id, *object)).collect();
        Ok(Some(Self { path, pack, objects }))
    }
}

/// Leaves holes where a pack has them: they come as pieces of zeros.
struct SparseWriter<'a>(ObjectWriter<'a>);

impl Write for SparseWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // As large as a block of the filesystem: smaller ones save nothing.
        if bytes.len() >= 4096 && bytes.iter().all(|byte| *byte == 0) {
            self.0.skip(bytes.len() as u64).map_err(io::Error::other)?;
            return Ok(bytes.len());
        }
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}
