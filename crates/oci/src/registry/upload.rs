//! One blob into a registry, over a network that breaks (distribution-spec 1.1, "Pushing blobs").
//!
//! A small blob goes in one piece. A larger one goes in chunks; after a break the registry is asked how
//! much it has. A registry that does not do chunks gets the whole in one piece, and gets all of it again
//! after a break.

use std::io::Read;

use ureq::http::{Method, header};

use super::answer::Answer;
use super::ask::{Ask, RequestBody};
use super::client::{Client, Endpoint};
use super::error::RegistryError;
use super::failure::{Cause, Failure, Temporary};
use super::url::{Scheme, Url};
use crate::error::{Error, Result};
use crate::hash::BlobHasher;
use crate::manifest::Descriptor;
use crate::transport::Open;

/// An upload that got on by this much since it last broke counts as working.
const PROGRESS_BYTES: u64 = 256 * 1024;
/// Largest chunk that is sent because a registry demands it; it is kept in memory.
const CHUNK_MAX_BYTES: u64 = 64 * 1024 * 1024;

/// The upload of one blob, whose state is what the registry has confirmed.
pub(super) struct Upload<'a> {
    client: &'a Client,
    endpoint: &'a Endpoint,
    blob: &'a Descriptor,
    what: String,
    open: &'a Open<'a>,
    sent: &'a dyn Fn(u64),
    chunk_bytes: u64,
    /// Whether the registry wants all in one piece.
    whole: bool,
    /// Where the next request goes; `None` before the upload is begun.
    location: Option<Url>,
    /// How many bytes the registry has.
    position: u64,
    window: Window,
    /// Breaks since there was progress, and where that was.
    failures: u32,
    progress_at: u64,
    /// How often the registry forgot an upload.
    restarts: u32,
}

impl<'a> Upload<'a> {
    pub(super) fn new(
        (client, endpoint): (&'a Client, &'a Endpoint),
        blob: &'a Descriptor,
        what: String,
        open: &'a Open<'a>,
        sent: &'a dyn Fn(u64),
        chunk_bytes: u64,
    ) -> Self {
        Self {
            client,
            endpoint,
            blob,
            what,
            open,
            sent,
            chunk_bytes: chunk_bytes.max(1),
            whole: false,
            location: None,
            position: 0,
            window: Window::new(blob),
            failures: 0,
            progress_at: 0,
            restarts: 0,
        }
    }

    /// Brings the blob in, or leaves nothing of it in the registry.
    pub(super) fn run(mut self) -> Result<()> {
        loop {
            let done = match self.step() {
                Err(Failure::Temporary(temporary)) => self.resume(temporary),
                Err(Failure::Final(error)) => Err(error),
                Ok(done) => Ok(done),
            };
            match done {
                Ok(true) => return Ok(()),
                Ok(false) => {}
                Err(error) => {
                    self.cancel();
                    return Err(error);
                }
            }
        }
    }

    /// One request; says whether it was the last one.
    fn step(&mut self) -> Result<bool, Failure> {
        let Some(location) = self.location.clone() else {
            self.begin()?;
            return Ok(false);
        };
        if self.in_one_piece() || self.position == self.blob.size_bytes {
            return self.finish(&location);
        }
        self.send_chunk(location)?;
        Ok(false)
    }

    fn in_one_piece(&self) -> bool {
        self.whole || self.blob.size_bytes <= self.chunk_bytes
    }

    fn begin(&mut self) -> Result<(), Failure> {
        let ask = Ask::get("blobs/uploads/")
            .with_method(Method::POST)
            .with_body(RequestBody::Bytes(b""))
            .expecting(&[202]);
        let (location, smallest) = self.client.ask(self.endpoint, &ask, |answer| {
            let smallest = answer.header("oci-chunk-min-length").and_then(|text| text.trim().parse().ok());
            Ok((new_location(&answer)?, smallest))
        })?;
        match smallest {
            Some(smallest) if smallest > CHUNK_MAX_BYTES => self.whole = true,
            Some(smallest) => self.chunk_bytes = self.chunk_bytes.max(smallest),
            None => {}
        }
        (self.location, self.position) = (Some(location), 0);
        Ok(())
    }

    fn send_chunk(&mut self, location: Url) -> Result<(), Failure> {
        self.window.fill(self.open, self.position, self.chunk_bytes, &self.what)?;
        let bytes = &self.window.bytes;
        let end = self.position + bytes.len() as u64;
        let mut ask = Ask::get_url(location)
            .with_method(Method::PATCH)
            .with_header(header::CONTENT_TYPE, "application/octet-stream")
            .with_header(header::CONTENT_RANGE, &format!("{}-{}", self.position, end - 1))
            .expecting(&[200, 201, 202, 204, 400, 404, 405, 410, 411, 413, 416, 501]);
        ask.body = RequestBody::Bytes(bytes);
        let answer = self.client.once(self.endpoint, &ask)?;
        match answer.status() {
            200..=204 => self.advance(&answer, end),
            // It has another part of the blob than was thought.
            416 => Err(broken(answer.url.to_string(), "it refused the range of a chunk".to_owned())),
            404 | 410 => self.start_again("the registry does not know the upload any more"),
            _ if self.position == 0 && !self.whole => {
                self.cancel();
                (self.whole, self.location) = (true, None);
                Ok(())
            }
            status => self.start_again(&format!("the registry answered {status} to a chunk")),
        }
    }

    /// Takes note of how far the registry has got, which may be less than it was sent.
    fn advance(&mut self, answer: &Answer, end: u64) -> Result<(), Failure> {
        let has = match answer.header(header::RANGE) {
            Some(range) => received(range),
            None => Some(end),
        };
        let has = has.filter(|has| *has <= end).ok_or_else(|| {
            let problem = format!("a range of received bytes that cannot be: {end} were sent");
            RegistryError::Nonsense { url: answer.url.to_string(), problem }
        })?;
        if answer.response.headers().contains_key(header::LOCATION) {
            self.location = Some(new_location(answer)?);
        }
        if has <= self.position {
            let problem = "the registry took none of the bytes".to_owned();
            return Err(broken(answer.url.to_string(), problem));
        }
        self.position = has;
        (self.sent)(has);
        Ok(())
    }

    /// Ends the upload, with the bytes if none were sent yet.
    fn finish(&mut self, location: &Url) -> Result<bool, Failure> {
        let url = location.clone().with_query(&[("digest", &self.blob.digest.to_string())]);
        let size_bytes = self.blob.size_bytes;
        let in_memory = size_bytes <= self.chunk_bytes;
        if self.position == 0 && in_memory {
            self.window.fill(self.open, 0, size_bytes, &self.what)?;
        }
        let open = self.open;
        let whole = || open(0);
        let ask = Ask::get_url(url)
            .with_method(Method::PUT)
            .with_header(header::CONTENT_TYPE, "application/octet-stream")
            .with_body(match (self.position == 0, in_memory) {
                (false, _) => RequestBody::Bytes(b""),
                (true, true) => RequestBody::Bytes(&self.window.bytes),
                (true, false) => RequestBody::Stream { open: &whole, size_bytes },
            })
            .expecting(&[200, 201, 204, 404, 410, 416]);
        let answer = self.client.once(self.endpoint, &ask)?;
        if matches!(answer.status(), 200..=204) {
            (self.sent)(size_bytes);
            return Ok(true);
        }
        // The answer to an earlier attempt may have been lost.
        if self.is_there()? {
            return Ok(true);
        }
        self.start_again("the registry does not know the upload any more")?;
        Ok(false)
    }

    fn is_there(&self) -> Result<bool> {
        exists(self.client, self.endpoint, self.blob)
    }

    /// Counts a break, waits, and finds out what the registry has; says whether that is all of it.
    fn resume(&mut self, temporary: Temporary) -> Result<bool> {
        if self.position.saturating_sub(self.progress_at) >= PROGRESS_BYTES {
            self.failures = 0;
        }
        self.progress_at = self.position;
        self.failures += 1;
        if self.failures > self.endpoint.retries {
            return Err(self.give_up(temporary));
        }
        self.client.pause(temporary, self.failures, self.client.retry.retries)?;
        if (self.in_one_piece() || self.position == self.blob.size_bytes) && self.is_there()? {
            return Ok(true);
        }
        if self.in_one_piece() {
            self.cancel();
            self.location = None;
            return Ok(false);
        }
        let looked = self.look().and_then(|()| match self.position {
            // None, or one byte, which is said in the same words.
            0 => self.start_again("the registry took nothing"),
            _ => Ok(()),
        });
        match looked {
            Ok(()) => Ok(false),
            Err(Failure::Final(error)) => Err(error),
            Err(Failure::Temporary(temporary)) => self.resume(temporary),
        }
    }

    fn give_up(&self, temporary: Temporary) -> Error {
        let Cause::Network { problem, .. } = temporary.cause else {
            return temporary.into_error(self.failures);
        };
        RegistryError::Broken {
            what: format!("{} to the registry", self.what),
            failures: self.failures,
            received_bytes: self.position,
            expected_bytes: self.blob.size_bytes,
            problem,
        }
        .into()
    }

    /// Asks how much of the blob the registry has.
    fn look(&mut self) -> Result<(), Failure> {
        let Some(location) = self.location.clone() else { return Ok(()) };
        let ask = Ask::get_url(location).expecting(&[200, 204, 400, 404, 405, 410, 416]);
        let answer = self.client.once(self.endpoint, &ask)?;
        let has = answer.header(header::RANGE).map_or(Some(0), received);
        match has.filter(|has| matches!(answer.status(), 200 | 204) && *has <= self.blob.size_bytes) {
            // A byte that it took and this side never read would not be in the hash.
            Some(has) if has <= self.window.end() => {
                if answer.response.headers().contains_key(header::LOCATION) {
                    self.location = Some(new_location(&answer)?);
                }
                self.position = has;
                Ok(())
            }
            _ => self.start_again("the registry does not say how much it has"),
        }
    }

    /// Begins anew; not for ever.
    fn start_again(&mut self, problem: &str) -> Result<(), Failure> {
        let url = self.location.as_ref().map(ToString::to_string).unwrap_or_default();
        self.cancel();
        self.position = 0;
        self.restarts += 1;
        if self.restarts > self.endpoint.retries {
            let problem = format!("{problem}, for the {}th time", self.restarts);
            return Err(RegistryError::Nonsense { url, problem }.into());
        }
        Ok(())
    }

    /// Tells the registry that nothing more comes; one that does not listen forgets the upload in time.
    fn cancel(&mut self) {
        if let Some(location) = self.location.take() {
            let ask = Ask::get_url(location).with_method(Method::DELETE).expecting(&[200, 202, 204]);
            drop(self.client.once(self.endpoint, &ask));
        }
    }
}

/// Whether the registry has `blob`.
pub(super) fn exists(client: &Client, endpoint: &Endpoint, blob: &Descriptor) -> Result<bool> {
    let path = format!("blobs/{}", blob.digest);
    let ask = Ask::get(path).with_method(Method::HEAD).expecting(&[200, 404, 405]);
    client.ask(endpoint, &ask, |answer| {
        let length = answer.length().filter(|length| *length > 0);
        Ok(answer.status() == 200 && length.is_none_or(|length| length == blob.size_bytes))
    })
}

/// Where the registry wants the next request of an upload.
pub(super) fn new_location(answer: &Answer) -> Result<Url, Failure> {
    let nonsense = |problem: String| RegistryError::Nonsense { url: answer.url.to_string(), problem };
    let location = answer.location();
    let location = location.ok_or_else(|| nonsense("it does not say where to upload to".to_owned()))?;
    let next = answer
        .url
        .join(&location)
        .map_err(|error| nonsense(format!("the place to upload to is no usable URL: {error}")))?;
    if answer.url.origin.scheme == Scheme::Https && next.origin.scheme == Scheme::Http {
        return Err(nonsense(format!("it wants the upload without encryption, at {next}")).into());
    }
    Ok(next)
}

/// How many bytes a `Range` header says there are: `0-N`, from some registries with `bytes=` in front. Of an
/// upload without any, registries say `0-0`, which one byte would be too.
fn received(range: &str) -> Option<u64> {
    let range = range.trim();
    let (first, last) = range.strip_prefix("bytes=").unwrap_or(range).split_once('-')?;
    match (first.parse::<u64>().ok()?, last.parse::<u64>().ok()?) {
        (0, 0) => Some(0),
        (0, last) => last.checked_add(1),
        _ => None,
    }
}

fn broken(url: String, problem: String) -> Failure {
    let cause = Cause::Network { problem, proxy: None, nobody: false };
    Failure::Temporary(Temporary { url, cause, retry_after: None })
}

/// The part of the blob that is in memory, and the hash over all that was.
struct Window {
    start: u64,
    bytes: Vec<u8>,
    /// Behind the bytes, if open.
    reader: Option<Box<dyn Read + Send>>,
    expected: Descriptor,
    hasher: BlobHasher,
    hashed_bytes: u64,
}

impl Window {
    fn new(blob: &Descriptor) -> Self {
        Self {
            start: 0,
            bytes: Vec::new(),
            reader: None,
            expected: blob.clone(),
            hasher: BlobHasher::new(blob.digest.algorithm()),
            hashed_bytes: 0,
        }
    }

    fn end(&self) -> u64 {
        self.start + self.bytes.len() as u64
    }

    /// Makes the bytes from `position` on the ones in memory, up to `most` of them.
    fn fill(&mut self, open: &Open<'_>, position: u64, most: u64, what: &str) -> Result<()> {
        if (self.start..self.end()).contains(&position) {
            let before = usize::try_from(position - self.start).unwrap_or(usize::MAX);
            self.bytes.drain(..before);
            self.start = position;
            return Ok(());
        }
        let size_bytes = self.expected.size_bytes;
        let wanted = most.min(size_bytes.saturating_sub(position));
        let reader = self.reader.take().filter(|_| position == self.end());
        let mut reader = reader.map_or_else(|| open(position), Ok)?;
        self.start = position;
        self.bytes.clear();
        let read = reader.by_ref().take(wanted).read_to_end(&mut self.bytes);
        read.map_err(|error| Error::from_read(error).unwrap_or_else(|error| unreadable(what, &error)))?;
        if (self.bytes.len() as u64) < wanted {
            let (what, actual_bytes) = (what.to_owned(), self.end());
            return Err(Error::SizeMismatch { what, expected_bytes: size_bytes, actual_bytes });
        }
        self.reader = Some(reader);
        self.hash(what)
    }

    /// Hashes what was not before; refuses the last part of a blob that has another digest.
    fn hash(&mut self, what: &str) -> Result<()> {
        let known = usize::try_from(self.hashed_bytes.saturating_sub(self.start)).unwrap_or(usize::MAX);
        let new = self.bytes.get(known..).unwrap_or_default();
        self.hasher.update(new);
        self.hashed_bytes += new.len() as u64;
        if self.hashed_bytes < self.expected.size_bytes {
            return Ok(());
        }
        let (expected, actual) = (self.expected.digest, self.hasher.clone().finish_blob());
        if actual == expected {
            return Ok(());
        }
        Err(Error::DigestMismatch { what: what.to_owned(), expected, actual })
    }
}

fn unreadable(what: &str, error: &std::io::Error) -> Error {
    Error::malformed(what, format!("it cannot be read: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_of_received_bytes_are_counted_from_zero() {
        assert_eq!(received("0-99"), Some(100));
        assert_eq!(received("bytes=0-99"), Some(100));
        assert_eq!(received("0-0"), Some(0));
        for wrong in ["", "1-5", "0-", "x-y", "0-18446744073709551615"] {
            assert_eq!(received(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_window_gives_every_byte_once_to_the_hash() {
        let content: Vec<u8> = (0..=99).collect();
        let blob = Descriptor::of("x", &content);
        let open = |offset: u64| -> Result<Box<dyn Read + Send>> {
            Ok(Box::new(std::io::Cursor::new(content[usize::try_from(offset).unwrap()..].to_vec())))
        };
        let mut window = Window::new(&blob);
        window.fill(&open, 0, 40, "it").unwrap();
        window.fill(&open, 10, 40, "it").unwrap();
        assert_eq!(window.bytes, content[10..40]);
        window.fill(&open, 40, 40, "it").unwrap();
        window.fill(&open, 20, 40, "it").unwrap();
        assert_eq!(window.bytes, content[20..60]);
        window.fill(&open, 60, 40, "it").unwrap();
        assert_eq!(window.bytes, content[60..]);
    }
}
