//! As much of HTTP/1.1 as a registry's clients speak.

use std::io::{self, BufRead, Read, Write};

/// Longest head of a request, and longest form, that is read.
const REQUEST_MAX_BYTES: usize = 64 * 1024;
/// Longest content of an upload that is read.
const CONTENT_MAX_BYTES: usize = 256 * 1024 * 1024;

/// A request as it came in.
#[derive(Debug, Clone)]
pub struct Request {
    /// `GET`, `POST`, `CONNECT`.
    pub method: String,
    /// Path and query.
    pub target: String,
    /// Field names in lower case.
    pub headers: Vec<(String, String)>,
    /// The start of the body, as text.
    pub body: String,
    /// The body, as long as the request is being answered.
    pub(crate) content: Vec<u8>,
}

impl Request {
    /// The value of the field `name`, given in lower case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The first byte that is asked for, when that is one in the middle.
    pub(crate) fn range_start(&self) -> Option<usize> {
        self.header("range")?.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok()
    }

    /// The value of a parameter of the query or of a form, percent-decoded.
    #[must_use]
    pub fn parameter(&self, name: &str) -> Option<String> {
        self.parameters(name).into_iter().next()
    }

    /// The values of a parameter that may be given several times.
    #[must_use]
    pub fn parameters(&self, name: &str) -> Vec<String> {
        let query = self.target.split_once('?').map(|(_, query)| query).unwrap_or_default();
        let pairs = query.split('&').chain(self.body.split('&')).filter_map(|pair| pair.split_once('='));
        pairs.filter(|(key, _)| *key == name).map(|(_, value)| decode(value)).collect()
    }

    /// The head of the next request of a connection; `None` when there is none any more.
    pub(crate) fn read_head(stream: &mut impl BufRead) -> io::Result<Option<Self>> {
        let mut lines = Vec::new();
        let mut limited = stream.take(REQUEST_MAX_BYTES as u64);
        loop {
            let mut line = String::new();
            if limited.read_line(&mut line)? == 0 {
                return Ok(None);
            }
            match line.trim_end() {
                "" if lines.is_empty() => {}
                "" => break,
                text => lines.push(text.to_owned()),
            }
        }
        let mut words = lines[0].split(' ').map(str::to_owned);
        let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let fields = lines[1..].iter().filter_map(|line| line.split_once(':'));
        let headers: Vec<(String, String)> =
            fields.map(|(key, value)| (key.to_ascii_lowercase(), value.trim().to_owned())).collect();
        Ok(Some(Self { method, target, headers, body: String::new(), content: Vec::new() }))
    }

    /// Reads the content, `most` bytes of it.
    pub(crate) fn read_content(&mut self, stream: &mut impl BufRead, most: usize) -> io::Result<()> {
        let length: usize = self.header("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
        self.content = vec![0; length.min(CONTENT_MAX_BYTES).min(most)];
        stream.read_exact(&mut self.content)?;
        let start = &self.content[..self.content.len().min(REQUEST_MAX_BYTES)];
        self.body = String::from_utf8_lossy(start).into_owned();
        Ok(())
    }

    /// The request without its content, to be looked at later.
    pub(crate) fn to_record(&self) -> Self {
        let Self { method, target, headers, body, .. } = self;
        let (method, target) = (method.clone(), target.clone());
        Self { method, target, headers: headers.clone(), body: body.clone(), content: Vec::new() }
    }

    /// The path of the target.
    pub(crate) fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    /// Whether it asks for the head of an answer only.
    pub(crate) fn is_head(&self) -> bool {
        self.method == "HEAD"
    }
}

fn decode(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        match (first, tail) {
            (b'%', [high, low, after @ ..]) => {
                let hex = [*high, *low];
                let hex = std::str::from_utf8(&hex).ok().and_then(|hex| u8::from_str_radix(hex, 16).ok());
                bytes.push(hex.unwrap_or(b'?'));
                rest = after;
            }
            _ => {
                bytes.push(if *first == b'+' { b' ' } else { *first });
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// An answer about to be sent.
#[derive(Debug, Clone)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// Whether the body is only announced.
    pub(crate) head_only: bool,
}

impl Response {
    pub(crate) fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self { status, headers: Vec::new(), body: body.into(), head_only: false }
    }

    pub(crate) fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.retain(|(key, _)| !key.eq_ignore_ascii_case(name));
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// The registry's way to say what is wrong.
    pub(crate) fn error(status: u16, code: &str, message: &str) -> Self {
        let body = serde_json::json!({"errors": [{"code": code, "message": message}]});
        Self::new(status, body.to_string()).with("Content-Type", "application/json")
    }

    /// Status and header fields, with `length` (or `Transfer-Encoding: chunked`).
    pub(crate) fn write_head(&self, stream: &mut impl Write, length: Option<usize>) -> io::Result<()> {
        let mut head = format!("HTTP/1.1 {} Status\r\n", self.status);
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        match length {
            Some(length) => head.push_str(&format!("Content-Length: {length}\r\n\r\n")),
            None => head.push_str("Transfer-Encoding: chunked\r\n\r\n"),
        }
        stream.write_all(head.as_bytes())
    }

    pub(crate) fn write(&self, stream: &mut impl Write) -> io::Result<()> {
        self.write_head(stream, Some(self.body.len()))?;
        if !self.head_only {
            stream.write_all(&self.body)?;
        }
        stream.flush()
    }
}

/// One chunk of a chunked body; an empty one ends it.
pub(crate) fn write_chunk(stream: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    write!(stream, "{:x}\r\n", bytes.len())?;
    stream.write_all(bytes)?;
    stream.write_all(b"\r\n")?;
    stream.flush()
}
