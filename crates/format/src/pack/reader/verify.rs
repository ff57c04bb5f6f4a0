//! Verifies packs by making them again.

use std::cell::Cell;
use std::io::{self, Read, Seek, SeekFrom, Write};

use super::super::writer::{PackOptions, PackOutput, PackWriteError, PackWriter};
use super::super::{BLOCK_STEP, to_u64};
use super::{PackError, PackPart, PackReader};
use crate::digest::RootHash;

impl<R: Read + Seek> PackReader<R> {
    /// Verifies every byte: that the contents hash to their names, and that the pack is what
    /// [`PackWriter`] makes of them, with the root hash `expected`.
    ///
    /// Each byte is hashed once. `scratch` makes temporary files as for
    /// [`PackWriter::new`].
    ///
    /// # Errors
    /// The first thing that is wrong, or a failing file.
    pub fn verify<F: Fn() -> io::Result<S> + Clone, S: Read + Write + Seek>(
        &self,
        expected: &RootHash,
        scratch: F,
        options: PackOptions,
    ) -> Result<(), PackError> {
        let check_root = |actual: RootHash| {
            if actual == *expected {
                Ok(())
            } else {
                Err(PackError::RootHash { expected: *expected, actual })
            }
        };
        check_root(self.root_hash(options.hash)?)?;
        let difference = Cell::new(None);
        let compare = Compare { reader: self, position: 0, difference: &difference, buffer: Vec::new() };
        let check = || difference.get().map_or(Ok(()), |offset| Err(self.differs(offset)));
        let mut writer = PackWriter::new(compare, scratch, options);
        for object in self.objects() {
            let mut content = writer.object();
            self.stream(object, |data| {
                content.write(data).map_err(rebuild)?;
                // Blocks that many contents share, or many chunks of one, would else be hashed, and
                // their hashes kept, as often as they are referred to.
                check()
            })?;
            let added = content.finish().map_err(rebuild)?;
            if added.id != object.id {
                return Err(PackError::Content { id: object.id, actual: added.id });
            }
            check()?;
        }
        let pack = writer.finish().map_err(rebuild)?;
        check()?;
        check_root(pack.root_hash)
    }

    fn differs(&self, offset: u64) -> PackError {
        let block = offset / BLOCK_STEP;
        let part = if block == 0 {
            PackPart::FirstBlock
        } else if block >= self.block0.blocks.into() {
            PackPart::HashArea
        } else if block > self.block0.meta_block.into() {
            PackPart::Inodes
        } else {
            PackPart::Data
        };
        PackError::Differs { offset, part }
    }
}

fn rebuild(error: PackWriteError) -> PackError {
    match error {
        // What is written to only compares with the source.
        PackWriteError::Output(error) => PackError::Source(error),
        other => PackError::Rebuild(other),
    }
}

/// An output that is not written, but compared with a pack.
struct Compare<'a, R> {
    reader: &'a PackReader<R>,
    position: u64,
    /// The offset of the first difference that was found.
    difference: &'a Cell<Option<u64>>,
    buffer: Vec<u8>,
}

impl<R: Read + Seek> Write for Compare<'_, R> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let end = self.position.saturating_add(to_u64(bytes.len()));
        if self.difference.get().is_none() {
            let size_bytes = self.reader.size_bytes();
            // What goes on behind the pack's end differs there.
            let there = super::super::to_usize(size_bytes.saturating_sub(self.position)).min(bytes.len());
            self.buffer.resize(there, 0);
            self.reader.source.borrow_mut().fill(self.position, &mut self.buffer)?;
            let same = self.buffer.iter().zip(bytes).take_while(|(theirs, ours)| theirs == ours).count();
            if same < bytes.len() {
                self.difference.set(Some(self.position.saturating_add(to_u64(same))));
            }
        }
        self.position = end;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<R: Read + Seek> Seek for Compare<'_, R> {
    fn seek(&mut self, position: SeekFrom) -> io::Result<u64> {
        let SeekFrom::Start(position) = position else { return Err(io::ErrorKind::Unsupported.into()) };
        self.position = position;
        Ok(position)
    }
}

impl<R: Read + Seek> PackOutput for Compare<'_, R> {
    fn set_size(&mut self, size_bytes: u64) -> io::Result<()> {
        let actual = self.reader.size_bytes();
        if size_bytes != actual && self.difference.get().is_none() {
            self.difference.set(Some(size_bytes.min(actual)));
        }
        Ok(())
    }
}
