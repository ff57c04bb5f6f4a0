//! The part of a blob that has to be fetched, kept while it is read.

use std::io::{self, Read};
use std::sync::atomic::{AtomicBool, Ordering};

use sealpack_store::Partial;

use crate::image::Layer;
use crate::transport::ImageSource;

/// Reads a layer's blob from `offset` on. The source is asked at the first read: behind a
/// part that is whole there is nothing to ask for.
pub(super) struct Fresh<'a> {
    pub(super) source: &'a dyn ImageSource,
    pub(super) layer: &'a Layer,
    pub(super) offset: u64,
    pub(super) stream: Option<Box<dyn Read + Send>>,
    /// Where the bytes are kept, so that an interrupted pull can go on from there.
    pub(super) partial: Option<&'a mut Partial>,
    /// Set when another layer has failed and this one is of no use any more.
    pub(super) stop: &'a AtomicBool,
}

impl Read for Fresh<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.stop.load(Ordering::Relaxed) {
            return Err(io::Error::other("stopped because another layer failed"));
        }
        if self.offset >= self.layer.descriptor.size_bytes && self.stream.is_none() {
            return Ok(0);
        }
        let stream = match &mut self.stream {
            Some(stream) => stream,
            none => {
                let opened = self.source.open(&self.layer.descriptor, self.offset);
                none.insert(opened.map_err(crate::error::Error::into_read)?)
            }
        };
        let count = stream.read(buffer)?;
        if let Some(partial) = &mut self.partial {
            partial.append(&buffer[..count]).map_err(io::Error::other)?;
        }
        Ok(count)
    }
}
