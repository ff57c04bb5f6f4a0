//! One request, as the registry client sees it.

use std::io::Read;

use ureq::http::header::HeaderName;
use ureq::http::{Method, header};

use super::url::Url;
use crate::error::Result;

/// What to ask an endpoint for.
pub(super) struct Ask<'a> {
    pub(super) method: Method,
    pub(super) target: Target,
    pub(super) headers: Vec<(HeaderName, String)>,
    pub(super) body: RequestBody<'a>,
    /// The statuses that are answers; all others are failures.
    pub(super) statuses: &'static [u16],
}

/// Where a request goes.
#[derive(Debug, Clone)]
pub(super) enum Target {
    /// Behind `/v2/REPOSITORY/`.
    Path(String),
    /// Where the registry said.
    Url(Url),
}

/// What a request carries.
pub(super) enum RequestBody<'a> {
    Nothing,
    Bytes(&'a [u8]),
    /// Read anew each time the request is sent.
    Stream {
        open: &'a dyn Fn() -> Result<Box<dyn Read + Send>>,
        size_bytes: u64,
    },
}

impl<'a> Ask<'a> {
    /// Contents, whole or in part.
    pub(super) fn get(path: impl Into<String>) -> Self {
        Self { target: Target::Path(path.into()), ..Self::plain() }
    }

    /// Contents, from where the registry said.
    pub(super) fn get_url(url: Url) -> Self {
        Self { target: Target::Url(url), ..Self::plain() }
    }

    /// A GET of whatever URL it is sent to. 416 is an answer about a range.
    pub(super) fn plain() -> Self {
        Self {
            method: Method::GET,
            target: Target::Path(String::new()),
            headers: Vec::new(),
            body: RequestBody::Nothing,
            statuses: &[200, 206, 416],
        }
    }

    /// With the media types that would be understood.
    pub(super) fn accept(self, media_types: &[&str]) -> Self {
        self.with_header(header::ACCEPT, &media_types.join(", "))
    }

    /// Without the bytes before `from_byte`.
    pub(super) fn starting_at(self, from_byte: Option<u64>) -> Self {
        match from_byte {
            Some(from_byte) => self.with_header(header::RANGE, &format!("bytes={from_byte}-")),
            None => self,
        }
    }

    pub(super) fn with_method(mut self, method: Method) -> Self {
        self.method = method;
        self
    }

    pub(super) fn with_header(mut self, name: HeaderName, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    pub(super) fn with_body(mut self, body: RequestBody<'a>) -> Self {
        self.body = body;
        self
    }

    pub(super) fn expecting(mut self, statuses: &'static [u16]) -> Self {
        self.statuses = statuses;
        self
    }

    pub(super) const fn has_body(&self) -> bool {
        !matches!(self.body, RequestBody::Nothing)
    }
}
