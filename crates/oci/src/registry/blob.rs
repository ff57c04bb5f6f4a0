//! A layer's bytes over a network that breaks: resumed by Range, or by reading again and
//! skipping where the server does not do ranges.

use std::io::{self, Read};
use std::sync::Arc;
use std::thread;

use ureq::http::header;

use super::answer::Answer;
use super::ask::Ask;
use super::coding::{Coding, gunzip};
use super::error::RegistryError;
use super::failure::{Cause, Failure, Temporary};
use super::http::describe_io;
use super::repository::Repository;
use crate::error::{Error, Result};
use crate::manifest::Descriptor;
use crate::text::clean;

/// A transfer that got on by this much since it last broke counts as working.
const PROGRESS_BYTES: u64 = 256 * 1024;
/// How much is read at once of what is skipped.
const SKIP_BUFFER_BYTES: usize = 32 * 1024;

/// Reads one blob from a position to its end.
pub(super) struct BlobReader {
    repository: Arc<Repository>,
    descriptor: Descriptor,
    what: String,
    /// The next byte to give.
    position: u64,
    body: Option<Body>,
    /// Whether the server can be asked for a part.
    ranges: bool,
    /// Breaks since there was progress, and where that was.
    failures: u32,
    progress_at: u64,
}

struct Body {
    reader: Box<dyn Read + Send>,
    /// Bytes to drop before `position` is reached.
    skip: u64,
}

/// How a server answered a request for a part, or the whole, of a blob.
enum Opened {
    Body(Body),
    /// It cannot give the part; the whole has to be asked for.
    NoRanges,
}

impl BlobReader {
    /// A reader at `offset`. The first request is made at once, so that its errors are seen here.
    pub(super) fn open(repository: Arc<Repository>, descriptor: &Descriptor, offset: u64) -> Result<Self> {
        let what = repository.blob_name(descriptor);
        if offset > descriptor.size_bytes {
            return Err(Error::malformed(what, format!("it has no byte {offset}")));
        }
        let mut reader = Self {
            repository,
            descriptor: descriptor.clone(),
            what,
            position: offset,
            body: None,
            ranges: true,
            failures: 0,
            progress_at: offset,
        };
        if offset < descriptor.size_bytes || offset == 0 {
            reader.body = Some(reader.connect()?);
        }
        Ok(reader)
    }

    fn connect(&mut self) -> Result<Body> {
        // The second round is the one without ranges.
        loop {
            let from_byte = Some(self.position).filter(|position| self.ranges && *position > 0);
            let ask = Ask::get(format!("blobs/{}", self.descriptor.digest)).starting_at(from_byte);
            let opened = self.repository.first(Some(&self.descriptor.digest), |client, endpoint| {
                client.ask(endpoint, &ask, |answer| self.accept(answer, from_byte))
            })?;
            match opened {
                Opened::Body(body) => return Ok(body),
                Opened::NoRanges => self.ranges = false,
            }
        }
    }

    fn accept(&self, answer: Answer, from_byte: Option<u64>) -> Result<Opened, Failure> {
        let size = self.descriptor.size_bytes;
        let coding = answer.coding();
        // A file that is gzip itself is often said to be coded, and has the length that it should then.
        let is_coded = coding != Coding::Identity && answer.sent_length() != Some(size);
        let skip = match (answer.status(), from_byte) {
            (206, Some(_)) if is_coded => return Ok(Opened::NoRanges),
            (200, _) if is_coded => {
                if let Coding::Other(name) = &coding {
                    return Err(answer.cannot_decode(name));
                }
                self.position
            }
            (200, _) => {
                if let Some(actual_bytes) = answer.sent_length().filter(|length| *length != size) {
                    let (what, expected_bytes) = (self.what.clone(), size);
                    return Err(Error::SizeMismatch { what, expected_bytes, actual_bytes }.into());
                }
                self.position
            }
            (206, Some(from_byte)) => {
                let range = answer.header(header::CONTENT_RANGE).unwrap_or_default();
                if !range_fits(range, from_byte, size) {
                    return Ok(Opened::NoRanges);
                }
                0
            }
            (416, Some(_)) => return Ok(Opened::NoRanges),
            (status, _) => {
                let url = answer.url.to_string();
                let problem = format!("the status {status} for a request without a range");
                return Err(RegistryError::Nonsense { url, problem }.into());
            }
        };
        let body = answer.response.into_body().into_reader();
        let reader = match is_coded {
            true => gunzip(body).map_err(|error| self.broken(&answer.url.to_string(), &error))?,
            false => Box::new(body),
        };
        Ok(Opened::Body(Body { reader, skip }))
    }

    /// The failure of a body that broke before its first byte.
    fn broken(&self, url: &str, error: &io::Error) -> Failure {
        let cause = Cause::Network { problem: describe_io(error), proxy: None, nobody: false };
        Failure::Temporary(Temporary { url: url.to_owned(), cause, retry_after: None })
    }

    /// Reads some bytes at the position, or says what broke. `Ok(0)` is the blob's end.
    fn read_once(&mut self, buffer: &mut [u8]) -> Result<usize, ReadFailure> {
        let remaining = self.descriptor.size_bytes - self.position;
        let Some(body) = &mut self.body else { return Ok(0) };
        let client = &self.repository.client;
        let _wait = client.watch.wait(&self.what, client.stall);
        let broken = |error: io::Error| ReadFailure::Broken(describe_io(&error));
        while body.skip > 0 {
            let mut scratch = [0; SKIP_BUFFER_BYTES];
            let wanted = usize::try_from(body.skip).unwrap_or(usize::MAX).min(scratch.len());
            match body.reader.read(&mut scratch[..wanted]).map_err(broken)? {
                0 => return Err(ReadFailure::Broken("the answer ended early".to_owned())),
                count => body.skip -= count as u64,
            }
        }
        if remaining == 0 {
            // Only an answer that goes on matters now: all bytes are here.
            return match body.reader.read(&mut [0]) {
                Ok(count) if count > 0 => Err(ReadFailure::TooLong),
                _ => {
                    self.body = None;
                    Ok(0)
                }
            };
        }
        let wanted = usize::try_from(remaining).unwrap_or(usize::MAX).min(buffer.len());
        match body.reader.read(&mut buffer[..wanted]).map_err(broken)? {
            0 => Err(ReadFailure::Broken("the answer ended early".to_owned())),
            count => Ok(count),
        }
    }

    /// Counts a break, waits, and connects again.
    fn resume(&mut self, problem: String) -> Result<()> {
        self.body = None;
        if self.position - self.progress_at >= PROGRESS_BYTES {
            self.failures = 0;
        }
        self.progress_at = self.position;
        self.failures += 1;
        let retry = &self.repository.client.retry;
        if self.failures > retry.retries {
            return Err(RegistryError::Broken {
                what: self.what.clone(),
                failures: self.failures,
                received_bytes: self.position,
                expected_bytes: self.descriptor.size_bytes,
                problem: clean(&problem, 200),
            }
            .into());
        }
        thread::sleep(retry.delay(self.failures, None));
        self.body = Some(self.connect()?);
        Ok(())
    }
}

enum ReadFailure {
    Broken(String),
    TooLong,
}

impl Read for BlobReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            match self.read_once(buffer) {
                Ok(count) => {
                    self.position += count as u64;
                    return Ok(count);
                }
                Err(ReadFailure::TooLong) => {
                    let (what, expected_bytes) = (self.what.clone(), self.descriptor.size_bytes);
                    return Err(Error::TooLong { what, expected_bytes }.into_read());
                }
                Err(ReadFailure::Broken(problem)) => self.resume(problem).map_err(Error::into_read)?,
            }
        }
    }
}

/// Whether `Content-Range` says: from `from_byte` to the end of `size` bytes.
fn range_fits(header: &str, from_byte: u64, size: u64) -> bool {
    let parse = || -> Option<(u64, u64, Option<u64>)> {
        let (range, total) = header.trim().strip_prefix("bytes ")?.split_once('/')?;
        let (first, last) = range.split_once('-')?;
        let total = if total == "*" { None } else { Some(total.parse().ok()?) };
        Some((first.parse().ok()?, last.parse().ok()?, total))
    };
    parse().is_some_and(|(first, last, total)| {
        first == from_byte && last.checked_add(1) == Some(size) && total.is_none_or(|total| total == size)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_range_that_was_asked_for_fits() {
        assert!(range_fits("bytes 5-9/10", 5, 10));
        assert!(range_fits("bytes 5-9/*", 5, 10));
        for wrong in [
            "",
            "bytes 4-9/10",
            "bytes 5-8/10",
            "bytes 5-9/11",
            "bytes */10",
            "5-9/10",
            "bytes 5-18446744073709551615/*",
        ] {
            assert!(!range_fits(wrong, 5, 10), "{wrong}");
        }
    }
}
