//! One answer, as the registry client sees it.

use std::io::Read;

use serde::Deserialize;
use ureq::Body;
use ureq::http::{Response, header};

use super::failure::{Cause, Failure, Temporary};
use super::http::{clean, describe_io};
use super::url::Url;

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

    /// What `Content-Length` says.
    pub(super) fn length(&self) -> Option<u64> {
        self.header(header::CONTENT_LENGTH)?.trim().parse().ok()
    }

    /// The whole body, which must not be longer than `limit_bytes`; one byte more is read of one that is.
    pub(super) fn read_up_to(self, limit_bytes: u64) -> Result<Vec<u8>, Failure> {
        let mut bytes = Vec::new();
        let reader = self.response.into_body().into_reader();
        match reader.take(limit_bytes.saturating_add(1)).read_to_end(&mut bytes) {
            Ok(_) => Ok(bytes),
            Err(error) => Err(Failure::Temporary(Temporary {
                url: self.url.to_string(),
                cause: Cause::Network { problem: describe_io(&error), proxy: None, nobody: false },
                retry_after: None,
            })),
        }
    }
}

/// What an error's body says: the registry's codes and messages, or the start of a plain text.
pub(super) fn said(response: Response<Body>) -> String {
    #[derive(Deserialize)]
    struct Errors {
        #[serde(default)]
        errors: Vec<Item>,
        #[serde(default)]
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
    let reader = response.into_body().into_reader();
    // A body that breaks off says less; the status is what counts.
    let _ = reader.take(ERROR_BODY_MAX_BYTES).read_to_end(&mut bytes);
    let text = |value: &serde_json::Value| value.as_str().map(|text| clean(text, 200)).unwrap_or_default();
    match serde_json::from_slice::<Errors>(&bytes) {
        Ok(errors) => {
            let items = errors.errors.iter().take(3).map(|item| (text(&item.code), text(&item.message)));
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
