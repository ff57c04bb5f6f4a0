//! Where the contents of a layer's files go.

use std::io::Write;

use sealpack_format::limits::INLINE_MAX_BYTES;
use sealpack_format::tree::Content;
use sealpack_format::zeros::ZEROS;
use sealpack_kernel::fsverity::hasher;
use sealpack_store::{ObjectForm, PackFile, Staging};

use super::error::ScanError;
use super::stream::{Piece, Stream};
use crate::budget::Limit;

/// Files up to this size are gathered in memory, so that a file that the store has
/// already is not written at all.
const GATHERED_MAX_BYTES: u64 = 1024 * 1024;

/// What an object takes of memory until the layer is in the store: its name, in a table of the staging's or of the pack.
const OBJECT_MEMORY_BYTES: u64 = 192;

/// Takes contents, in the order of the tar.
pub(super) enum Sink<'a> {
    /// Each becomes an object of its own.
    Files(&'a Staging<'a>),
    /// All go into the layer's pack.
    Pack(Box<PackFile<'a>>),
}

impl<'a> Sink<'a> {
    pub(super) fn new(staging: &'a Staging<'a>, form: ObjectForm) -> Result<Self, ScanError> {
        Ok(match form {
            ObjectForm::Files => Self::Files(staging),
            ObjectForm::Packs => Self::Pack(Box::new(staging.pack_writer()?)),
        })
    }

    /// The layer's pack.
    pub(super) fn into_pack(self) -> Option<PackFile<'a>> {
        match self {
            Self::Files(_) => None,
            Self::Pack(pack) => Some(*pack),
        }
    }

    /// Takes the content of the member that was just begun, of `size` bytes. `None` when the stream ends in it.
    pub(super) fn take(
        &mut self,
        stream: &mut Stream<'_, '_>,
        size: u64,
    ) -> Result<Option<Content>, ScanError> {
        if size <= INLINE_MAX_BYTES as u64 {
            return Ok(gather(stream, size)?.map(|bytes| Content::Inline(bytes.into())));
        }
        stream.share().take(Limit::Memory, OBJECT_MEMORY_BYTES)?;
        match self {
            Self::Files(staging) if size <= GATHERED_MAX_BYTES => add_small(staging, stream, size),
            Self::Files(staging) => add_large(staging, stream),
            Self::Pack(pack) => add_to_pack(pack, stream, size),
        }
    }
}

fn gather(stream: &mut Stream<'_, '_>, size: u64) -> Result<Option<Vec<u8>>, ScanError> {
    let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or(0));
    let whole = stream.content(|piece| {
        match piece {
            Piece::Data(data) => bytes.extend_from_slice(data),
            Piece::Hole(count) => {
                let count = usize::try_from(count).unwrap_or(usize::MAX);
                bytes.resize(bytes.len().saturating_add(count), 0);
            }
        }
        Ok(())
    })?;
    Ok(whole.then_some(bytes))
}

/// Calls `each` with so many zeros.
fn zeros(count: u64, mut each: impl FnMut(&[u8]) -> Result<(), ScanError>) -> Result<(), ScanError> {
    let mut left = count;
    while left > 0 {
        let piece = left.min(ZEROS.len() as u64);
        each(&ZEROS[..piece as usize])?;
        left -= piece;
    }
    Ok(())
}

fn add_small(
    staging: &Staging<'_>,
    stream: &mut Stream<'_, '_>,
    size: u64,
) -> Result<Option<Content>, ScanError> {
    let Some(bytes) = gather(stream, size)? else { return Ok(None) };
    let mut hasher = hasher(staging.store().algorithm());
    hasher.update(&bytes);
    let id = hasher.finish();
    staging.add_bytes(&id, &bytes)?;
    Ok(Some(Content::Object { size: bytes.len() as u64, id }))
}

fn add_large(staging: &Staging<'_>, stream: &mut Stream<'_, '_>) -> Result<Option<Content>, ScanError> {
    let mut writer = staging.object_writer()?;
    let mut hasher = hasher(staging.store().algorithm());
    let whole = stream.content(|piece| {
        match piece {
            Piece::Data(data) => {
                hasher.update(data);
                writer.write_all(data).map_err(ScanError::Content)?;
            }
            Piece::Hole(count) => {
                zeros(count, |zeros| {
                    hasher.update(zeros);
                    Ok(())
                })?;
                writer.skip(count)?;
            }
        }
        Ok(())
    })?;
    if !whole {
        return Ok(None);
    }
    let size = hasher.size_bytes();
    let id = hasher.finish();
    writer.finish(&id)?;
    Ok(Some(Content::Object { size, id }))
}

fn add_to_pack(
    pack: &mut PackFile<'_>,
    stream: &mut Stream<'_, '_>,
    size: u64,
) -> Result<Option<Content>, ScanError> {
    let mut object = pack.object();
    let whole = stream.content(|piece| match piece {
        Piece::Data(data) => Ok(object.write(data)?),
        Piece::Hole(count) => zeros(count, |zeros| Ok(object.write(zeros)?)),
    })?;
    if !whole {
        return Ok(None);
    }
    Ok(Some(Content::Object { size, id: object.finish()? }))
}
