//! What can be made to go wrong.

use std::time::Duration;

/// A fault for some requests.
#[derive(Debug, Clone)]
pub struct Fault {
    /// Part of the path of the requests that are hit.
    pub(crate) path: String,
    /// Only requests of this method.
    pub(crate) method: Option<String>,
    /// Only requests with, or only those without, a `Range`.
    pub(crate) ranged: Option<bool>,
    /// How many requests pass before any is hit.
    pub(crate) after: usize,
    /// How many requests are hit; `None` for all.
    pub(crate) times: Option<usize>,
    pub(crate) action: Action,
}

/// What happens instead of the right answer.
#[derive(Debug, Clone)]
pub enum Action {
    /// This status, header and body.
    Answer {
        /// The HTTP status.
        status: u16,
        /// More header fields.
        headers: Vec<(String, String)>,
        /// The body.
        body: String,
    },
    /// The connection ends without an answer.
    HangUp,
    /// The right header, then only so many bytes of the body, then the connection ends.
    CutAfter(usize),
    /// Only so many bytes of the body, as if it had no more.
    ShortBody(usize),
    /// The right header, so many bytes of the body, then nothing for so long, then the end.
    StallAfter(usize, Duration),
    /// The right body with a byte changed.
    WrongByte,
    /// The right body and so many bytes more, the length told truly.
    LongBody(usize),
    /// The right body and so many bytes more, without a length.
    LongChunkedBody(usize),
    /// The right body without a length, that ends without its closing chunk after so many bytes.
    CutChunkedBody(usize),
    /// Zeros until the client goes away.
    EndlessBody,
    /// The whole body with 200, whatever range was asked for.
    IgnoreRange,
    /// 416 for any range, a chunk's too.
    RefuseRange,
    /// 206 with bytes that start so much later than asked for, and a header that says so.
    ShiftRange(usize),
    /// To another URL.
    Redirect(u16, String),
    /// With this header in addition to the right ones.
    ExtraHeader(String, String),
    /// The right body in this coding, which only gzip is really, with a `Content-Encoding` that says so.
    Coded(String),
    /// The same without a length.
    CodedChunks(String),
    /// With another `Content-Type`.
    ContentType(String),
    /// Garbage in place of HTTP.
    Garbage,
    /// So many bytes of what is sent are taken, then the connection ends without an answer.
    CutUpload(usize),
    /// Of a chunk, only so many bytes are taken; the answer says so.
    TakePart(usize),
    /// The answer of a success to a request that changed nothing.
    Discard,
}

impl Fault {
    /// For all requests whose path contains `path`.
    #[must_use]
    pub fn new(path: &str, action: Action) -> Self {
        Self { path: path.to_owned(), method: None, ranged: None, after: 0, times: None, action }
    }

    /// For the first `times` of them.
    #[must_use]
    pub fn times(mut self, times: usize) -> Self {
        self.times = Some(times);
        self
    }

    /// Not for the first `after` of them.
    #[must_use]
    pub fn after(mut self, after: usize) -> Self {
        self.after = after;
        self
    }

    /// For those of this method.
    #[must_use]
    pub fn method(mut self, method: &str) -> Self {
        self.method = Some(method.to_owned());
        self
    }

    /// For those with a `Range` (or, with `false`, without).
    #[must_use]
    pub fn ranged(mut self, ranged: bool) -> Self {
        self.ranged = Some(ranged);
        self
    }

    /// A bare status.
    #[must_use]
    pub fn status(path: &str, status: u16) -> Self {
        Self::new(path, Action::Answer { status, headers: Vec::new(), body: String::new() })
    }

    /// A status with one header field and a body.
    #[must_use]
    pub fn answer(path: &str, status: u16, header: (&str, &str), body: &str) -> Self {
        let headers = vec![(header.0.to_owned(), header.1.to_owned())];
        Self::new(path, Action::Answer { status, headers, body: body.to_owned() })
    }
}
