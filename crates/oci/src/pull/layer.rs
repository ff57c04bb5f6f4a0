//! One layer from its source into the store.

use std::io::{self, Read};
use std::sync::atomic::AtomicBool;
use std::sync::{Mutex, MutexGuard, PoisonError};

use sealpack_format::{BlobDigest, DiffId};
use sealpack_store::{ObjectForm, Partial, Staging};

use super::error::PullError;
use super::fresh::Fresh;
use super::observer::{Event, Observer};
use crate::budget::Budget;
use crate::error::Error;
use crate::image::Layer;
use crate::ingest::{Expected, IngestError, Ingested, Watch, ingest};
use crate::media_type::MediaKind;
use crate::transport::ImageSource;

/// How often a layer is read anew because its bytes were wrong.
const ATTEMPTS_MAX: usize = 4;

/// What every layer of a pull has in common.
pub(super) struct LayerPull<'a> {
    pub(super) staging: &'a Staging<'a>,
    pub(super) form: ObjectForm,
    pub(super) source: &'a dyn ImageSource,
    pub(super) observer: &'a dyn Observer,
    /// What the layers take together.
    pub(super) budget: &'a Budget,
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
        let (layer_number, digest) = (number + 1, layer.descriptor.digest);
        match self.flow(number, layer, partial.as_mut(), kept_bytes) {
            Ok(ingested) if ingested.diff_id != layer.diff_id => {
                let (expected, actual) = (layer.diff_id, ingested.diff_id);
                let error = PullError::DiffId { layer: layer_number, digest, expected, actual };
                self.reject(layer, partial, kept_bytes, error)
            }
            Ok(ingested) => {
                let size_bytes = ingested.size_bytes;
                ingested.finish()?;
                self.staging.commit()?;
                self.brought().layers.push(layer.diff_id);
                partial.map_or(Ok(()), Partial::remove)?;
                self.observer.event(&Event::LayerStored { layer: number, size_bytes });
                Ok(Outcome::Stored)
            }
            Err(IngestError::Read(error)) => {
                let error = self.explained(layer_number, layer, PullError::read(layer_number, error));
                // More bytes than there should be, for example.
                if error.is_verification() {
                    return self.reject(layer, partial, kept_bytes, error);
                }
                // Nothing is nothing to go on with.
                partial.filter(|partial| partial.length_bytes() == 0).map_or(Ok(()), Partial::remove)?;
                Err(error)
            }
            Err(error) => {
                let error = PullError::of_layer(layer_number, digest, error);
                // A full disk, for example: what was fetched is as good as before.
                if error.is_content() { self.reject(layer, partial, kept_bytes, error) } else { Err(error) }
            }
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
        // Nobody knows of a blob that was not read to its end whether it is the right one.
        if !error.is_verification() && !matches!(error, PullError::Broken(_)) {
            return Err(error);
        }
        let again = self.source.reject(&layer.descriptor) || kept_bytes > 0;
        Ok(Outcome::Wrong { error: Box::new(error), again })
    }

    /// Says so where a layer is one that registries need not have, and this one does not have it.
    fn explained(&self, number: usize, layer: &Layer, error: PullError) -> PullError {
        match (layer.descriptor.kind(), &error) {
            (MediaKind::ForeignLayer(_), PullError::Source(missing)) if missing.is_missing() => {
                let (what, media_type) = (self.source.description(), layer.descriptor.media_type.clone());
                PullError::Source(Error::ForeignLayer { what, number, media_type })
            }
            _ => error,
        }
    }

    fn brought(&self) -> MutexGuard<'_, Brought> {
        // Each change is one push; a panic elsewhere leaves the lists whole.
        self.brought.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How much of the layer an earlier pull has left; more than there can be is thrown away.
    fn usable(&self, layer: &Layer, partial: Option<&mut Partial>) -> Result<u64, PullError> {
        let Some(partial) = partial else { return Ok(0) };
        if partial.length_bytes() > layer.descriptor.size_bytes {
            partial.clear()?;
        }
        Ok(partial.length_bytes())
    }

    /// Reads the layer: what is kept of it, then the rest from the source.
    fn flow<'s>(
        &'s self,
        number: usize,
        layer: &Layer,
        partial: Option<&mut Partial>,
        kept_bytes: u64,
    ) -> Result<Ingested<'s>, IngestError> {
        let kept = partial.as_deref().map(Partial::reader).transpose();
        // The store's error comes out of there again.
        let kept = kept.map_err(|error| IngestError::Read(io::Error::other(error)))?;
        let fresh =
            Fresh { source: self.source, layer, offset: kept_bytes, stream: None, partial, stop: self.stop };
        let kept = kept.map_or_else(|| Box::new(io::empty()) as Box<dyn Read + Send>, |kept| Box::new(kept));
        let expected = Expected {
            digest: layer.descriptor.digest,
            size_bytes: layer.descriptor.size_bytes,
            diff_id_algorithm: layer.diff_id.algorithm(),
        };
        let advanced = |bytes| self.observer.event(&Event::LayerAdvanced { layer: number, bytes });
        let watch = Watch { stop: self.stop, advanced: &advanced };
        ingest(kept.chain(fresh), self.staging, self.form, &expected, self.budget, &watch)
    }
}
