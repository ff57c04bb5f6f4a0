//! A blob's bytes: hashed as they come, inflated, handed on in chunks.
//!
//! Whatever the bytes: no more than [`CHUNKS`] chunks of [`CHUNK_BYTES`] wait, and what the decoders keep is bounded by
//! the largest window; how much comes out in all is for the reader of the chunks to limit.

use std::cell::RefCell;
use std::io::{self, BufRead, BufReader, Read};
use std::rc::Rc;
use std::sync::mpsc::{Receiver, SyncSender};

use sealpack_format::BlobDigest;

use super::inflate::{Ahead, Gzip, Zstd};
use crate::hash::BlobHasher;
use crate::media_type::{Compression, unsupported_compression};

/// The size of a chunk in bytes. With [`CHUNKS`] of them under way a layer needs 2 MiB.
pub const CHUNK_BYTES: usize = 256 * 1024;

/// How many chunks may wait between the thread that inflates and the one that stores.
pub const CHUNKS: usize = 6;

/// How much is read of a blob behind the place where it turned out to be of no use: about what is under way by then.
/// A small one is read to its end so, and its digest tells whether it is the right one at all.
pub const READ_ON_BYTES: u64 = CHUNK_BYTES as u64;

/// What a blob turned out to be.
#[derive(Debug)]
pub struct Blob {
    /// The digest of the bytes that were read.
    pub digest: BlobDigest,
    /// The number of the bytes that were read.
    pub size_bytes: u64,
    /// Whether these are all that there are.
    pub whole: bool,
    /// Why its content did not inflate, if so.
    pub corrupt: Option<CorruptBlob>,
    /// What it is compressed with by its first bytes, if layers are not. A tar can begin with the same.
    pub unsupported: Option<&'static str>,
}

/// A blob that does not inflate.
#[derive(Debug, thiserror::Error)]
#[error("corrupt {format}: {source}")]
pub struct CorruptBlob {
    format: &'static str,
    source: io::Error,
}

/// Hashes `raw` whole, by the algorithm of the `expected` digest, and sends what it inflates to; buffers come back through `used`.
///
/// When its content is corrupt, or nobody wants the chunks any more, no more than [`READ_ON_BYTES`] are read on: whoever
/// sends garbage could send it for ever. `counted` hears of every piece read.
///
/// # Errors
/// Those of reading `raw`.
pub fn decode(
    raw: impl Read,
    expected: &BlobDigest,
    chunks: &SyncSender<Vec<u8>>,
    used: &Receiver<Vec<u8>>,
    counted: impl FnMut(u64),
) -> io::Result<Blob> {
    let tap = Rc::new(RefCell::new(Tap {
        hasher: BlobHasher::new(expected.algorithm()),
        size_bytes: 0,
        failure: None,
    }));
    let tapped = Tapped { raw, tap: Rc::clone(&tap), counted };
    let mut whole = Ahead::new(BufReader::with_capacity(CHUNK_BYTES, tapped));
    let start = whole.peek().map_err(|error| real(&tap, error))?;
    let compression = Compression::of_magic(start);
    let unsupported = unsupported_compression(start);
    let corrupt = match inflate(compression, &mut whole, chunks, used) {
        Ok(()) => None,
        Err(source) => {
            if let Some(failure) = tap.borrow_mut().failure.take() {
                return Err(failure);
            }
            let format = match compression {
                Compression::Plain => "tar",
                Compression::Gzip => "gzip",
                Compression::Zstd => "zstd",
            };
            Some(CorruptBlob { format, source })
        }
    };
    let read_on = io::copy(&mut whole.by_ref().take(READ_ON_BYTES), &mut io::sink());
    let read_on = read_on.map_err(|error| real(&tap, error))?;
    let ended = read_on < READ_ON_BYTES || is_at_end(&mut whole).map_err(|error| real(&tap, error))?;
    drop(whole);
    let tap = Rc::into_inner(tap).expect("the reader that shared it was just dropped").into_inner();
    let digest = tap.hasher.finish_blob();
    Ok(Blob { digest, size_bytes: tap.size_bytes, whole: ended, corrupt, unsupported })
}

/// Whether there is nothing more to read.
fn is_at_end(reader: &mut impl Read) -> io::Result<bool> {
    loop {
        match reader.read(&mut [0]) {
            Ok(count) => return Ok(count == 0),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

fn inflate(
    compression: Compression,
    blob: &mut Ahead<impl BufRead>,
    chunks: &SyncSender<Vec<u8>>,
    used: &Receiver<Vec<u8>>,
) -> io::Result<()> {
    match compression {
        Compression::Plain => send(blob, chunks, used),
        Compression::Gzip => send(&mut Gzip::new(blob), chunks, used),
        Compression::Zstd => send(&mut Zstd::new(blob)?, chunks, used),
    }
}

/// Sends all of `plain` in full chunks, but for the last; stops early when nobody listens.
fn send(plain: &mut impl Read, chunks: &SyncSender<Vec<u8>>, used: &Receiver<Vec<u8>>) -> io::Result<()> {
    loop {
        let mut chunk = used.try_recv().unwrap_or_default();
        chunk.resize(CHUNK_BYTES, 0);
        let mut filled = 0;
        while filled < CHUNK_BYTES {
            match plain.read(&mut chunk[filled..]) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        chunk.truncate(filled);
        if filled == 0 || chunks.send(chunk).is_err() {
            return Ok(());
        }
    }
}

/// The error that reading met, where a decoder may have wrapped it.
fn real(tap: &RefCell<Tap>, error: io::Error) -> io::Error {
    tap.borrow_mut().failure.take().unwrap_or(error)
}

/// What the raw bytes have come to so far.
struct Tap {
    hasher: BlobHasher,
    size_bytes: u64,
    failure: Option<io::Error>,
}

struct Tapped<R, F> {
    raw: R,
    tap: Rc<RefCell<Tap>>,
    counted: F,
}

impl<R: Read, F: FnMut(u64)> Read for Tapped<R, F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut tap = self.tap.borrow_mut();
        match self.raw.read(buffer) {
            Ok(count) => {
                tap.hasher.update(&buffer[..count]);
                tap.size_bytes += count as u64;
                (self.counted)(count as u64);
                Ok(count)
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Err(error),
            Err(error) => {
                let copy = io::Error::new(error.kind(), error.to_string());
                tap.failure = Some(error);
                Err(copy)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::mpsc;

    use super::*;

    fn decoded(blob: &[u8]) -> (Vec<u8>, io::Result<Blob>) {
        let (chunks, received) = mpsc::sync_channel(CHUNKS);
        let (_recycle, used) = mpsc::channel();
        let expected = format!("sha256:{}", "0".repeat(64)).parse().unwrap();
        std::thread::scope(|scope| {
            let plain = scope.spawn(move || received.into_iter().flatten().collect());
            let blob = decode(blob, &expected, &chunks, &used, |_| {});
            drop(chunks);
            (plain.join().unwrap(), blob)
        })
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn content() -> Vec<u8> {
        (0..900_000_u32).map(|i| (i.wrapping_mul(i) >> 7) as u8).collect()
    }

    #[test]
    fn every_member_and_frame_is_read() {
        let content = content();
        let (one, two) = content.split_at(300_000);
        let skippable = [&[0x5a, 0x2a, 0x4d, 0x18, 3, 0, 0, 0][..], b"xyz"].concat();
        let frame = |bytes: &[u8]| zstd::encode_all(bytes, 3).unwrap();
        for blob in [
            content.clone(),
            gzip(&content),
            [gzip(one), gzip(b""), gzip(two)].concat(),
            frame(&content),
            [skippable.clone(), frame(one), skippable.clone(), frame(two)].concat(),
            [frame(one), frame(two), frame(b""), skippable].concat(),
        ] {
            let (plain, facts) = decoded(&blob);
            let facts = facts.unwrap();
            assert!(plain == content && facts.corrupt.is_none(), "{facts:?}");
            assert_eq!(facts.size_bytes, blob.len() as u64);
            assert_eq!(facts.digest, crate::hash::blob_digest(sealpack_format::Algorithm::Sha256, &blob));
        }
    }

    #[test]
    fn a_corrupt_blob_is_hashed_to_its_end_all_the_same() {
        let content = content();
        let mut packed = gzip(&content);
        let middle = packed.len() / 2;
        packed[middle] ^= 0xff;
        let mut frame = zstd::encode_all(content.as_slice(), 3).unwrap();
        frame.truncate(frame.len() - 9);
        let trailing = [gzip(b"x"), b"garbage".to_vec()].concat();
        for (blob, format) in [(packed, "gzip"), (frame, "zstd"), (trailing, "gzip")] {
            let facts = decoded(&blob).1.unwrap();
            assert!(facts.corrupt.unwrap().to_string().starts_with(&format!("corrupt {format}: ")));
            assert_eq!(facts.digest, crate::hash::blob_digest(sealpack_format::Algorithm::Sha256, &blob));
        }
    }

    /// A server that declares a terabyte and sends garbage was listened to for a terabyte.
    #[test]
    fn a_blob_of_no_use_is_not_read_to_its_end_however_long_it_is() {
        struct Endless(u64);
        impl Read for Endless {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                buffer.fill(0xa5);
                self.0 += buffer.len() as u64;
                Ok(buffer.len())
            }
        }
        let expected = format!("sha256:{}", "0".repeat(64)).parse().unwrap();
        for start in [&gzip(b"x")[..], &zstd::encode_all(&b"x"[..], 3).unwrap()] {
            let (chunks, _keep) = mpsc::sync_channel(CHUNKS);
            let (_recycle, used) = mpsc::channel();
            let mut endless = Endless(0);
            let blob = decode(start.chain(&mut endless), &expected, &chunks, &used, |_| {}).unwrap();
            assert!(!blob.whole && blob.corrupt.is_some(), "{blob:?}");
            assert!(endless.0 <= 4 * CHUNK_BYTES as u64, "{} bytes were read", endless.0);
        }
        // A tar is nothing that does not inflate: whoever parses it stops.
        let (chunks, received) = mpsc::sync_channel(CHUNKS);
        drop(received);
        let (_recycle, used) = mpsc::channel();
        let mut endless = Endless(0);
        let blob = decode(&mut endless, &expected, &chunks, &used, |_| {}).unwrap();
        assert!(!blob.whole && blob.corrupt.is_none(), "{blob:?}");
        assert!(endless.0 <= 4 * CHUNK_BYTES as u64, "{} bytes were read", endless.0);
    }

    /// bsdtar and tapes fill up the last block with zeros; gzip and docker have always passed over them.
    #[test]
    fn zeros_behind_a_compressed_stream_are_padding() {
        let content = content();
        let frame = zstd::encode_all(content.as_slice(), 3).unwrap();
        for stream in [gzip(&content), [gzip(&content), gzip(b"")].concat(), frame] {
            for zeros in [1, 15, 16, 17, 511, 10_240, 2 * CHUNK_BYTES + 1] {
                let blob = [stream.clone(), vec![0; zeros]].concat();
                let (plain, facts) = decoded(&blob);
                let facts = facts.unwrap();
                assert!(plain == content && facts.corrupt.is_none(), "{zeros}: {facts:?}");
                assert_eq!(facts.size_bytes, blob.len() as u64);
            }
        }
    }

    #[test]
    fn what_else_follows_a_compressed_stream_is_named() {
        let frame = || zstd::encode_all(&b"x"[..], 3).unwrap();
        let xz = b"\xfd7zXZ\0more".to_vec();
        for (stream, behind, format, name) in [
            (gzip(b"x"), frame(), "gzip", "zstd"),
            (frame(), gzip(b"x"), "zstd", "gzip"),
            (gzip(b"x"), xz.clone(), "gzip", "xz"),
            (frame(), xz, "zstd", "xz"),
            (gzip(b"x"), b"\0\0\0some text".to_vec(), "gzip", "something else, beginning with \"some text\""),
            (gzip(b"x"), [vec![0; 512], gzip(b"x")].concat(), "gzip", "gzip"),
            (frame(), vec![0x28], "zstd", "something else, beginning with \"(\""),
        ] {
            let facts = decoded(&[stream, behind].concat()).1.unwrap();
            let expected = format!("corrupt {format}: behind the end of the {format} stream comes {name}");
            assert_eq!(facts.corrupt.unwrap().to_string(), expected);
        }
    }

    #[test]
    fn an_error_of_the_source_is_told_as_it_is() {
        struct Broken;
        impl Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::Error::other("the cable is out"))
            }
        }
        let start = gzip(&content());
        let (chunks, _keep) = mpsc::sync_channel(100);
        let (_recycle, used) = mpsc::channel();
        let expected = format!("sha256:{}", "0".repeat(64)).parse().unwrap();
        let error = decode((&start[..1000]).chain(Broken), &expected, &chunks, &used, |_| {}).unwrap_err();
        assert_eq!(error.to_string(), "the cable is out");
    }
}
