//! One object on its way into a pack.

use std::io::{self, Read, Seek, Write};

use super::super::{OBJECT_MAX_BYTES, to_u64};
use super::chunks::Chunks;
use super::{PackLimit, PackOutput, PackWriteError, PackWriter};
use crate::digest::{Algorithm, ObjectId};
use crate::limits::INLINE_MAX_BYTES;
use crate::verity::FsVerityHasher;

/// An object that is being written. Dropped before [`finish`](Self::finish), it is as if it had
/// never been begun.
pub struct ObjectWriter<'a, W, F, S> {
    pack: &'a mut PackWriter<W, F, S>,
    hasher: FsVerityHasher,
    chunks: Chunks,
}

/// An object that is in the pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AddedObject {
    /// Its name.
    pub id: ObjectId,
    /// Its size.
    pub size_bytes: u64,
    /// Whether it was not in the pack before.
    pub is_new: bool,
}

impl<'a, W: PackOutput, F: Fn() -> io::Result<S> + Clone, S: Read + Write + Seek> ObjectWriter<'a, W, F, S> {
    pub(super) fn new(pack: &'a mut PackWriter<W, F, S>) -> Self {
        let hasher = FsVerityHasher::with_leaf_hash(Algorithm::Sha256, pack.hash);
        Self { pack, hasher, chunks: Chunks::new() }
    }

    /// Takes the next bytes of the content. Slices of 64 KiB and more are fastest.
    ///
    /// # Errors
    /// A failing output or temporary file, or a limit; the pack must be given up then.
    pub fn write(&mut self, data: &[u8]) -> Result<(), PackWriteError> {
        self.pack.check()?;
        let result = self.take(data);
        self.pack.failed = result.is_err();
        result
    }

    fn take(&mut self, data: &[u8]) -> Result<(), PackWriteError> {
        if self.hasher.size_bytes().saturating_add(to_u64(data.len())) > OBJECT_MAX_BYTES {
            return Err(PackWriteError::TooLarge(PackLimit::ObjectBytes));
        }
        let Self { pack, hasher, chunks } = self;
        let mut result = Ok(());
        hasher.update_with(data, &mut |block, leaf| {
            if result.is_ok() {
                result = chunks.take(&mut pack.blocks, block, leaf);
            }
        });
        result
    }

    /// Ends the object. If the pack has it already, what was written of it is taken back.
    ///
    /// # Errors
    /// A failing output or temporary file, or a limit; the pack must be given up then.
    pub fn finish(self) -> Result<AddedObject, PackWriteError> {
        let Self { pack, hasher, chunks } = self;
        pack.check()?;
        let result = end(pack, hasher, chunks);
        pack.failed = result.is_err();
        result
    }
}

fn end<W: PackOutput, F: Fn() -> io::Result<S> + Clone, S: Read + Write + Seek>(
    pack: &mut PackWriter<W, F, S>,
    hasher: FsVerityHasher,
    chunks: Chunks,
) -> Result<AddedObject, PackWriteError> {
    let size_bytes = hasher.size_bytes();
    if size_bytes <= to_u64(INLINE_MAX_BYTES) {
        return Err(PackWriteError::TooSmall(size_bytes));
    }
    let mut last = None;
    let id = hasher.finish_with(&mut |block, leaf| last = Some((block.to_vec(), leaf.to_vec())));
    let last = last.as_ref().map(|(block, leaf)| (block.as_slice(), leaf.as_slice()));
    let digest = <[u8; 32]>::try_from(id.as_bytes()).unwrap_or_default();
    let is_new = !pack.objects.contains_key(&digest);
    if is_new {
        let described = chunks.finish(&mut pack.blocks, size_bytes, last)?;
        pack.add(digest, size_bytes, described.data, &described.rest)?;
    } else {
        pack.blocks.truncate(pack.finished_blocks);
    }
    Ok(AddedObject { id, size_bytes, is_new })
}
