//! The content of a blob on its way into an archive, checked against its digest.

use std::io::Read;
use std::sync::mpsc::{Receiver, Sender, channel, sync_channel};

use sealpack_format::{BlobDigest, DiffId};

use super::file::{ArchiveFile, Begun};
use crate::budget::Limits;
use crate::copy::{Event, Figures, Observer};
use crate::error::{Error, Result};
use crate::hash::BlobHasher;
use crate::ingest::decode::{CHUNK_BYTES, CHUNKS, decode};
use crate::manifest::Descriptor;
use crate::media_type::MediaKind;
use crate::transport::ImageSource;

/// A blob and where it comes from.
pub(super) struct Way<'a> {
    pub(super) source: &'a dyn ImageSource,
    pub(super) blob: &'a Descriptor,
    pub(super) observer: &'a dyn Observer,
}

impl Way<'_> {
    /// Writes the blob as it is, as the member `name`.
    pub(super) fn as_it_is(&self, file: &mut ArchiveFile, name: &str, figures: &mut Figures) -> Result<()> {
        self.member(file, name, figures, |file| self.copy(file))
    }

    /// Writes what the blob inflates to, which must be the layer `diff_id`, as the member `name`.
    pub(super) fn inflated(
        &self,
        file: &mut ArchiveFile,
        name: &str,
        diff_id: &DiffId,
        figures: &mut Figures,
    ) -> Result<()> {
        self.member(file, name, figures, |file| self.inflate(file, diff_id))
    }

    fn member(
        &self,
        file: &mut ArchiveFile,
        name: &str,
        figures: &mut Figures,
        fill: impl Fn(&mut ArchiveFile) -> Result<()>,
    ) -> Result<()> {
        self.observer.event(&Event::Started(self.blob));
        let begun: Begun<'_> = file.begin(name)?;
        match fill(file) {
            // A mirror gave other bytes; the registry itself may have the right ones.
            Err(Error::DigestMismatch { .. }) if self.source.reject(self.blob) => {
                file.take_back(&begun)?;
                file.begin(name)?;
                fill(file)?;
            }
            other => other?,
        }
        file.end(&begun)?;
        figures.sent += 1;
        figures.sent_bytes += self.blob.size_bytes;
        self.observer.event(&Event::Stored(self.blob));
        Ok(())
    }

    fn what(&self) -> String {
        format!("{}: {}", self.source.description(), self.blob.digest)
    }

    fn copy(&self, file: &mut ArchiveFile) -> Result<()> {
        let in_memory = self.blob.size_bytes <= self.blob.memory_limit_bytes();
        if in_memory && !matches!(self.blob.kind(), MediaKind::Layer(_)) {
            return file.write(&self.source.fetch(self.blob)?);
        }
        let mut reader = self.source.open(self.blob, 0)?;
        let (mut hasher, mut read_bytes) = (BlobHasher::new(self.blob.digest.algorithm()), 0_u64);
        let mut buffer = vec![0; CHUNK_BYTES];
        loop {
            let count = reader.read(&mut buffer).map_err(|error| self.unread(error))?;
            if count == 0 {
                break;
            }
            hasher.update(&buffer[..count]);
            file.write(&buffer[..count])?;
            read_bytes += count as u64;
            self.observer.event(&Event::Sent(self.blob, read_bytes));
        }
        self.check(&hasher.finish_blob(), &self.blob.digest, self.what())
    }

    fn inflate(&self, file: &mut ArchiveFile, diff_id: &DiffId) -> Result<()> {
        let reader = self.source.open(self.blob, 0)?;
        let (chunks, incoming) = sync_channel::<Vec<u8>>(CHUNKS);
        let (back, used) = channel();
        let (decoded, written) = std::thread::scope(|scope| {
            let decoder = scope.spawn(move || {
                let mut read_bytes = 0_u64;
                decode(reader, &self.blob.digest, &chunks, &used, |count| {
                    read_bytes += count;
                    self.observer.event(&Event::Sent(self.blob, read_bytes));
                })
            });
            // The decoder ends where nobody takes what it sends.
            let written = self.write_chunks(file, diff_id, incoming, &back);
            (decoder.join().expect("a decoder does not panic"), written)
        });
        let actual = written?;
        let decoded = decoded.map_err(|error| self.unread(error))?;
        self.check(&decoded.digest, &self.blob.digest, self.what())?;
        if let Some(corrupt) = decoded.corrupt {
            return Err(Error::malformed(self.what(), corrupt));
        }
        if let Some(format) = decoded.unsupported {
            return Err(Error::malformed(self.what(), format!("it is compressed with {format}")));
        }
        let expected = BlobDigest::from_slice(diff_id.algorithm(), diff_id.as_bytes())
            .expect("a diff_id has the length of its algorithm");
        self.check(&actual, &expected, format!("what {} unpacks to", self.what()))
    }

    /// Writes what the decoder sends, and gives its buffers back. Answers with the digest of all of it.
    fn write_chunks(
        &self,
        file: &mut ArchiveFile,
        diff_id: &DiffId,
        incoming: Receiver<Vec<u8>>,
        back: &Sender<Vec<u8>>,
    ) -> Result<BlobDigest> {
        let limit_bytes = Limits::USUAL.unpacked_bytes;
        let (mut hasher, mut left_bytes) = (BlobHasher::new(diff_id.algorithm()), limit_bytes);
        for chunk in incoming {
            let what = || format!("the layer {diff_id} of {}", self.source.description());
            left_bytes = left_bytes
                .checked_sub(chunk.len() as u64)
                .ok_or_else(|| Error::TooLarge { what: what(), limit_bytes })?;
            hasher.update(&chunk);
            file.write(&chunk)?;
            // The decoder may have ended.
            let _ = back.send(chunk);
        }
        Ok(hasher.finish_blob())
    }

    fn check(&self, actual: &BlobDigest, expected: &BlobDigest, what: String) -> Result<()> {
        match actual == expected {
            true => Ok(()),
            false => Err(Error::DigestMismatch { what, expected: *expected, actual: *actual }),
        }
    }

    fn unread(&self, error: std::io::Error) -> Error {
        Error::from_read(error).unwrap_or_else(|error| Error::file("read", self.what(), error))
    }
}
