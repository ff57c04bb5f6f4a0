//! What can go wrong between here and a registry.

use std::path::PathBuf;
use std::time::Duration;

/// Why a registry did not give what it was asked for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RegistryError {
    /// No answer could be had.
    #[error("{url} cannot be reached{}{}: {problem}", via(proxy), tries(*attempts))]
    Unreachable {
        /// What was asked.
        url: String,
        /// The proxy that the request went through.
        proxy: Option<String>,
        /// How often it was tried.
        attempts: u32,
        /// What happened the last time.
        problem: String,
    },
    /// The server's certificate or its TLS is not acceptable.
    #[error("no secure connection to {url}: {problem}")]
    Tls {
        /// What was asked.
        url: String,
        /// What is wrong.
        problem: String,
        /// Whether the server does not speak TLS at all.
        plain: bool,
        /// Whether the server's certificate is a good one, for other names.
        wrong_name: bool,
    },
    /// The server answered with an error.
    #[error("{url} answered {status}{}{}", tries(*attempts), colon(said))]
    Status {
        /// What was asked.
        url: String,
        /// The HTTP status.
        status: u16,
        /// How often it was tried.
        attempts: u32,
        /// What the answer's body says, shortened.
        said: String,
    },
    /// The registry does not have it.
    #[error("{url} does not exist{}", colon(said))]
    NotFound {
        /// What was asked.
        url: String,
        /// What the answer's body says, shortened.
        said: String,
    },
    /// The registry wants to be asked later than is reasonable to wait for.
    #[error("{url} answered {status} and asks to wait for {} s{}", wait.as_secs(), colon(said))]
    TooLongToWait {
        /// What was asked.
        url: String,
        /// The HTTP status.
        status: u16,
        /// What `Retry-After` says.
        wait: Duration,
        /// What the answer's body says, shortened.
        said: String,
    },
    /// Access was refused.
    #[error("access to {url} was refused with {used}{}", colon(said))]
    Unauthorized {
        /// What was asked.
        url: String,
        /// Whose credentials were used, and the file that they are from.
        used: String,
        /// Whether that was nobody's.
        anonymous: bool,
        /// The registry as `podman login` wants it named.
        registry: String,
        /// What the answer's body says, shortened.
        said: String,
    },
    /// The way to authenticate is not understood, or does not end in a token.
    #[error("cannot authenticate to {registry}: {problem}")]
    Authentication {
        /// The registry.
        registry: String,
        /// What is wrong.
        problem: String,
    },
    /// A redirect that is not followed.
    #[error("a redirect from {url} is not followed: {problem}")]
    Redirect {
        /// What was asked.
        url: String,
        /// Why not.
        problem: String,
    },
    /// An answer that a registry may not give.
    #[error("{url} answered nonsense: {problem}")]
    Nonsense {
        /// What was asked.
        url: String,
        /// What is wrong.
        problem: String,
    },
    /// The transfer broke again and again.
    #[error(
        "the transfer of {what} broke {failures} times in a row, the last time after {received_bytes} of \
         {expected_bytes} bytes: {problem}"
    )]
    Broken {
        /// The blob and where it came from.
        what: String,
        /// Number of breaks without enough progress between them.
        failures: u32,
        /// How many bytes arrived in all.
        received_bytes: u64,
        /// The descriptor's size.
        expected_bytes: u64,
        /// What happened the last time.
        problem: String,
    },
    /// Somebody else writes the same list of referrers all the time.
    #[error("{what} lacked {entry} again after each of {attempts} attempts to add it")]
    Raced {
        /// The list.
        what: String,
        /// What was to be added.
        entry: String,
        /// How often it was written.
        attempts: u32,
    },
    /// A certificate file cannot be used.
    #[error("the certificates in {}: {problem}", path.display())]
    Certificates {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// The proxy in the environment cannot be used.
    #[error("the proxy {proxy:?} cannot be used: {problem}")]
    Proxy {
        /// The proxy, without its password.
        proxy: String,
        /// What is wrong.
        problem: String,
    },
}

impl RegistryError {
    /// No TLS, for a reason that has no advice of its own.
    pub(super) fn tls(url: String, problem: String) -> Self {
        Self::Tls { url, problem, plain: false, wrong_name: false }
    }
}

fn tries(attempts: u32) -> String {
    if attempts > 1 { format!(" ({attempts} attempts)") } else { String::new() }
}

fn colon(said: &str) -> String {
    if said.is_empty() { String::new() } else { format!(": {said}") }
}

fn via(proxy: &Option<String>) -> String {
    proxy.as_ref().map(|proxy| format!(" through the proxy {proxy}")).unwrap_or_default()
}
