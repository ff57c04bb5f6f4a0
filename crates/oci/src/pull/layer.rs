//! One layer from its source into the store.

use std::io::{self, Read};
use std::sync::atomic::AtomicBool;
use std::sync::{Mutex, MutexGuard, PoisonError, mpsc};

use sealpack_format::{BlobDigest, DiffId};
use sealpack_store::{ObjectForm, Partial, Staging};

use super::decode::{self, Blob, CHUNKS};
use super::error::PullError;
use super::fresh::Fresh;
use super::observer::{Event, Observer};
use super::scan::{LayerScan, ScanError, Scanned};
use super::stream::{Chunks, Stream};
use crate::error::Error;
use crate::image::Layer;
use crate::transport::ImageSource;

/// How often a layer is read anew because its bytes were wrong.
const ATTEMPTS_MAX: usize = 4;

/// What every layer of a pull has in common.
pub(super) struct LayerPull<'a> {
    pub(super) staging: &'a Staging<'a>,
    pub(super) form: ObjectForm,
    pub(super) source: &'a dyn ImageSource,
    pub(super) observer: &'a dyn Observer,
    /// Set when the pull has failed and nothing more needs to be read.
    pub(super) stop: &'a AtomicBool,
    /// What this pull has added to the store.
    pub(super) brought: &'a Mutex<Brought>,
}

/// What a pull has added to the store before it was complete.
#[derive(Debug, Default)]
pub(super) struct Brought {
    /// Layers that are whole.
    pub(super) layers: Vec<DiffId>,
    /// Layers that were there, and have a pack now.
    pub(super) packs: Vec<DiffId>,
    /// Blobs of which nothing was kept before.
    pub(super) blobs: Vec<BlobDigest>,
}

/// What came of reading a layer once.
enum Outcome {
    Stored,
    /// The blob is another one than it should be. `again` when it may be had from elsewhere,
    /// or from the start.
    Wrong {
        error: Box<PullError>,
        again: bool,
    },
}

impl LayerPull<'_> {
    /// Brings `layer` into the store: its objects, then its record.
    ///
    /// # Errors
    /// Those of the source, of the layer's content, and of the store. The layer is not in the
    /// store then, but what could be fetched is kept for the next pull.
    pub(super) fn run(&self, number: usize, layer: &Layer) -> Result<(), PullError> {
        let mut attempt = 1;
        loop {
            match self.attempt(number, layer)? {
                Outcome::Stored => return Ok(()),
                Outcome::Wrong { error, again } if !again || attempt == ATTEMPTS_MAX => return Err(*error),
                Outcome::Wrong { error, .. } => {
                    let reason = error.to_string();
                    self.observer.event(&Event::LayerRestarted { layer: number, reason: &reason });
                    attempt += 1;
                }
            }
        }
    }

    /// Brings `layer` into its form from what the store has of it in the other, or, if that turns out to be
    /// damaged, as [`run`](Self::run) does.
    pub(super) fn convert(&self, number: usize, layer: &Layer) -> Result<(), PullError> {
        if !self.staging.convert_layer(&layer.diff_id, self.form)? {
            return self.run(number, layer);
        }
        self.staging.commit()?;
        if self.form == ObjectForm::Packs {
            self.brought().packs.push(layer.diff_id);
        }
        self.observer.event(&Event::LayerConverted {
            layer: number,
            diff_id: &layer.diff_id,
            form: self.form,
        });
        Ok(())
    }

    fn attempt(&self, number: usize, layer: &Layer) -> Result<Outcome, PullError> {
        let mut partial = match self.source.is_remote() {
            true => self.staging.store().partial(&layer.descriptor.digest)?,
            false => None,
        };
        let kept_bytes = self.usable(layer, partial.as_mut())?;
        if partial.is_some() && kept_bytes == 0 {
            self.brought().blobs.push(layer.descriptor.digest);
        }
        self.observer.event(&Event::LayerStarted {
            layer: number,
            digest: &layer.descriptor.digest,
            size_bytes: layer.descriptor.size_bytes,
            resumed_bytes: kept_bytes,
        });
        let (blob, scanned) = match self.flow(number, layer, partial.as_mut(), kept_bytes) {
            Ok(flowed) => flowed,
            // More bytes than there should be, for example.
            Err(error) if error.is_verification() => return self.reject(layer, partial, kept_bytes, error),
            Err(error) => {
                // Nothing is nothing to go on with.
                partial.filter(|partial| partial.length_bytes() == 0).map_or(Ok(()), Partial::remove)?;
                return Err(error);
            }
        };
        match judge(layer, number, blob, scanned) {
            Ok(scanned) => {
                let size_bytes = scanned.size_bytes;
                scanned.pack.map_or(Ok(None), |pack| pack.finish(&layer.diff_id))?;
                scanned.record.finish(&layer.diff_id)?;
                self.staging.commit()?;
                self.brought().layers.push(layer.diff_id);
                partial.map_or(Ok(()), Partial::remove)?;
                self.observer.event(&Event::LayerStored { layer: number, size_bytes });
                Ok(Outcome::Stored)
            }
            // A full disk, for example: what was fetched is as good as before.
            Err(error) if !error.is_content() => Err(error),
            Err(error) => self.reject(layer, partial, kept_bytes, error),
        }
    }

    /// Throws away bytes that are wrong, or are right and no layer: they are of no use to any pull.
    fn reject(
        &self,
        layer: &Layer,
        partial: Option<Partial>,
        kept_bytes: u64,
        error: PullError,
    ) -> Result<Outcome, PullError> {
        partial.map_or(Ok(()), Partial::remove)?;
        if !error.is_verification() {
            return Err(error);
        }
        let again = self.source.reject(&layer.descriptor) || kept_bytes > 0;
        Ok(Outcome::Wrong { error: Box::new(error), again })
    }

    fn brought(&self) -> MutexGuard<'_, Brought> {
        // Each change is one push; a panic elsewhere leaves the lists whole.
        self.brought.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn scan(
        &self,
        layer: &Layer,
        received: mpsc::Receiver<Vec<u8>>,
        recycle: &mpsc::Sender<Vec<u8>>,
    ) -> Result<Scanned<'_>, ScanError> {
        let chunks = Chunks { received, recycle, stop: self.stop };
        let stream = Stream::new(chunks, &layer.diff_id, layer.descriptor.size_bytes);
        LayerScan::new(self.staging, self.form, stream)?.run()
    }

    /// How much of the layer an earlier pull has left; more than there can be is thrown away.
    fn usable(&self, layer: &Layer, partial: Option<&mut Partial>) -> Result<u64, PullError> {
        let Some(partial) = partial else { return Ok(0) };
        if partial.length_bytes() > layer.descriptor.size_bytes {
            partial.clear()?;
        }
        Ok(partial.length_bytes())
    }

    /// Reads, hashes and inflates in one thread; parses, hashes and stores in this one.
    fn flow<'s>(
        &'s self,
        number: usize,
        layer: &Layer,
        partial: Option<&mut Partial>,
        kept_bytes: u64,
    ) -> Result<(Blob, Result<Scanned<'s>, ScanError>), PullError> {
        let (chunks, received) = mpsc::sync_channel(CHUNKS);
        let (recycle, used) = mpsc::channel();
        let kept = partial.as_deref().map(Partial::reader).transpose()?;
        let fresh =
            Fresh { source: self.source, layer, offset: kept_bytes, stream: None, partial, stop: self.stop };
        let kept = kept.map_or_else(|| Box::new(io::empty()) as Box<dyn Read + Send>, |kept| Box::new(kept));
        std::thread::scope(|scope| {
            let reader = scope.spawn(move || {
                let counted = |bytes| self.observer.event(&Event::LayerAdvanced { layer: number, bytes });
                decode::decode(kept.chain(fresh), &layer.descriptor.digest, &chunks, &used, counted)
            });
            let scanned = self.scan(layer, received, &recycle);
            let blob = reader.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            let blob = blob.map_err(|error| PullError::read(number + 1, error))?;
            Ok((blob, scanned))
        })
    }
}

/// Whether the layer may be believed. The blob's digest speaks first: when it is wrong,
/// whatever else is wrong follows from that.
fn judge<'a>(
    layer: &Layer,
    number: usize,
    blob: Blob,
    scanned: Result<Scanned<'a>, ScanError>,
) -> Result<Scanned<'a>, PullError> {
    let (layer_number, digest) = (number + 1, layer.descriptor.digest);
    let what = || format!("layer {layer_number}");
    // A store that could not take something says nothing about the blob.
    let scanned = match scanned {
        Err(source) if !source.is_content() => {
            return Err(PullError::Layer { layer: layer_number, digest, source });
        }
        other => other,
    };
    if blob.size_bytes != layer.descriptor.size_bytes {
        return Err(PullError::Source(Error::SizeMismatch {
            what: what(),
            expected_bytes: layer.descriptor.size_bytes,
            actual_bytes: blob.size_bytes,
        }));
    }
    if blob.digest != digest {
        return Err(PullError::Source(Error::DigestMismatch {
            what: what(),
            expected: digest,
            actual: blob.digest,
        }));
    }
    if let Some(source) = blob.corrupt {
        return Err(PullError::Corrupt { layer: layer_number, digest, source });
    }
    let scanned = scanned.map_err(|source| PullError::Layer { layer: layer_number, digest, source })?;
    if scanned.diff_id != layer.diff_id {
        let (expected, actual) = (layer.diff_id, scanned.diff_id);
        return Err(PullError::DiffId { layer: layer_number, digest, expected, actual });
    }
    Ok(scanned)
}
