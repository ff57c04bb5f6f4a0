//! How the client behaves.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use sealpack_format::reference::DEFAULT_REGISTRY;

use super::url::{Origin, Scheme, Url};
use super::watch::Watch;

/// Settings of the registry client.
#[derive(Debug, Clone)]
pub struct ClientOptions {
    /// Speak plain HTTP to the registry. Without it, a registry on a loopback address is asked
    /// in plain HTTP if it does not speak TLS; every other one never.
    pub plain_http: bool,
    /// Files of CA certificates (PEM) to trust beside the system's.
    pub ca_files: Vec<PathBuf>,
    /// The only files of credentials to use, in place of docker's and podman's usual ones; in order.
    pub auth_files: Vec<PathBuf>,
    /// Programs of credential helpers, by the NAME that files have for them. Others are looked for in `PATH`.
    pub credential_helpers: BTreeMap<String, PathBuf>,
    /// For a registry, as references name it: where to ask first, in order.
    pub mirrors: BTreeMap<String, Vec<Mirror>>,
    /// What is tried again, and when.
    pub retry: RetryPolicy,
    /// When a server counts as dead.
    pub timeouts: Timeouts,
    /// How much of a blob is uploaded at once, in bytes. It is kept in memory, to be sent again.
    pub chunk_bytes: u64,
    /// Who hears what is waited for, and tried again.
    pub watch: Watch,
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self {
            plain_http: false,
            ca_files: Vec::new(),
            auth_files: Vec::new(),
            credential_helpers: BTreeMap::new(),
            mirrors: BTreeMap::new(),
            retry: RetryPolicy::default(),
            timeouts: Timeouts::default(),
            chunk_bytes: 8 * 1024 * 1024,
            watch: Watch::default(),
        }
    }
}

/// What is tried again, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetryPolicy {
    /// How often a request is repeated, and a transfer resumed without progress.
    pub retries: u32,
    /// The wait before the first repetition; it doubles each time, less up to a half by chance.
    pub first_delay: Duration,
    /// The longest wait.
    pub longest_delay: Duration,
    /// The longest `Retry-After` that is waited for.
    pub longest_retry_after: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            retries: 5,
            first_delay: Duration::from_millis(500),
            longest_delay: Duration::from_secs(15),
            longest_retry_after: Duration::from_secs(120),
        }
    }
}

/// When a server counts as dead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timeouts {
    /// To resolve the name, connect and agree on TLS.
    pub connect: Duration,
    /// From the request to the end of the answer's header.
    pub response: Duration,
    /// Without any byte inside a body.
    pub stall: Duration,
    /// A credential helper's.
    pub helper: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(15),
            response: Duration::from_secs(60),
            stall: Duration::from_secs(30),
            helper: crate::credentials::HELPER_TIMEOUT,
        }
    }
}

/// A registry that has copies of another's repositories.
///
/// Read from `HOST[:PORT][/PREFIX]`, with `http://` in front if it speaks plain HTTP. The
/// prefix goes before the repository's name. What it gives is verified like everything else;
/// only which manifest a tag names is the mirror's word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mirror {
    pub(super) origin: Origin,
    /// Whether the text left it open how to speak to the mirror.
    pub(super) scheme_given: bool,
    pub(super) prefix: String,
}

/// A text that names no mirror.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a mirror: {problem}")]
pub struct MirrorError {
    text: String,
    problem: String,
}

impl FromStr for Mirror {
    type Err = MirrorError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let scheme_given = text.contains("://");
        let full = if scheme_given { text.to_owned() } else { format!("https://{text}") };
        let bad = |problem: String| MirrorError { text: text.to_owned(), problem };
        let url = Url::parse(&full).map_err(|error| bad(error.to_string()))?;
        let path = url.request_text().split_off(url.origin.to_string().len());
        let prefix = path.trim_matches('/');
        if !prefix.is_empty() {
            let probe = format!("{DEFAULT_REGISTRY}/{prefix}/x");
            probe.parse::<sealpack_format::reference::Reference>().map_err(|error| bad(error.to_string()))?;
        }
        Ok(Self { origin: url.origin.clone(), scheme_given, prefix: prefix.to_owned() })
    }
}

impl Mirror {
    /// Host and port, by which credentials are looked up.
    pub(super) fn registry(&self) -> String {
        let origin = self.origin.to_string();
        origin.split_once("://").map(|(_, authority)| authority.to_owned()).unwrap_or(origin)
    }

    pub(super) fn is_plain(&self) -> bool {
        self.origin.scheme == Scheme::Http
    }
}
