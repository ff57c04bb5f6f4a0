//! Compressed streams, member by member and frame by frame, and what may follow them.

use std::io::{self, BufRead, Read};

use flate2::bufread::GzDecoder;
use zstd::stream::raw::{Decoder, InBuffer, Operation, OutBuffer};

use crate::media_type::{Compression, unsupported_compression};

/// The largest window of a zstd frame, as a power of two: what the zstd tool takes by default.
const ZSTD_WINDOW_LOG_MAX: u32 = 27;
/// How much is looked at to tell what something is.
pub(super) const MAGIC_BYTES: usize = 16;

/// A reader that can be looked into.
pub(super) struct Ahead<R> {
    /// What was looked at and is not read yet.
    start: Vec<u8>,
    inner: R,
}

impl<R: BufRead> Ahead<R> {
    pub(super) fn new(inner: R) -> Self {
        Self { start: Vec::new(), inner }
    }

    /// The next [`MAGIC_BYTES`], fewer where it ends.
    pub(super) fn peek(&mut self) -> io::Result<&[u8]> {
        let missing = MAGIC_BYTES.saturating_sub(self.start.len());
        self.inner.by_ref().take(missing as u64).read_to_end(&mut self.start)?;
        Ok(&self.start)
    }
}

impl<R: BufRead> Read for Ahead<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut available = self.fill_buf()?;
        let count = available.read(buffer)?;
        self.consume(count);
        Ok(count)
    }
}

impl<R: BufRead> BufRead for Ahead<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.start.is_empty() { self.inner.fill_buf() } else { Ok(&self.start) }
    }

    fn consume(&mut self, count: usize) {
        if self.start.is_empty() {
            self.inner.consume(count);
        } else {
            self.start.drain(..count);
        }
    }
}

/// Goes on behind a member or a frame: answers whether another one of `format` begins there. Zeros up to the end are
/// padding, which tapes and what writes for them leave.
///
/// # Errors
/// Anything else, by its name.
fn has_next<R: BufRead>(blob: &mut Ahead<R>, format: Compression) -> io::Result<bool> {
    let start = blob.peek()?;
    if start.is_empty() {
        return Ok(false);
    }
    if Compression::of_magic(start) == format {
        return Ok(true);
    }
    loop {
        let available = blob.fill_buf()?;
        let zeros = available.iter().take_while(|byte| **byte == 0).count();
        if zeros == 0 {
            break;
        }
        blob.consume(zeros);
    }
    match blob.peek()? {
        [] => Ok(false),
        start => Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("behind the end of the {format} stream comes {}", describe(start)),
        )),
    }
}

/// What begins with these bytes, as far as that can be told.
fn describe(start: &[u8]) -> String {
    let known = match Compression::of_magic(start) {
        Compression::Plain => unsupported_compression(start).map(str::to_owned),
        compression => Some(compression.to_string()),
    };
    known.unwrap_or_else(|| format!("something else, beginning with \"{}\"", start.escape_ascii()))
}

/// All members of a gzip file (RFC 1952, section 2.2).
pub(super) struct Gzip<'a, R>(Option<GzDecoder<&'a mut Ahead<R>>>);

impl<'a, R: BufRead> Gzip<'a, R> {
    /// `blob` begins with a member.
    pub(super) fn new(blob: &'a mut Ahead<R>) -> Self {
        Self(Some(GzDecoder::new(blob)))
    }
}

impl<R: BufRead> Read for Gzip<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while let Some(member) = &mut self.0 {
            match member.read(buffer)? {
                0 if buffer.is_empty() => return Ok(0),
                0 => {
                    let Some(blob) = self.0.take().map(GzDecoder::into_inner) else { return Ok(0) };
                    if has_next(blob, Compression::Gzip)? {
                        self.0 = Some(GzDecoder::new(blob));
                    }
                }
                count => return Ok(count),
            }
        }
        Ok(0)
    }
}

/// All frames of a zstd file, skippable ones too (RFC 8878, section 3.1).
pub(super) struct Zstd<'a, R> {
    blob: &'a mut Ahead<R>,
    decoder: Decoder<'static>,
    place: Place,
}

/// Where in a zstd file the reader is.
#[derive(PartialEq, Eq)]
enum Place {
    Frame,
    Behind,
    End,
}

impl<'a, R: BufRead> Zstd<'a, R> {
    /// `blob` begins with a frame.
    pub(super) fn new(blob: &'a mut Ahead<R>) -> io::Result<Self> {
        let mut decoder = Decoder::new()?;
        decoder.set_parameter(zstd::zstd_safe::DParameter::WindowLogMax(ZSTD_WINDOW_LOG_MAX))?;
        Ok(Self { blob, decoder, place: Place::Frame })
    }
}

impl<R: BufRead> Read for Zstd<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            match self.place {
                Place::End => return Ok(0),
                Place::Behind => {
                    let goes_on = has_next(self.blob, Compression::Zstd)?;
                    self.decoder.reinit()?;
                    self.place = if goes_on { Place::Frame } else { Place::End };
                }
                Place::Frame => {
                    let mut input = InBuffer::around(self.blob.fill_buf()?);
                    let is_over = input.src.is_empty();
                    let mut output = OutBuffer::around(&mut *buffer);
                    let left = self.decoder.run(&mut input, &mut output)?;
                    let (taken, given) = (input.pos(), output.pos());
                    self.blob.consume(taken);
                    if left == 0 {
                        self.place = Place::Behind;
                    } else if is_over && given == 0 {
                        return Err(io::Error::new(
                            io::ErrorKind::UnexpectedEof,
                            "the last frame is not complete",
                        ));
                    }
                    if given > 0 {
                        return Ok(given);
                    }
                }
            }
        }
    }
}
