//! Files of a staging that are written piece by piece.

use std::fs::File;
use std::io::{self, BufWriter, Write};

use sealpack_format::digest::{DiffId, ObjectId};
use sealpack_format::verity::FsVerityHasher;
use sealpack_kernel::fsverity::hasher;

use super::written::Written;
use super::{Added, Staging};
use crate::error::{Error, Result};

/// A file in the staging directory that goes with this unless it is taken.
pub(super) struct Temporary<'a> {
    pub(super) staging: &'a Staging<'a>,
    pub(super) number: u64,
    file: Option<Written>,
}

impl<'a> Temporary<'a> {
    fn new(staging: &'a Staging<'a>) -> Result<Self> {
        let (number, file) = staging.create()?;
        Ok(Self { staging, number, file: Some(Written::new(file)) })
    }

    /// A file that is written by somebody else, who gets it.
    pub(super) fn apart(staging: &'a Staging<'a>) -> Result<(Self, File)> {
        let (number, file) = staging.create_with(0o444)?;
        Ok((Self { staging, number, file: None }, file))
    }

    /// Makes the file `size_bytes` long, and goes on at its end.
    fn extend(&mut self, size_bytes: u64) -> Result<()> {
        let Some(file) = &mut self.file else { return Ok(()) };
        let extended = file.extend(size_bytes);
        let path = || self.staging.dir.at(self.number.to_string());
        extended.map_err(|e| Error::io("extend", path(), e))
    }

    /// Closes the file and has the kernel guard it, where it can.
    fn guard(&mut self) -> Result<()> {
        match self.file.take() {
            Some(file) => self.staging.guard(self.number, file.end()),
            None => Ok(()),
        }
    }

    /// The file is somebody else's from now on.
    pub(super) fn take(mut self) -> u64 {
        self.file = None;
        let number = self.number;
        std::mem::forget(self);
        number
    }
}

impl Drop for Temporary<'_> {
    fn drop(&mut self) {
        // Room for others. The staging removes the directory in the end, whatever happens here.
        let _ = self.staging.dir.unlink(self.number.to_string());
    }
}

impl Staging<'_> {
    /// Begins an object whose digest is not known yet. It costs a file that is thrown away if the
    /// store turns out to have it.
    ///
    /// # Errors
    /// [`Error::NoSpace`] and other failures of the system.
    pub fn object_writer(&self) -> Result<ObjectWriter<'_>> {
        ObjectWriter::new(self)
    }

    /// Begins a layer's record. All objects in it must be added before it is finished.
    ///
    /// # Errors
    /// [`Error::NoSpace`] and other failures of the system.
    pub fn layer_writer(&self) -> Result<LayerFile<'_>> {
        LayerFile::new(self)
    }

    /// Begins a metadata image.
    ///
    /// # Errors
    /// [`Error::NoSpace`] and other failures of the system.
    pub fn metadata_image_writer(&self) -> Result<MetadataImageWriter<'_>> {
        MetadataImageWriter::new(self)
    }
}

/// Takes the content of an object, without a buffer of its own. Dropped unfinished, it leaves nothing.
pub struct ObjectWriter<'a> {
    file: Temporary<'a>,
    size_bytes: u64,
}

impl<'a> ObjectWriter<'a> {
    fn new(staging: &'a Staging<'a>) -> Result<Self> {
        Ok(Self { file: Temporary::new(staging)?, size_bytes: 0 })
    }

    /// Goes on behind `count` zero bytes, which take no room on the disk.
    ///
    /// # Errors
    /// Failures of the system.
    pub fn skip(&mut self, count: u64) -> Result<()> {
        self.size_bytes += count;
        self.file.extend(self.size_bytes)
    }

    /// Ends the content, whose fs-verity digest the caller has computed on the way.
    ///
    /// # Errors
    /// [`Error::Algorithm`]; [`Error::NoSpace`] and other failures of the system.
    pub fn finish(mut self, id: &ObjectId) -> Result<Added> {
        let staging = self.file.staging;
        let added = staging.look_up(id)?;
        if added == Added::Existing {
            staging.staged().existing_objects += 1;
            return Ok(added);
        }
        self.file.guard()?;
        staging.register_object(*id, self.file.take(), self.size_bytes, added)
    }
}

impl Write for ObjectWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.size_bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Errors are [`Error`] inside, with the path.
impl Write for Temporary<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(file) = &mut self.file else { return Err(io::ErrorKind::BrokenPipe.into()) };
        match file.write(bytes) {
            // Passed on as it is: it is the sign to try again.
            Err(e) if e.kind() != io::ErrorKind::Interrupted => {
                Err(Error::io_error("write", self.staging.dir.at(self.number.to_string()), e))
            }
            other => other,
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Ends a buffered file: what the buffer still has is written.
fn unbuffered<'a>(buffer: BufWriter<Temporary<'a>>) -> Result<Temporary<'a>> {
    buffer.into_inner().map_err(|e| {
        let (error, buffer) = e.into_parts();
        let temporary = buffer.get_ref();
        Error::io("write", temporary.staging.dir.at(temporary.number.to_string()), error)
    })
}

/// Takes a layer's record, buffered. Dropped unfinished, it leaves nothing.
pub struct LayerFile<'a> {
    buffer: BufWriter<Temporary<'a>>,
}

impl<'a> LayerFile<'a> {
    fn new(staging: &'a Staging<'a>) -> Result<Self> {
        Ok(Self { buffer: BufWriter::with_capacity(64 * 1024, Temporary::new(staging)?) })
    }

    /// Ends the record as that of layer `diff_id`. The next commit makes it part of the store.
    ///
    /// # Errors
    /// [`Error::NoSpace`] and other failures of the system.
    pub fn finish(self, diff_id: &DiffId) -> Result<()> {
        let file = unbuffered(self.buffer)?;
        let staging = file.staging;
        let earlier = staging.pending().layers.insert(*diff_id, file.take());
        staging.replace(earlier)
    }
}

impl Write for LayerFile<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.buffer.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.buffer.flush()
    }
}

/// Takes a metadata image, buffered, and computes its digest. Dropped unfinished, it leaves nothing.
pub struct MetadataImageWriter<'a> {
    buffer: BufWriter<Temporary<'a>>,
    hasher: FsVerityHasher,
}

impl<'a> MetadataImageWriter<'a> {
    fn new(staging: &'a Staging<'a>) -> Result<Self> {
        let buffer = BufWriter::with_capacity(64 * 1024, Temporary::new(staging)?);
        Ok(Self { buffer, hasher: hasher(staging.store.algorithm()) })
    }

    /// How many bytes were written.
    #[must_use]
    pub const fn size_bytes(&self) -> u64 {
        self.hasher.size_bytes()
    }

    /// Ends the image and names it. The next commit makes it part of the store.
    ///
    /// # Errors
    /// [`Error::NoSpace`] and other failures of the system.
    pub fn finish(self) -> Result<ObjectId> {
        let mut file = unbuffered(self.buffer)?;
        let staging = file.staging;
        let (id, root_hash) = self.hasher.finish_as_device();
        staging.root_hashes().extend(root_hash.map(|root_hash| (id, root_hash)));
        if staging.look_up_image(&id)? != Added::Existing {
            file.guard()?;
            let earlier = staging.pending().images.insert(id, file.take());
            staging.replace(earlier)?;
        }
        Ok(id)
    }
}

impl Write for MetadataImageWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.buffer.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.buffer.flush()
    }
}
