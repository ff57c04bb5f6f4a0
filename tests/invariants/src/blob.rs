//! Blobs of layers, before they are known to be tar: plain, gzip or zstd.

use std::io::{self, Read, Write};
use std::sync::mpsc;

use sealpack_format::{Algorithm, BlobDigest};
use sealpack_oci::hash::BlobHasher;
use sealpack_oci::ingest::decode::{Blob, CHUNK_BYTES, CHUNKS, READ_ON_BYTES, decode};

/// Where the reader of the chunks has enough: a small blob can become very large.
const ENOUGH_BYTES: usize = 1 << 20;

/// A blob is hashed to its end, or to a bounded way behind where its content is found to be corrupt; what inflates is the same however the bytes come, in
/// full chunks, and again when it is compressed again.
pub(crate) fn check(bytes: &[u8]) {
    let (content, blob) = decoded(bytes);
    let (in_pieces, same) = decoded(Pieces(bytes));
    for (blob, content) in [(&blob, &content), (&same, &in_pieces)] {
        let read = usize::try_from(blob.size_bytes).expect("no more than there is");
        assert_eq!(blob.digest, digest(&bytes[..read]));
        assert_eq!(blob.whole, read == bytes.len());
        let wanted = blob.corrupt.is_none() && content.len() < ENOUGH_BYTES;
        assert!(blob.whole || !wanted && read >= READ_ON_BYTES as usize, "{blob:?}");
    }
    if content.len() >= ENOUGH_BYTES {
        return;
    }
    assert_eq!(blob.corrupt.is_some(), same.corrupt.is_some(), "{blob:?} {same:?}");
    if blob.corrupt.is_none() {
        assert!(content == in_pieces, "{} and {} bytes", content.len(), in_pieces.len());
        // What is longer would take the time of many others.
        let content = &content[..content.len().min(2 * CHUNK_BYTES + 1)];
        for packed in [gzip(content), zstd(content)] {
            let (again, blob) = decoded(packed.as_slice());
            assert!(again == content && blob.corrupt.is_none(), "{blob:?}");
        }
    }
}

/// Gives one, two, three bytes at a time.
struct Pieces<'a>(&'a [u8]);

impl Read for Pieces<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = (self.0.len() % 3 + 1).min(buffer.len());
        self.0.read(&mut buffer[..length])
    }
}

/// What a blob inflates to, up to about [`ENOUGH_BYTES`], and what it turned out to be.
fn decoded(raw: impl Read + Send) -> (Vec<u8>, Blob) {
    let (chunks, received) = mpsc::sync_channel(CHUNKS);
    let (recycle, used) = mpsc::channel();
    std::thread::scope(|scope| {
        let reader = scope.spawn(move || {
            let (mut content, mut last_bytes) = (Vec::new(), CHUNK_BYTES);
            for chunk in received {
                let chunk: Vec<u8> = chunk;
                assert_eq!(last_bytes, CHUNK_BYTES, "only the last chunk is short");
                assert!((1..=CHUNK_BYTES).contains(&chunk.len()));
                last_bytes = chunk.len();
                content.extend_from_slice(&chunk);
                if content.len() >= ENOUGH_BYTES {
                    break;
                }
                _ = recycle.send(chunk);
            }
            content
        });
        let mut counted = 0;
        let blob = decode(raw, &digest(b""), &chunks, &used, |bytes| counted += bytes);
        drop(chunks);
        let blob = blob.expect("a slice can be read");
        assert_eq!(counted, blob.size_bytes);
        (reader.join().expect("the reader of the chunks"), blob)
    })
}

fn digest(bytes: &[u8]) -> BlobDigest {
    let mut hasher = BlobHasher::new(Algorithm::Sha256);
    hasher.update(bytes);
    hasher.finish_blob()
}

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(content).and_then(|()| encoder.finish()).expect("memory takes everything")
}

fn zstd(content: &[u8]) -> Vec<u8> {
    zstd::encode_all(content, 1).expect("memory takes everything")
}
