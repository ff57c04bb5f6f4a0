//! How objects begin, from a store.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Write};

use sealpack_format::ObjectId;
use sealpack_format::digest::RootHash;
use sealpack_format::pack::{PackError, PackObject, PackReader};
use sealpack_kernel::sha256::leaf_hash;
use sealpack_store::{ImageRecord, ObjectForm, Store};

use super::{ExecutablesError, HEAD_BYTES, Heads};

/// The objects of an image in a store, in either form.
pub struct StoredObjects<'s> {
    store: &'s Store,
    record: &'s ImageRecord,
    packs: Vec<(RootHash, PackReader<File>)>,
    /// In which pack an object is, the first of several: overlayfs looks there first.
    places: HashMap<ObjectId, (usize, PackObject)>,
}

impl<'s> StoredObjects<'s> {
    /// Opens the packs of an image that has some.
    ///
    /// # Errors
    /// If a pack is missing, or is none.
    pub fn open(store: &'s Store, record: &'s ImageRecord) -> Result<Self, ExecutablesError> {
        let mut objects = Self { store, record, packs: Vec::new(), places: HashMap::new() };
        if record.objects == ObjectForm::Packs {
            for layer in store.image_packs(record)? {
                objects.add_pack(layer.pack.root_hash)?;
            }
        }
        Ok(objects)
    }

    /// The root hash of the pack that an object is in.
    #[must_use]
    pub fn pack_of(&self, id: &ObjectId) -> Option<RootHash> {
        let (index, _) = self.places.get(id)?;
        self.packs.get(*index).map(|(root_hash, _)| *root_hash)
    }

    /// Whether the image is kept in packs, and has any objects.
    #[must_use]
    pub const fn has_packs(&self) -> bool {
        !self.packs.is_empty()
    }

    /// All of an object, which is checked while it is read.
    ///
    /// # Errors
    /// It is not there, or is not what its digest says.
    pub fn content(&self, id: &ObjectId) -> Result<Vec<u8>, ExecutablesError> {
        let mut content = Vec::new();
        if let Some((index, object)) = self.places.get(id)
            && let Some((root_hash, reader)) = self.packs.get(*index)
        {
            let read = reader.read(object, leaf_hash(), &mut content);
            read.map_err(|source| ExecutablesError::Pack { root_hash: *root_hash, source })?;
            return Ok(content);
        }
        let object = self.store.object_of_image(self.record, id)?;
        let object = object.ok_or_else(|| self.missing(format!("object {id}")))?;
        object.copy_to(&mut content).map_err(|source| ExecutablesError::Read { id: *id, source })?;
        Ok(content)
    }

    fn add_pack(&mut self, root_hash: RootHash) -> Result<(), ExecutablesError> {
        let file = self.store.open_pack(&root_hash)?;
        let file = file.ok_or_else(|| self.missing(format!("pack {root_hash}")))?;
        let reader = PackReader::open(file).map_err(|source| ExecutablesError::Pack { root_hash, source })?;
        for object in reader.objects() {
            self.places.entry(object.id).or_insert((self.packs.len(), *object));
        }
        self.packs.push((root_hash, reader));
        Ok(())
    }

    fn missing(&self, what: String) -> ExecutablesError {
        ExecutablesError::Missing { image: self.record.name.clone(), what }
    }
}

impl Heads for StoredObjects<'_> {
    fn head(&self, id: &ObjectId) -> Result<Vec<u8>, ExecutablesError> {
        let mut head = Head::default();
        if let Some((index, object)) = self.places.get(id)
            && let Some((root_hash, reader)) = self.packs.get(*index)
        {
            return match reader.read(object, leaf_hash(), &mut head) {
                Ok(()) => Ok(head.bytes),
                Err(PackError::Output(_)) if head.is_full() => Ok(head.bytes),
                Err(source) => Err(ExecutablesError::Pack { root_hash: *root_hash, source }),
            };
        }
        let file = self.store.open_object(id)?;
        let file = file.ok_or_else(|| self.missing(format!("object {id}")))?;
        let copied = io::copy(&mut file.take(HEAD_BYTES as u64), &mut head);
        copied.map_err(|source| ExecutablesError::Read { id: *id, source })?;
        Ok(head.bytes)
    }
}

/// Takes the beginning of what is written, and then no more.
#[derive(Default)]
struct Head {
    bytes: Vec<u8>,
}

impl Head {
    const fn is_full(&self) -> bool {
        self.bytes.len() >= HEAD_BYTES
    }
}

impl Write for Head {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let wanted = bytes.len().min(HEAD_BYTES - self.bytes.len());
        self.bytes.extend_from_slice(bytes.get(..wanted).unwrap_or_default());
        Ok(wanted)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
