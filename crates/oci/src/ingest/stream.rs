//! A layer's stream of bytes as members of a tar, hashed on the way.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;

use sealpack_format::tar::{self, Event};
use sealpack_format::{Algorithm, DiffId};

use super::error::ScanError;
use crate::budget::{Limit, Share};
use crate::hash::BlobHasher;

/// How large a layer may become that comes in a blob of so many bytes: more than gzip can make of
/// it, and far less than a zstd blob that is made for nothing else.
fn unpacked_max_bytes(blob_bytes: u64) -> u64 {
    blob_bytes.saturating_mul(1100).saturating_add(1024 * 1024 * 1024)
}

/// The chunks of a layer as they come from the thread that inflates.
pub(super) struct Chunks<'a> {
    pub(super) received: mpsc::Receiver<Vec<u8>>,
    /// Takes buffers back.
    pub(super) recycle: &'a mpsc::Sender<Vec<u8>>,
    /// Set when another layer has failed and this one is of no use any more.
    pub(super) stop: &'a AtomicBool,
}

/// A part of a member's content.
pub(super) enum Piece<'a> {
    Data(&'a [u8]),
    /// So many zeros that are not in the stream.
    Hole(u64),
}

/// Reads the members of one layer.
pub(super) struct Stream<'a, 'c> {
    chunks: Chunks<'c>,
    share: Share<'a>,
    chunk: Vec<u8>,
    position: usize,
    reader: tar::Reader,
    diff_id: BlobHasher,
    size_bytes: u64,
    blob_bytes: u64,
}

impl<'a, 'c> Stream<'a, 'c> {
    /// The layer in `chunks`, to be hashed by `algorithm`, which comes in a blob of `blob_bytes`.
    pub(super) fn new(chunks: Chunks<'c>, share: Share<'a>, algorithm: Algorithm, blob_bytes: u64) -> Self {
        // Holes are taken from the budget too: each byte of them has to be hashed.
        let limits = tar::Limits { hole_bytes: u64::MAX, ..tar::Limits::default() };
        Self {
            chunks,
            share,
            chunk: Vec::new(),
            position: 0,
            reader: tar::Reader::new(limits),
            diff_id: BlobHasher::new(algorithm),
            size_bytes: 0,
            blob_bytes,
        }
    }

    /// What comes next in the chunk at hand.
    pub(super) fn event(&mut self) -> Result<Event<'_>, ScanError> {
        let mut rest = &self.chunk[self.position..];
        let event = self.reader.next(&mut rest)?;
        self.position = self.chunk.len() - rest.len();
        if let Event::Hole(bytes) = event {
            self.share.take(Limit::Unpacked, bytes)?;
        }
        Ok(event)
    }

    /// What the layer takes of the image's budget.
    pub(super) const fn share(&mut self) -> &mut Share<'a> {
        &mut self.share
    }

    /// How much of the layer is unpacked, in bytes.
    pub(super) const fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// Goes on to the next chunk; answers whether there is one.
    pub(super) fn refill(&mut self) -> Result<bool, ScanError> {
        if self.chunk.capacity() > 0 {
            // The reader may be through already and want no more buffers.
            _ = self.chunks.recycle.send(std::mem::take(&mut self.chunk));
        }
        self.position = 0;
        let Ok(chunk) = self.chunks.received.recv() else { return Ok(false) };
        if self.chunks.stop.load(Ordering::Relaxed) {
            return Err(ScanError::Stopped);
        }
        self.diff_id.update(&chunk);
        self.size_bytes += chunk.len() as u64;
        self.share.take(Limit::Unpacked, chunk.len() as u64)?;
        let limit_bytes = unpacked_max_bytes(self.blob_bytes);
        if self.size_bytes > limit_bytes {
            return Err(ScanError::TooLarge { blob_bytes: self.blob_bytes, limit_bytes });
        }
        self.chunk = chunk;
        Ok(true)
    }

    /// Gives the content of the member that was just begun to `each`. Answers whether it was whole: the stream
    /// may end in it, which [`finish`](Self::finish) reports.
    pub(super) fn content(
        &mut self,
        mut each: impl FnMut(Piece<'_>) -> Result<(), ScanError>,
    ) -> Result<bool, ScanError> {
        loop {
            match self.event()? {
                Event::Data(bytes) => each(Piece::Data(bytes))?,
                Event::Hole(count) => each(Piece::Hole(count))?,
                Event::NeedInput => {
                    if !self.refill()? {
                        return Ok(false);
                    }
                }
                // Nothing else comes before the end of a member.
                Event::MemberEnd | Event::Member(_) | Event::End => return Ok(true),
            }
        }
    }

    /// Ends the stream: its digest, its length in bytes, and what it took of the budget.
    pub(super) fn finish(mut self) -> Result<(DiffId, u64, Share<'a>), ScanError> {
        while self.refill()? {}
        self.reader.finish()?;
        Ok((self.diff_id.finish_diff_id(), self.size_bytes, self.share))
    }
}
