//! The pack of a layer on its way into the store.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::path::PathBuf;

use sealpack_format::digest::{DiffId, ObjectId};
use sealpack_format::limits::PACKS_MAX;
use sealpack_format::pack::{self, PackOptions, PackWriteError, PackWriter};
use sealpack_kernel::sha256::leaf_hash;

use super::files::Temporary;
use super::written::Written;
use super::{Added, Staging};
use crate::error::{Error, Result};
use crate::integrity::ObjectState;
use crate::packs::{PackDescriptor, PackRecord, packs_of};
use crate::refs::{ImageRecord, ObjectForm};

/// How much of a pack's hashes, and of its inodes with their tails, is in memory each. Several layers are
/// packed at once, and a pull has 128 MiB for everything.
const MEMORY_BYTES: usize = 4 * 1024 * 1024;

/// Makes the temporary files of packs.
pub(super) type Scratch<'a> = &'a (dyn Fn() -> io::Result<File> + Send + Sync);

type Writer<'a> = PackWriter<Written, Scratch<'a>, File>;

/// Takes the objects of a layer in the order of its tar and makes the layer's pack of them. Dropped
/// unfinished, it leaves nothing.
pub struct PackFile<'a> {
    file: Temporary<'a>,
    writer: Writer<'a>,
}

/// Takes the content of one object. Dropped unfinished, it leaves nothing.
pub struct PackedObject<'w, 'a> {
    writer: pack::ObjectWriter<'w, Written, Scratch<'a>, File>,
    failed: Failed<'a>,
}

impl<'a> PackFile<'a> {
    pub(super) fn new(staging: &'a Staging<'a>) -> Result<Self> {
        staging.store.check_form(ObjectForm::Packs)?;
        let (file, out) = Temporary::apart(staging)?;
        let options = PackOptions { hash: leaf_hash(), memory_bytes: MEMORY_BYTES };
        let writer = PackWriter::new(Written::new(out), &*staging.scratch, options);
        Ok(Self { file, writer })
    }

    /// Begins the next object, which may be one that the pack has already.
    pub fn object(&mut self) -> PackedObject<'_, 'a> {
        PackedObject { writer: self.writer.object(), failed: Failed::of(&self.file) }
    }

    /// Whether the pack has that object already.
    #[must_use]
    pub fn contains(&self, id: &ObjectId) -> bool {
        self.writer.contains(id)
    }

    /// Ends the pack as that of layer `diff_id`. The next commit makes it, and the record of it, part of
    /// the store. `None`, and no pack, when there were no objects.
    ///
    /// # Errors
    /// [`Error::NoSpace`] and other failures of the system; [`Error::Pack`].
    pub fn finish(self, diff_id: &DiffId) -> Result<Option<PackDescriptor>> {
        let Self { file, writer } = self;
        let failed = Failed::of(&file);
        let staging = file.staging;
        let pack = writer.finish().map_err(|error| failed.error(error))?;
        let descriptor = PackDescriptor {
            root_hash: pack.root_hash,
            size_bytes: pack.size_bytes,
            filesystem_blocks: pack.filesystem_blocks,
            objects: pack.objects,
            object_bytes: pack.object_bytes,
        };
        let descriptor = (pack.objects > 0).then_some(descriptor);
        if let Some(descriptor) = &descriptor {
            register(file, descriptor)?;
        }
        staging.add_pack_record(diff_id, descriptor)?;
        Ok(descriptor)
    }
}

/// Takes the file, complete, as that pack.
fn register(file: Temporary<'_>, pack: &PackDescriptor) -> Result<Added> {
    let (staging, root_hash) = (file.staging, pack.root_hash);
    let added = match staging.store.check_pack(&root_hash)? {
        ObjectState::Absent => Added::New,
        ObjectState::Good => Added::Existing,
        ObjectState::Damaged => Added::Replaced,
    };
    // Two layers of one image may have the same objects.
    let existing = added == Added::Existing || staging.pending().packs.contains_key(&root_hash);
    if existing {
        staging.staged().existing_packs += 1;
        return Ok(Added::Existing);
    }
    staging.replace(staging.pending().packs.insert(root_hash, file.take()))?;
    let mut staged = staging.staged();
    staged.packs += 1;
    staged.pack_bytes += pack.size_bytes;
    if added == Added::Replaced {
        staged.replaced_packs.push(root_hash);
    }
    Ok(added)
}

impl Staging<'_> {
    /// Begins the pack of a layer.
    ///
    /// # Errors
    /// [`Error::PackAlgorithm`]; [`Error::NoSpace`] and other failures of the system.
    pub fn pack_writer(&self) -> Result<PackFile<'_>> {
        PackFile::new(self)
    }

    /// Has the next commit leave out the packs that wait for it, but not the records of which layer has which.
    pub(crate) fn leave_out_packs(&self) -> Result<()> {
        let packs = std::mem::take(&mut self.pending().packs);
        packs.into_values().try_for_each(|number| self.replace(Some(number)))
    }

    fn add_pack_record(&self, diff_id: &DiffId, pack: Option<PackDescriptor>) -> Result<()> {
        let (number, file) = self.create_with(0o444)?;
        let path = || self.dir.at(number.to_string());
        let json = PackRecord::new(pack).to_json().map_err(|e| Error::io("write", path(), e))?;
        self.fill(number, file, &json, false)?;
        let earlier = self.pending().pack_records.insert(*diff_id, (number, pack));
        self.replace(earlier.map(|(number, _)| number))
    }

    /// Refuses an image in packs that has too many, or of which a layer has no known pack.
    pub(super) fn check_packs(&self, image: &ImageRecord) -> Result<()> {
        let packs = packs_of(image, |layer| {
            if let Some((_, pack)) = self.pending().pack_records.get(layer) {
                return Ok(Some(*pack));
            }
            Ok(self.store.pack_record(layer)?.map(|record| record.pack))
        })?;
        let packs: BTreeSet<_> = packs.iter().map(|layer| layer.pack.root_hash).collect();
        if packs.len() > PACKS_MAX {
            return Err(Error::TooManyPacks { name: image.name.clone(), packs: packs.len() });
        }
        Ok(())
    }
}

impl PackedObject<'_, '_> {
    /// Takes the next bytes of the content. Slices of 64 KiB and more are fastest.
    ///
    /// # Errors
    /// [`Error::NoSpace`] and other failures of the system; [`Error::Pack`]. The pack is to be given up then.
    pub fn write(&mut self, data: &[u8]) -> Result<()> {
        self.writer.write(data).map_err(|error| self.failed.error(error))
    }

    /// Ends the content, and names it.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub fn finish(self) -> Result<ObjectId> {
        let Self { writer, failed } = self;
        writer.finish().map(|added| added.id).map_err(|error| failed.error(error))
    }
}

/// Where a pack is written, for errors.
#[derive(Clone, Copy)]
struct Failed<'a> {
    staging: &'a Staging<'a>,
    number: u64,
}

impl<'a> Failed<'a> {
    const fn of(file: &Temporary<'a>) -> Self {
        Self { staging: file.staging, number: file.number }
    }

    fn error(self, error: PackWriteError) -> Error {
        let path = || -> PathBuf { self.staging.dir.at(self.number.to_string()) };
        match error {
            PackWriteError::Output(error) | PackWriteError::Scratch(error) => {
                Error::io("write", path(), error)
            }
            other => Error::Pack(other),
        }
    }
}
