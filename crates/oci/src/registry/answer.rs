//! One answer, as the registry client sees it.

use std::io::Read;

use serde::Deserialize;
use ureq::Body;
use ureq::http::{HeaderMap, Response, header};

use super::coding::{Coding, gunzip};
use super::error::RegistryError;
use super::failure::{Cause, Failure, Temporary};
use super::http::describe_io;
use super::url::Url;
use crate::json;
use crate::text::clean;

/// Most that is read of an error's body.
const ERROR_BODY_MAX_BYTES: u64 = 16 * 1024;

/// An answer, and the URL that gave it after all redirects.
pub(super) struct Answer {
    pub(super) url: Url,
    pub(super) response: Response<Body>,
}

impl Answer {
    pub(super) fn status(&self) -> u16 {
        self.response.status().as_u16()
    }

    pub(super) fn header(&self, name: impl header::AsHeaderName) -> Option<&str> {
        self.response.headers().get(name)?.to_str().ok()
    }

    /// What `Location` says. Some servers send what they should have escaped as it is.
    pub(super) fn location(&self) -> Option<String> {
        location(self.response.headers())
    }

    /// How the body is coded.
    pub(super) fn coding(&self) -> Coding {
        Coding::of(self.response.headers())
    }

    /// What `Content-Length` says of the body as it is sent.
    pub(super) fn sent_length(&self) -> Option<u64> {
        self.header(header::CONTENT_LENGTH)?.trim().parse().ok()
    }

    /// What `Content-Length` says of the contents; nothing where the body is coded.
    pub(super) fn length(&self) -> Option<u64> {
        self.sent_length().filter(|_| self.coding() == Coding::Identity)
    }

    /// The error of a body in a coding that is not understood.
    pub(super) fn cannot_decode(&self, coding: &str) -> Failure {
        let problem = format!("it sends Content-Encoding {:?}, which nobody asked for", clean(coding, 100));
        RegistryError::Nonsense { url: self.url.to_string(), problem }.into()
    }

    /// The whole body, decoded, which must not be longer than `limit_bytes`; one byte more is read of one that is.
    pub(super) fn read_up_to(self, limit_bytes: u64) -> Result<Vec<u8>, Failure> {
        let coding = self.coding();
        if let Coding::Other(name) = &coding {
            return Err(self.cannot_decode(name));
        }
        let mut bytes = Vec::new();
        let reader = decoded(self.response.into_body(), &coding);
        match reader.and_then(|body| body.take(limit_bytes.saturating_add(1)).read_to_end(&mut bytes)) {
            Ok(_) => Ok(bytes),
            Err(error) => Err(Failure::Temporary(Temporary {
                url: self.url.to_string(),
                cause: Cause::Network { problem: describe_io(&error), proxy: None, nobody: false },
                retry_after: None,
            })),
        }
    }
}

/// What is in `body`, which comes in gzip, if anything is done to it.
fn decoded(body: Body, coding: &Coding) -> std::io::Result<Box<dyn Read + Send>> {
    let body = body.into_reader();
    if *coding == Coding::Gzip { gunzip(body) } else { Ok(Box::new(body)) }
}

/// What `Location` says, with all that is not ASCII escaped: as UTF-8, or whatever else it is, it means those bytes.
pub(super) fn location(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(header::LOCATION)?.as_bytes();
    let letter = |byte: &u8| match byte {
        0x80.. => format!("%{byte:02X}"),
        _ => char::from(*byte).to_string(),
    };
    Some(value.iter().map(letter).collect::<String>().trim().to_owned())
}

/// What an error's body says: the registry's codes and messages, or the start of a plain text.
pub(super) fn said(response: Response<Body>) -> String {
    #[derive(Deserialize)]
    struct Errors {
        #[serde(default, deserialize_with = "json::or_empty")]
        errors: Vec<Option<Item>>,
        #[serde(default, deserialize_with = "json::text")]
        details: Option<String>,
    }
    #[derive(Deserialize)]
    struct Item {
        #[serde(default)]
        code: serde_json::Value,
        #[serde(default)]
        message: serde_json::Value,
    }
    let plain = response.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let plain = plain.is_some_and(|media_type| media_type.starts_with("text/plain"));
    let mut bytes = Vec::new();
    let coding = Coding::of(response.headers());
    // A body that breaks off says less; the status is what counts.
    let reader = decoded(response.into_body(), &coding).unwrap_or_else(|_| Box::new(std::io::empty()));
    let _ = reader.take(ERROR_BODY_MAX_BYTES).read_to_end(&mut bytes);
    let text = |value: &serde_json::Value| value.as_str().map(|text| clean(text, 200)).unwrap_or_default();
    match serde_json::from_slice::<Errors>(&bytes) {
        Ok(errors) => {
            let items =
                errors.errors.iter().flatten().take(3).map(|item| (text(&item.code), text(&item.message)));
            let lines: Vec<String> = items
                .map(|(code, message)| match (code.is_empty(), message.is_empty()) {
                    (false, false) => format!("{code} ({message})"),
                    _ => code + &message,
                })
                .collect();
            let details = errors.details.iter().map(|details| clean(details, 200));
            lines.into_iter().chain(details).collect::<Vec<_>>().join("; ")
        }
        Err(_) if plain => clean(&String::from_utf8_lossy(&bytes), 200),
        Err(_) => String::new(),
    }
}
