//! A layer's blob into the store: hashed, inflated, parsed and stored as it comes, each byte once.
//!
//! [`ingest`] is all that there is to call. It takes any reader: a registry's answer, a file, what containerd hands to
//! a snapshotter.

pub mod decode;
mod duplicates;
mod error;
mod inflate;
mod layer;
mod paths;
mod scan;
mod sink;
mod stream;

pub use decode::CorruptBlob;
pub use error::{IngestError, MemberProblem, ScanError};
pub use layer::{Expected, Ingested, Watch};
pub use paths::PathProblem;

use std::io::Read;
use std::sync::mpsc;

use sealpack_store::{ObjectForm, Staging};

use crate::budget::Budget;
use decode::{Blob, CHUNKS};
use scan::LayerScan;
use stream::{Chunks, Stream};

/// Reads the blob of one layer to its end and brings its contents in that form into `staging`. The layer waits there
/// to be [finished](Ingested::finish), which whoever knows its diff ID does once that is the right one.
///
/// Another thread reads, hashes and inflates, while this one parses, hashes and stores. What the layer takes is taken
/// from `budget`, and given back when it is not finished. The first fault of its content ends the reading.
///
/// # Errors
/// The store's own first; then, whatever else is wrong with it, that the blob is another one than `expected`; then what
/// is wrong with its content. Nothing has a name in the store then.
pub fn ingest<'a>(
    blob: impl Read + Send,
    staging: &'a Staging<'a>,
    form: ObjectForm,
    expected: &Expected,
    budget: &'a Budget,
    watch: &Watch<'_>,
) -> Result<Ingested<'a>, IngestError> {
    // One byte more tells that there are more.
    let blob = blob.take(expected.size_bytes.saturating_add(1));
    let (chunks, received) = mpsc::sync_channel(CHUNKS);
    let (recycle, used) = mpsc::channel();
    let (read, scanned) = std::thread::scope(|scope| {
        let reader = scope.spawn(move || {
            decode::decode(blob, &expected.digest, &chunks, &used, |bytes| (watch.advanced)(bytes))
        });
        let chunks = Chunks { received, recycle: &recycle, stop: watch.stop };
        let stream = Stream::new(chunks, budget.share(), expected.diff_id_algorithm, expected.size_bytes);
        let scanned = LayerScan::new(staging, form, stream).and_then(LayerScan::run);
        (reader.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)), scanned)
    });
    judge(expected, read.map_err(IngestError::Read)?, scanned)
}

/// Whether the layer may be believed. The blob's digest speaks first: when it is wrong, whatever else is wrong follows
/// from that.
fn judge<'a>(
    expected: &Expected,
    blob: Blob,
    scanned: Result<Ingested<'a>, ScanError>,
) -> Result<Ingested<'a>, IngestError> {
    // A store that could not take something says nothing about the blob.
    let scanned = match scanned {
        Err(source) if !source.is_content() => return Err(IngestError::Layer(source)),
        other => other,
    };
    if blob.size_bytes > expected.size_bytes {
        return Err(IngestError::TooLong { expected_bytes: expected.size_bytes });
    }
    if !blob.whole {
        let error = match (blob.corrupt, scanned) {
            (Some(corrupt), _) => IngestError::Corrupt(corrupt),
            (None, Err(source)) => of_scan(source, blob.unsupported),
            // Whoever wants no more of a stream has met an error in it.
            (None, Ok(_)) => {
                IngestError::Size { expected_bytes: expected.size_bytes, actual_bytes: blob.size_bytes }
            }
        };
        return Err(IngestError::Broken(Box::new(error)));
    }
    if blob.size_bytes != expected.size_bytes {
        let (expected_bytes, actual_bytes) = (expected.size_bytes, blob.size_bytes);
        return Err(IngestError::Size { expected_bytes, actual_bytes });
    }
    if blob.digest != expected.digest {
        return Err(IngestError::Digest { expected: expected.digest, actual: blob.digest });
    }
    match blob.corrupt {
        Some(corrupt) => Err(IngestError::Corrupt(corrupt)),
        None => scanned.map_err(|error| of_scan(error, blob.unsupported)),
    }
}

/// What is wrong with a content, of which the first bytes are those of a compression that layers may not have, if so.
fn of_scan(error: ScanError, unsupported: Option<&'static str>) -> IngestError {
    match (error, unsupported) {
        (ScanError::Tar(_), Some(format)) => IngestError::Unsupported { format },
        (error, _) => IngestError::Layer(error),
    }
}
